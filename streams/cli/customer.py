"""`churn-signals customer ID`: everything that the newest score says of one customer, as a page or as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from streams.cli.ask import ask, console, plain
from streams.errors import ChurnSignalsError
from streams.rendering import customer_experience, customer_payments
from streams.settings import Settings

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN_FEATURES = 12


@click.command()
@click.argument("customer_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="The value of churn-scores, with the alert as it stands now.")
def customer(customer_id: str, as_json: bool) -> None:
    """Show what is known of customer ID: probability, reasons, worth, score history, activity and alert.

    Read from the customer's partition of the scores topic; no worker has to run. The alert is as its newest change in
    the alerts topic left it, so that an acknowledgement is seen before the next score.
    """
    import orjson

    score, change = ask(_newest(Settings.from_environment(), customer_id))
    if score is None:
        raise ChurnSignalsError(
            f"customer {customer_id} was never scored, or is forgotten: ids are compared exactly as sent (userId, else"
            " anonymousId), and churn-signals lag shows whether workers are behind."
        )
    document = orjson.loads(score)
    alert = current_alert(document, None if change is None else AlertStatus.of(change))
    if as_json:
        click.echo(score if alert == document["alert"] else orjson.dumps({**document, "alert": alert}))
        return
    times = ask(_times_to_value(Settings.from_environment())) if document.get("goals") else {}
    print_page(console(), {**document, "alert": alert}, times)


async def _times_to_value(settings: Settings) -> customer_experience.Times:
    """Of all customers, as workers have published them. Raises as `_newest`."""
    from models.experience.report import times_to_value
    from streams.cli.experience import read_sums

    return times_to_value(await read_sums(settings))


async def _newest(settings: Settings, customer_id: str) -> tuple[bytes | None, bytes | None]:
    """The customer's newest score and newest change of an alert, None where there is none.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
    """
    from streams.kafka.partitioner import partition_of
    from streams.kafka.topic_reader import newest_with_key
    from streams.topics import ALERTS, SCORES, name_of, verify_topics

    found, key, values = await verify_topics(settings), customer_id.encode(), []
    for topic in (name_of(SCORES, settings), name_of(ALERTS, settings)):
        record = await newest_with_key(settings, topic, partition_of(key, found[topic].partitions), key)
        values.append(None if record is None else record.value)
    return values[0], values[1]


class AlertStatus(msgspec.Struct):
    """Of a `churn-alerts` value, what says how an alert stands."""

    alert_id: str
    seq: int
    state: str
    severity: str
    time: str
    opened_at: str
    resolution: str | None

    @classmethod
    def of(cls, value: bytes) -> AlertStatus | None:
        """None if the value is no alert that this version knows."""
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError:
            return None


def current_alert(score: dict[str, Any], change: AlertStatus | None) -> dict[str, Any] | None:
    """The alert as the newer of the two knows it, in the shape that scores have.

    Of the same alert the higher seq is newer. Another alert than the score's (or one where the score knows of none) is
    newer if it changed after the score was made: else the score was made when that alert was over.
    """
    known = score["alert"]
    if change is None:
        return known
    if known is not None and known["id"] == change.alert_id:
        newer = change.seq > known["seq"]
    else:
        newer = _moment_ms(change.time) >= _moment_ms(score["scored_at"])
    if not newer:
        return known
    return {
        "id": change.alert_id,
        "state": change.state,
        "seq": change.seq,
        "severity": change.severity,
        "since": change.opened_at if change.resolution is None else change.time,
    }


def _moment_ms(text: str) -> int:
    from models.events.coercion import time_ms

    moment = time_ms(text)
    assert moment is not None, text
    return moment


def print_page(page: Any, score: dict[str, Any], times: customer_experience.Times | None = None) -> None:
    """What people read, from a `churn-scores` value.

    Args:
        times: The population's times to value, by goal.
    """
    from rich.table import Table
    from rich.text import Text

    who = score["customer"]
    facts = [f"{name} {who[name]}" for name in ("account", "segment", "plan") if who[name]]
    # what applications sent is text, neither markup nor a command to the terminal
    page.print(
        Text(plain(f"{who['id']}: {', '.join([who['stage'], *facts])}, known for {who['tenure_days']:.0f} days"))
    )
    page.print(
        f"churns within {score['horizon_days']:g} days with probability {_percent(score['probability'])}"
        f" ({score['band']}; higher than {_percent(score['percentile'])} of customers)"
    )
    before = "" if score["previous"] is None else f", before that {_percent(score['previous'])}"
    page.print(f"scored {score['scored_at']} for: {score['trigger']}{before}")
    for line in customer_payments.payment_lines(score):
        page.print(Text(plain(line)))
    _print_worth(page, score)
    alert = score["alert"]
    if alert is not None:
        page.print(f"alert {alert['id']}: {alert['state']}, {alert['severity']}, since {alert['since']}")
    experience = list(customer_experience.experience_lines(score.get("experience")))
    for line in (*experience, *customer_experience.goal_lines(score.get("goals") or [], times or {})):
        page.print(Text(line))
    if score["barriers"] and not score.get("experience"):
        page.print(Text(plain(f"named as barriers: {', '.join(score['barriers'])}")))
    for title, reasons in (("why", score["reasons"]), ("what speaks against it", score["protective"])):
        if reasons:
            table = Table(title, "points", box=None, pad_edge=False, title_justify="left")
            for reason in reasons:
                # scores of earlier releases have no points
                points = f"{reason['points']:+.0f}" if "points" in reason else ""
                table.add_row(Text(plain(reason["sentence"])), points)
            page.print()
            page.print(table)
    page.print()
    page.print(f"scores   {_bars([ppm for _, ppm in score['history']], 1_000_000)}  {_span(score['history'])}")
    counts = score["activity"]["counts"]
    page.print(f"activity {_bars(counts, max(counts))}  {len(counts)} days up to {score['activity']['until']}")
    _print_features(page, score)
    page.print(
        f"\nmodel {score['model']} ({score['evidence']}), definition {score['definition']},"
        f" {score['lineage']['topic']}/{score['lineage']['partition']}@{score['lineage']['offset']}"
    )


def _print_worth(page: Any, score: dict[str, Any]) -> None:
    value = score["value"]
    if value["mrr"] is not None:
        at_risk = value.get("clv_at_risk")  # scores that were told before it was are still there
        lifetime = "" if at_risk is None else f" (at risk {at_risk:,.2f})"
        page.print(
            f"worth {value['mrr']:,.2f} a month (by {value['basis']}), lifetime {value['clv']:,.2f}{lifetime},"
            f" at risk within {score['horizon_days']:g} days {value['revenue_at_risk']:,.2f}"
        )
    bought = value.get("purchases")
    if bought is not None:
        page.print(
            f"still buys with probability {_percent(bought['alive'])}, {bought['expected']:.1f} purchases expected"
            f" (discounted) at {bought['order_value']:,.2f}"
        )


def _print_features(page: Any, score: dict[str, Any]) -> None:
    from rich.table import Table

    from models.features.catalogue import FEATURES

    sentences = {feature.name: feature.sentence for feature in FEATURES}
    loudest = sorted(score["contributions"].items(), key=lambda pair: -abs(pair[1]))[:_SHOWN_FEATURES]
    table = Table("feature", "value", "log-odds", "meaning", box=None, pad_edge=False)
    for name, contribution in loudest:
        value = score["features"].get(name)
        table.add_row(name, "missing" if value is None else f"{value:.4g}", f"{contribution:+.2f}", sentences.get(name))
    page.print()
    page.print(table)


def _bars(values: list[int], highest: int) -> str:
    """A strip with a bar per value; nothing is blank, and whatever is more than nothing is seen.

    >>> _bars([0, 1, 50, 100], 100)
    ' ▁▄█'
    """
    top = len(_BARS) - 1
    return "".join(_BARS[min(top, max(1, value * top // highest))] if value else _BARS[0] for value in values)


def _span(history: list[list[int]]) -> str:
    first, last = (datetime.fromtimestamp(history[i][0], UTC).date().isoformat() for i in (0, -1))
    return f"{len(history)} scores, {first} to {last}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
