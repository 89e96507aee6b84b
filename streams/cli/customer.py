"""`churn-signals customer`: show a customer's newest score and current alert, as a page or as JSON.

With `--file`, the customers of a file of events, without a broker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from streams.cli.options import config_option, read_definition, sort_option
from streams.cli.skipped import reporting_skipped
from streams.errors import ChurnSignalsError
from streams.kafka.client_runner import run_client
from streams.kafka.unusable_records import UnusableRecord, UnusableRecords
from streams.rendering.customer_experience import Times
from streams.rendering.customer_page import print_customer
from streams.rendering.field_types import Id, Sequence, ShortText, Time
from streams.rendering.formats import count_text
from streams.rendering.terminal import stdout_console
from streams.rendering.unreadable_properties import unreadable_sentences
from streams.settings import Settings

T = TypeVar("T")


@click.command()
@click.argument("customer_id", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the churn-scores value, with the current alert.")
@click.option(
    "--file",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Replay a file of events, and show what is known of its customers at the end. No broker is needed.",
)
@config_option
@sort_option
@click.pass_context
def customer(
    ctx: click.Context, customer_id: str | None, as_json: bool, file: str | None, config: Path, sort: bool
) -> None:
    """Show customer ID: churn risk, reasons, value, score history, activity and alert.

    Reads the customer's newest score from the scores topic; no worker has to run. The alert is the newest change in the
    alerts topic, so an acknowledgement shows before the next score.

    With --file, shows what is known of a customer at the end of a file of events: one JSON object per line, plain or
    gzipped; - reads standard input. Without ID, --json prints all customers of the file, one JSON object per line.
    """
    if file is not None:
        _show_file(file, config, customer_id, as_json, sort)
        return
    if ctx.get_parameter_source("config") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--config needs --file: scores in the topic were made with the workers' definition.")
    if customer_id is None:
        raise click.UsageError("ID is missing: name the customer to show.")
    _show_published(customer_id, as_json)


def _show_published(customer_id: str, as_json: bool) -> None:
    import orjson

    from streams.rendering.score_view import shown_score

    settings = Settings.from_environment()
    with reporting_skipped() as unusable:
        score, change = run_client(_newest_score_and_change(settings, customer_id, unusable))
    if score is None:
        raise ChurnSignalsError(
            f"customer {customer_id} has no score: it was never scored, or it was deleted. Compare the id with the"
            " userId (or anonymousId) that your application sends, and check for lag with: churn-signals lag"
        )
    if as_json:
        document = orjson.loads(score)
        alert = newer_alert(document, change)
        click.echo(score if alert == document["alert"] else orjson.dumps({**document, "alert": alert}))
        return
    shown = shown_score(customer_id.encode(), score, with_features=True)
    times = run_client(_times_to_value(settings)) if shown["goals"] else {}
    print_customer(stdout_console(), {**shown, "alert": newer_alert(shown, change)}, times)


def _show_file(file: str, config: Path, customer_id: str | None, as_json: bool, sort: bool) -> None:
    """Show one customer of a file, or all as JSON.

    Raises:
        ChurnSignalsError: the file has no such customer, or no customer.
    """
    if customer_id is None and not as_json:
        raise click.UsageError("ID is missing: name the customer to show, or print all customers with --json.")
    from models.backtesting.final_scores import FinalScores
    from streams.cli.backtest import run_backtest

    followed: list[FinalScores] = []
    definition = read_definition(config)
    run, _, rejected = run_backtest(file, definition, prepare=lambda run: followed.append(FinalScores(run)), sort=sort)
    shown = False
    for value in followed[0].values(None if customer_id is None else [customer_id]):
        shown = True
        if as_json:
            click.echo(value)
        else:
            from streams.rendering.score_view import shown_score

            assert customer_id is not None
            print_customer(stdout_console(), shown_score(customer_id.encode(), value, with_features=True))
    if rejected:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejected.most_common())
        click.echo(f"rejected {count_text(rejected.total(), 'line')}: {reasons}", err=True)
    for finding in run.evidence.findings():
        click.echo(finding, err=True)
    for sentence in unreadable_sentences(run.unreadable):
        click.echo(sentence, err=True)
    if not shown:
        missing = f"customer {customer_id} has no event" if customer_id is not None else "there is no valid event"
        raise ChurnSignalsError(f"{missing} in {file}. An event names its customer as userId (or anonymousId).")


async def _times_to_value(settings: Settings) -> Times:
    """Time to value of all customers, as workers publish it. Raises as `_newest_score_and_change`."""
    from models.experience.report import times_to_value
    from streams.cli.experience import experience_from_topic

    return times_to_value(await experience_from_topic(settings))


async def _newest_score_and_change(
    settings: Settings, customer_id: str, unusable: UnusableRecords
) -> tuple[bytes | None, AlertStatus | None]:
    """Read the customer's newest score and newest alert change; None where there is none.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
    """
    from streams.kafka.partitioner import partition_of
    from streams.kafka.topic_reader import newest_with_key
    from streams.topics import ALERTS, SCORES, name_of, verify_topics

    topics, key = await verify_topics(settings), customer_id.encode()

    async def newest(topic: str, decode: Callable[[Any], T | None]) -> T | None:
        partition = partition_of(key, topics[topic].partitions)
        return await newest_with_key(settings, topic, partition, key, decode, unusable)

    score = await newest(name_of(SCORES, settings), checked_score)
    return score, await newest(name_of(ALERTS, settings), AlertStatus.of)


def checked_score(record: Any) -> bytes | None:
    """Return the value of a record of churn-scores; None for a tombstone. Raises if the score cannot be shown."""
    from streams.rendering.score_view import shown_score

    if record.value is not None:
        shown_score(record.key, record.value, with_features=True)
    value: bytes | None = record.value
    return value


class AlertStatus(msgspec.Struct):
    """The fields of a `churn-alerts` value that describe the current state of an alert."""

    alert_id: Id
    seq: Sequence
    state: ShortText
    severity: ShortText
    time: Time
    opened_at: Time
    resolution: ShortText | None

    @classmethod
    def of(cls, record: Any) -> AlertStatus:
        """Decode a record of churn-alerts; raises if this version cannot read it as an alert."""
        from models.events.coercion import time_ms

        status = msgspec.json.decode(record.value or b"", type=cls)
        if time_ms(status.time) is None:
            raise UnusableRecord("a time does not exist")
        return status


def newer_alert(score: dict[str, Any], change: AlertStatus | None) -> dict[str, Any] | None:
    """Return the alert of the score or of the newest change, whichever is newer, in the shape that scores use.

    For the same alert the higher seq is newer. A change of another alert is newer if it is not older than the score:
    an older one had ended before the score was made.
    """
    known = score["alert"]
    if change is None:
        return known
    if known is not None and known["id"] == change.alert_id:
        newer = change.seq > known["seq"]
    else:
        newer = _time_ms(change.time) >= _time_ms(score["scored_at"])
    if not newer:
        return known
    return {
        "id": change.alert_id,
        "state": change.state,
        "seq": change.seq,
        "severity": change.severity,
        "since": change.opened_at if change.resolution is None else change.time,
    }


def _time_ms(text: str) -> int:
    from models.events.coercion import time_ms

    milliseconds = time_ms(text)
    assert milliseconds is not None, text
    return milliseconds
