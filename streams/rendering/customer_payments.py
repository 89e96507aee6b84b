"""Lines of the customer page about the risk by cause and about payments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streams.rendering.alerts import cause_risks_text
from streams.rendering.formats import count_text, percent_text


def payment_lines(score: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for the risks and one for the payments of a `churn-scores` value, if it has them.

    >>> cause = {"probability": 0.31, "horizon_days": 14.0}
    >>> paid = {"dunning_since": "2024-03-05", "dunning_days": 6, "failed": 3, "recovered": 1, "recovered_rate": 0.3333}
    >>> paid["card_expires_in_days"] = -2.5
    >>> score = {"route": "billing", "payments": paid}
    >>> score["risks"] = {"voluntary": cause | {"probability": 0.02, "horizon_days": 30.0}, "involuntary": cause}
    >>> print(*payment_lines(score), sep="\\n")
    voluntary churn 2.0% within 30 days, involuntary churn (payment failure) 31% within 14 days; route: billing
    payment unpaid since 2024-03-05 (6 days); 1 of 3 failed payments recovered (33%); card expired 2 days ago
    """
    risks, payments = score.get("risks"), score.get("payments")
    if risks is not None:
        yield f"{cause_risks_text(risks)}; route: {score['route']}"
    if payments is not None and (facts := "; ".join(_facts(payments))):
        yield facts


def _facts(payments: Mapping[str, Any]) -> Iterator[str]:
    if payments["dunning_since"] is not None:
        yield f"payment unpaid since {payments['dunning_since']} ({count_text(payments['dunning_days'], 'day')})"
    elif payments["failed"]:
        yield "no unpaid payment"
    if payments["failed"]:
        failed, rate = count_text(payments["failed"], "failed payment"), percent_text(payments["recovered_rate"], 0)
        yield f"{payments['recovered']} of {failed} recovered ({rate})"
    if (days_left := payments["card_expires_in_days"]) is not None:
        days = count_text(round(abs(days_left)), "day")
        yield f"card expires in {days}" if days_left >= 0 else f"card expired {days} ago"
