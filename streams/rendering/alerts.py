"""Render one alert change: who is at risk, how high the risk is, why, the value at risk, and what to do.

Tested by tests/streams/rendering/test_alerts.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import orjson

from streams.rendering.field_types import Amount, Currency, Days, Id, Sequence, Share, ShortText, Time, check_key
from streams.rendering.formats import (
    amount_text,
    count_text,
    interval_text,
    minute_text,
    probability_text,
    risk_text,
)
from streams.rendering.terminal import printable

if TYPE_CHECKING:
    from rich.text import Text

_ROWS_MAX: Final = 100
REASONS_SHOWN = 3
LABEL_WIDTH = 7
# Changes that ask a person to act are shown in full, all others in two lines.
_ACTIONABLE = ("opened", "escalated", "reminded")
_BAND_STYLES = {"critical": "bold red", "high": "red", "elevated": "yellow", "low": "green"}
_RESOLUTIONS = {
    "recovered": "the customer recovered",
    "dismissed": "dismissed by a person",
    "late_evidence": "late events show that there was no risk",
    "churned": "the customer churned",
    "not_scored": "the customer is no longer scored",
    "deleted": "the customer was deleted on request",
}
_VALUE_BASES = {"subscription": "subscription", "orders": "from orders"}


class _ViewCustomer(msgspec.Struct):
    """The customer of an alert."""

    id: Id
    account: ShortText | None
    segment: ShortText | None
    plan: ShortText | None
    stage: ShortText
    tenure_days: Days
    consent: bool | None = None  # missing in records of earlier releases


class _ViewScore(msgspec.Struct):
    """The score behind an alert."""

    probability: Share
    ci90: tuple[Share, Share] | None
    percentile: Share
    band: ShortText
    previous: Share | None
    horizon_days: Days


class _CauseRisk(msgspec.Struct):
    """The probability of one cause of churn."""

    probability: Share
    horizon_days: Days


class _CauseRisks(msgspec.Struct):
    """The probabilities of both causes of churn."""

    voluntary: _CauseRisk
    involuntary: _CauseRisk


class _ViewReason(msgspec.Struct):
    """One reason, as a sentence."""

    sentence: ShortText


class _ViewValue(msgspec.Struct):
    """What the customer is worth."""

    mrr: Amount | None
    clv: Amount | None
    revenue_at_risk: Amount | None
    basis: ShortText | None
    clv_at_risk: Amount | None = None  # missing in alerts of earlier releases
    currency: Currency | None = None


class _ViewAction(msgspec.Struct):
    """The recommended action."""

    playbook: ShortText


class AlertView(msgspec.Struct):
    """The fields of a `churn-alerts` value that are shown; docs/schemas/alert.schema.json lists all."""

    alert_id: Id
    seq: Sequence
    type: ShortText
    state: ShortText
    severity: ShortText
    time: Time
    resolution: ShortText | None
    snoozed_until: Time | None
    customer: _ViewCustomer
    score: _ViewScore
    reasons: Annotated[list[_ViewReason], msgspec.Meta(max_length=_ROWS_MAX)]
    barriers: Annotated[list[ShortText], msgspec.Meta(max_length=_ROWS_MAX)]
    value: _ViewValue
    action: _ViewAction
    route: ShortText = "success"  # missing in alerts of earlier releases
    risks: _CauseRisks | None = None


def read_alert(value: Mapping[str, Any]) -> AlertView:
    """Convert a decoded `churn-alerts` value.

    Raises:
        msgspec.ValidationError: the value is not an alert; the message names the missing or wrong field.
    """
    return msgspec.convert(value, AlertView)


def published_alert(record: Any) -> dict[str, Any]:
    """Return the value of a record of the alerts topic.

    Raises:
        msgspec.MsgspecError: it is no alert that can be shown; the message does not quote it.
    """
    try:
        value = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        raise msgspec.ValidationError("the value is not JSON") from None
    check_key(record.key, read_alert(value).customer.id)
    alert: dict[str, Any] = value
    return alert


def render_alert(value: Mapping[str, Any]) -> Text:
    """Render one alert change from its decoded `churn-alerts` value. The last line has no line end.

    A console that is not a terminal prints the text without its styles. Text from events is printed literally.

    Raises:
        msgspec.ValidationError: the value is not an alert.
    """
    from rich.text import Text

    alert = read_alert(value)
    style = _BAND_STYLES.get(alert.severity, "")
    text = Text()
    text.append(f"{printable(minute_text(alert.time))}  ", "dim")
    text.append(f"{printable(alert.type)} ", "bold" if alert.type in _ACTIONABLE else "")
    text.append(printable(alert.severity), style)
    text.append("  ")
    text.append(printable(alert.customer.id), "bold")
    text.append(_facts(alert.customer))
    if alert.type in _ACTIONABLE:
        _append_details(text, alert, style)
    else:
        _append_line(text, "", _change(alert))
    return text


def churn_risk_text(score: Mapping[str, Any]) -> str:
    """Describe the risk of a score or of an alert's `score`: probability, interval, previous probability and rank.

    >>> score = {"probability": 0.37, "ci90": (0.21, 0.57), "previous": 0.38, "horizon_days": 30, "percentile": 0.95}
    >>> churn_risk_text(score)
    '37% churn risk within 30 days (90% interval 21-57%), previously 38%; riskier than 95% of customers'
    """
    interval = "" if score["ci90"] is None else f" (90% interval {interval_text(*score['ci90'])})"
    previous = "" if score["previous"] is None else f", previously {probability_text(score['previous'])}"
    risk = risk_text(score["probability"], score["horizon_days"])
    return f"{risk}{interval}{previous}; riskier than {probability_text(score['percentile'])} of customers"


def cause_risks_text(risks: Mapping[str, Any]) -> str:
    """Describe the `risks` of a score or alert by cause.

    >>> cause_risks_text({"voluntary": {"probability": 0.032, "horizon_days": 30},
    ...                   "involuntary": {"probability": 0.34, "horizon_days": 14}})
    'voluntary churn 3.2% within 30 days, involuntary churn (payment failure) 34% within 14 days'
    """
    names = {"voluntary": "voluntary churn", "involuntary": "involuntary churn (payment failure)"}
    return ", ".join(
        f"{name} {probability_text(risks[cause]['probability'])} within {risks[cause]['horizon_days']:g} days"
        for cause, name in names.items()
    )


def _append_details(text: Text, alert: AlertView, style: str) -> None:
    text.append("\n" + " " * LABEL_WIDTH)
    probability, rest = churn_risk_text(msgspec.to_builtins(alert.score)).split(" ", 1)
    text.append(probability, style)
    text.append(f" {rest}")
    if alert.risks is not None:
        _append_line(text, "", cause_risks_text(msgspec.to_builtins(alert.risks)))
    for number, reason in enumerate(alert.reasons[:REASONS_SHOWN]):
        _append_line(text, "" if number else "why", printable(reason.sentence))
    if alert.barriers:
        _append_line(text, "", f"barriers: {printable(', '.join(alert.barriers).replace('_', ' '))}")
    if value := _value_text(alert.value, alert.score.horizon_days):
        _append_line(text, "value", value)
    route = f" (route: {printable(alert.route)})" if alert.risks else ""
    _append_line(text, "action", printable(alert.action.playbook) + route)
    text.append(f"  (alert {printable(alert.alert_id)}, change {alert.seq})", "dim")


def _append_line(text: Text, label: str, content: str) -> None:
    text.append(f"\n{label:{LABEL_WIDTH}}", "dim")
    text.append(content)


def _facts(customer: _ViewCustomer) -> str:
    facts = (
        customer.stage,
        customer.account and f"account {customer.account}",
        customer.segment and f"segment {customer.segment}",
        customer.plan and f"plan {customer.plan}",
        f"customer for {count_text(round(customer.tenure_days), 'day')}",
        customer.consent is False and "no consent",
    )
    return f"  ({printable(', '.join(fact for fact in facts if fact))})"


def _change(alert: AlertView) -> str:
    """Describe what a resolution, or the action of a person, means."""
    meaning = ""
    if alert.resolution is not None:
        meaning = f"{_RESOLUTIONS.get(alert.resolution, printable(alert.resolution))}; "
    elif alert.snoozed_until is not None:
        meaning = f"snoozed until {printable(minute_text(alert.snoozed_until))}; "
    risk = risk_text(alert.score.probability, alert.score.horizon_days)
    return f"{meaning}{risk}  (alert {printable(alert.alert_id)}, change {alert.seq})"


def _value_text(value: _ViewValue, horizon_days: float) -> str:
    if value.mrr is None:
        return ""
    basis, code = _VALUE_BASES.get(value.basis or "", ""), value.currency
    parts = [f"{amount_text(value.mrr, code)}/month" + (f" ({basis})" if basis else "")]
    if value.revenue_at_risk is not None:
        parts.append(f"{amount_text(value.revenue_at_risk, code)} at risk within {horizon_days:g} days")
    if value.clv is not None:
        at_risk = "" if value.clv_at_risk is None else f" ({amount_text(value.clv_at_risk, code)} at risk)"
        parts.append(f"lifetime value {amount_text(value.clv, code)}{at_risk}")
    return ", ".join(parts)
