"""The page that `churn-signals customer ID` prints.

Tested by tests/streams/rendering/test_customer_page.py and tests/broker/test_customer_command.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from streams.rendering import customer_experience, customer_payments
from streams.rendering.alerts import churn_risk_text
from streams.rendering.formats import amount_text, count_text, minute_text, percent_text
from streams.rendering.risk_points import points_text, reason_points
from streams.rendering.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

_BARS = " ▁▂▃▄▅▆▇█"
_SHOWN_FEATURES = 12
_ACTIVITY_MARGIN = 32  # columns beside the bars of the activity, which shows as many days as fit


def print_customer(page: Console, score: dict[str, Any], times: customer_experience.Times | None = None) -> None:
    """Print a `churn-scores` value.

    Args:
        times: Time to value of all customers, by goal.
    """
    from rich.text import Text

    for line in _summary_lines(score):
        page.print(Text(printable(line)))
    experience = score.get("experience")
    for line in customer_experience.experience_lines(experience):
        page.print(Text(line))
    for line in customer_experience.goal_lines(score.get("goals") or [], times or {}):
        page.print(Text(printable(line)))
    if score["barriers"] and not experience:
        page.print(Text(printable(f"barriers: {', '.join(score['barriers'])}".replace("_", " "))))
    _print_reasons(page, score)
    page.print()
    risks = [ppm for _, ppm in score["history"]]
    page.print(f"risk      {_bars(risks, 1_000_000)}  {_history_text(score['history'])}")
    activity = score["activity"]["counts"][-max(page.width - _ACTIVITY_MARGIN, 1) :]
    page.print(f"activity  {_bars(activity, max(activity))}  {len(activity)} days to {score['activity']['until']}")
    _print_features(page, score)
    lineage = score["lineage"]
    made = f"\nmodel {score['model']} (evidence {score['evidence']}), definition {score['definition']}"
    if lineage["topic"] is None:  # from a file
        page.print(made)
        return
    offset = "deadline" if lineage["offset"] is None else lineage["offset"]
    page.print(f"{made}, {lineage['topic']}/{lineage['partition']}@{offset}")


def _summary_lines(score: dict[str, Any]) -> list[str]:
    customer, alert = score["customer"], score["alert"]
    facts = [f"{name} {customer[name]}" for name in ("account", "segment", "plan") if customer[name]]
    facts = [customer["stage"], *facts, f"customer for {count_text(round(customer['tenure_days']), 'day')}"]
    facts += ["no consent"] if customer.get("consent") is False else []
    lines = [
        f"{customer['id']}: {', '.join(facts)}",
        churn_risk_text(score),
        f"risk band {score['band']}; scored {minute_text(score['scored_at'])}, trigger: {score['trigger']}",
        *customer_payments.payment_lines(score),
        *_value_lines(score),
    ]
    if alert is not None:
        lines.append(f"alert {alert['id']}: {alert['state']}, {alert['severity']}, since {minute_text(alert['since'])}")
    return lines


def _value_lines(score: dict[str, Any]) -> list[str]:
    lines, value = [], score["value"]
    code = value.get("currency")  # missing in scores of earlier releases
    if value["mrr"] is not None:
        at_risk = value.get("clv_at_risk")  # missing in scores of earlier releases
        lifetime = "" if at_risk is None else f" ({amount_text(at_risk, code)} at risk)"
        lines.append(
            f"value {amount_text(value['mrr'], code)}/month (from {value['basis']}),"
            f" {amount_text(value['revenue_at_risk'], code)} at risk within {score['horizon_days']:g} days,"
            f" lifetime value {amount_text(value['clv'], code)}{lifetime}"
        )
        if others := value.get("other_amounts"):
            lines.append(f"not included: {count_text(others, 'amount')} in other currencies")
    purchases = value.get("purchases")
    if purchases is not None:
        lines.append(
            f"P(alive) {percent_text(purchases['alive'])}, {purchases['expected']:.1f} expected purchases"
            f" (discounted) at {amount_text(purchases['order_value'], code)} each"
        )
    return lines


def _print_reasons(page: Console, score: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    for title, reasons in (("raises the risk", score["reasons"]), ("lowers the risk", score["protective"])):
        if reasons:
            table = Table(title, "points", "log-odds", box=None, pad_edge=False)
            for column in table.columns[1:]:
                column.justify = "right"
            for reason in reasons:
                points = points_text(reason_points(reason, score["log_odds"])).removesuffix(" points")
                table.add_row(Text(printable(reason["sentence"])), points, f"{reason['contribution']:+.2f}")
            page.print()
            page.print(table)


def _print_features(page: Console, score: dict[str, Any]) -> None:
    from rich.table import Table

    from models.features.catalogue import FEATURES

    sentences = {feature.name: feature.sentence for feature in FEATURES}
    largest = sorted(score["contributions"].items(), key=lambda pair: -abs(pair[1]))[:_SHOWN_FEATURES]
    table = Table("feature", "value", "log-odds", "meaning", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    for name, contribution in largest:
        value = score["features"].get(name)
        table.add_row(name, "missing" if value is None else f"{value:.4g}", f"{contribution:+.2f}", sentences.get(name))
    page.print()
    page.print(table)


def _bars(values: list[int], highest: int) -> str:
    """Draw a bar for each value. Zero is blank; every value above zero is visible.

    >>> _bars([0, 1, 50, 100], 100)
    ' ▁▄█'
    """
    top = len(_BARS) - 1
    return "".join(_BARS[min(top, max(1, value * top // highest))] if value else _BARS[0] for value in values)


def _history_text(history: list[list[int]]) -> str:
    first, last = (datetime.fromtimestamp(history[i][0], UTC).date().isoformat() for i in (0, -1))
    return f"{len(history)} scores, {first} to {last}"
