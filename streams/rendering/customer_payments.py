"""How a customer may be lost, and how payments stand, as `churn-signals customer ID` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from streams.rendering.alerts import percent


def payment_lines(score: Mapping[str, Any]) -> Iterator[str]:
    """What a `churn-scores` value says; nothing of what it does not know.

    >>> cause = {"probability": 0.31, "horizon_days": 14.0}
    >>> paid = {"dunning_since": "2024-03-05", "dunning_days": 6, "failed": 3, "recovered": 1, "recovered_rate": 0.3333}
    >>> paid["card_expires_in_days"] = -2.5
    >>> score = {"route": "billing", "payments": paid}
    >>> score["risks"] = {"voluntary": cause | {"probability": 0.02, "horizon_days": 30.0}, "involuntary": cause}
    >>> print(*payment_lines(score), sep="\\n")
    by what they do 2.0 % within 30 days, by a payment that fails 31 % within 14 days: for billing
    a payment is open since 2024-03-05 (6 days); 3 failed so far, 1 recovered (33 %); the card expired 2 days ago
    """
    risks, paid = score.get("risks"), score.get("payments")
    if risks is not None:
        by_choice, by_payment = risks["voluntary"], risks["involuntary"]
        yield (
            f"by what they do {percent(by_choice['probability'])} within {by_choice['horizon_days']:g} days,"
            f" by a payment that fails {percent(by_payment['probability'])} within {by_payment['horizon_days']:g} days:"
            f" for {score['route']}"
        )
    if paid is not None and (told := "; ".join(_payments(paid))):
        yield told


def _payments(paid: Mapping[str, Any]) -> Iterator[str]:
    if paid["dunning_since"] is not None:
        yield f"a payment is open since {paid['dunning_since']} ({paid['dunning_days']} days)"
    elif paid["failed"]:
        yield "no payment is open"
    if paid["failed"]:
        yield f"{paid['failed']} failed so far, {paid['recovered']} recovered ({percent(paid['recovered_rate'])})"
    if (left := paid["card_expires_in_days"]) is not None:
        yield f"the card expires in {left:.0f} days" if left >= 0 else f"the card expired {-left:.0f} days ago"
