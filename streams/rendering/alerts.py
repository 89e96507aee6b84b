"""One change of an alert as a person reads it: who, how likely, why, what it is worth, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from streams.cli.ask import plain

if TYPE_CHECKING:
    from rich.text import Text

REASONS_SHOWN = 3
_LABEL_WIDTH = 7
# Changes that ask somebody to act: these are told in full, all others in a line or two.
_CALLS = ("opened", "escalated", "reminded")
_BAND_STYLES = {"critical": "bold red", "high": "red", "elevated": "yellow", "low": "green"}
_ENDS = {
    "recovered": "the customer recovered",
    "dismissed": "somebody dismissed it",
    "late_evidence": "events that came late show that there was no reason",
    "churned": "the customer is gone",
    "not_scored": "the customer was not scored any more",
    "deleted": "the customer asked to be deleted",
}
_WORTH_OF = {"subscription": "subscription", "orders": "by its orders"}


class _Customer(msgspec.Struct):
    id: str
    account: str | None
    segment: str | None
    plan: str | None
    stage: str
    tenure_days: float


class _Score(msgspec.Struct):
    probability: float
    ci90: tuple[float, float] | None
    percentile: float
    band: str
    previous: float | None
    horizon_days: float


class _Cause(msgspec.Struct):
    probability: float
    horizon_days: float


class _Causes(msgspec.Struct):
    voluntary: _Cause
    involuntary: _Cause


class _Reason(msgspec.Struct):
    sentence: str


class _Value(msgspec.Struct):
    mrr: float | None
    clv: float | None
    revenue_at_risk: float | None
    basis: str | None
    clv_at_risk: float | None = None  # of alerts that are older than it


class _Action(msgspec.Struct):
    playbook: str


class AlertView(msgspec.Struct):
    """Of a `churn-alerts` value, what is shown (docs/schemas/alert.schema.json has the rest)."""

    alert_id: str
    seq: int
    type: str
    state: str
    severity: str
    time: str
    resolution: str | None
    snoozed_until: str | None
    customer: _Customer
    score: _Score
    reasons: list[_Reason]
    barriers: list[str]
    value: _Value
    action: _Action
    route: str = "success"  # earlier releases did not say
    risks: _Causes | None = None


def read_alert(value: Mapping[str, Any]) -> AlertView:
    """The alert in a decoded value.

    Raises:
        msgspec.ValidationError: it is no alert; the message says what is missing or wrong.
    """
    return msgspec.convert(value, AlertView)


def render_alert(value: Mapping[str, Any]) -> Text:
    """One change of an alert (the decoded `churn-alerts` value) as a few lines, the last without a line end.

    Styles are the text's own: a console that is no terminal prints it plain. What events said is text, never markup
    and never a command to the terminal.

    Raises:
        msgspec.ValidationError: it is no alert.
    """
    from rich.text import Text

    alert = read_alert(value)
    style = _BAND_STYLES.get(alert.severity, "")
    text = Text()
    text.append(f"{_moment(alert.time)}  ", "dim")
    text.append(f"{plain(alert.type)} ", "bold" if alert.type in _CALLS else "")
    text.append(plain(alert.severity), style)
    text.append("  ")
    text.append(plain(alert.customer.id), "bold")
    text.append(_facts(alert.customer))
    if alert.type not in _CALLS:
        _line(text, "", _change(alert))
        return text
    text.append("\n" + " " * _LABEL_WIDTH)
    text.append(percent(alert.score.probability), style)
    text.append(_likely(alert.score))
    if alert.risks is not None:
        _line(text, "", _causes(alert.risks))
    for place, reason in enumerate(alert.reasons[:REASONS_SHOWN]):
        _line(text, "" if place else "why", plain(reason.sentence))
    if alert.barriers:
        _line(text, "", f"named as barriers: {plain(', '.join(alert.barriers))}")
    worth = _worth(alert.value, alert.score.horizon_days)
    if worth:
        _line(text, "worth", worth)
    _line(text, "do", plain(alert.action.playbook) + (f", for {plain(alert.route)}" if alert.risks else ""))
    text.append(f"  (alert {plain(alert.alert_id)}, {alert.seq})", "dim")
    return text


def _line(text: Text, label: str, what: str) -> None:
    text.append(f"\n{label:{_LABEL_WIDTH}}", "dim")
    text.append(what)


def _facts(customer: _Customer) -> str:
    facts = (
        customer.stage,
        customer.account and f"account {customer.account}",
        customer.segment and f"segment {customer.segment}",
        customer.plan and f"plan {customer.plan}",
        f"known for {customer.tenure_days:,.0f} days",
    )
    return f"  ({plain(', '.join(fact for fact in facts if fact))})"


def _likely(score: _Score) -> str:
    between = "" if score.ci90 is None else f" (90 %: {_share(score.ci90[0])} to {percent(score.ci90[1])})"
    before = "" if score.previous is None else f", before that {percent(score.previous)}"
    return (
        f" likely to leave within {score.horizon_days:g} days{between}{before};"
        f" higher than {percent(score.percentile)} of customers"
    )


def _causes(risks: _Causes) -> str:
    """How likely by which cause."""
    said = (("by what they do", risks.voluntary), ("by a payment that fails", risks.involuntary))
    return ", ".join(f"{how} {percent(one.probability)} within {one.horizon_days:g} days" for how, one in said)


def _change(alert: AlertView) -> str:
    """What an end, or what somebody did, means."""
    said = ""
    if alert.resolution is not None:
        said = f"{_ENDS.get(alert.resolution, plain(alert.resolution))}; "
    elif alert.snoozed_until is not None:
        said = f"nothing more until {_moment(alert.snoozed_until)}; "
    where = f"(alert {plain(alert.alert_id)}, {alert.seq})"
    return f"{said}{percent(alert.score.probability)} likely to leave {where}"


def _worth(value: _Value, horizon_days: float) -> str:
    if value.mrr is None:
        return ""
    basis = _WORTH_OF.get(value.basis or "", "")
    texts = [f"{value.mrr:,.2f} a month" + (f" ({basis})" if basis else "")]
    if value.revenue_at_risk is not None:
        texts.append(f"{value.revenue_at_risk:,.2f} at risk within {horizon_days:g} days")
    if value.clv is not None:
        at_risk = "" if value.clv_at_risk is None else f" ({value.clv_at_risk:,.2f} at risk)"
        texts.append(f"lifetime {value.clv:,.2f}{at_risk}")
    return ", ".join(texts)


def _moment(time: str) -> str:
    """To the minute, in UTC as everything is.

    >>> _moment("2024-03-05T12:34:56.789Z")
    '2024-03-05 12:34'
    """
    return plain(time[:16].replace("T", " "))


def percent(share: float) -> str:
    """With the digits that matter."""
    return f"{_share(share)} %"


def _share(share: float) -> str:
    """Percent with the digits that matter: nobody is at 0 or 100.

    >>> [_share(p) for p in (0.7234, 0.034, 0.0004, 0.9996, 0.9961)]
    ['72', '3.4', '<0.1', '>99.9', '99.6']
    """
    percent = 100 * share
    if percent < 0.1:
        return "<0.1"
    if percent > 99.9:
        return ">99.9"
    return f"{percent:.0f}" if 10 <= percent <= 99 else f"{percent:.1f}"
