"""Which alerts a route takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.alerts.policy import BANDS
from models.definition.competing_risks import SUCCESS
from models.events.coercion import moment_ms


@dataclass(frozen=True)
class Filter:
    """Which alerts a route takes; empty and None: no matter.

    Attributes:
        band: index into `BANDS` that the severity has reached.
        reasons: one of them is among the reasons.
        min_revenue_at_risk: an alert of which it is not known is not taken.
        route: who takes it up; an alert that does not say is for success.
        max_age_ms: since the change, in event time: a replay's alerts are old.
    """

    types: tuple[str, ...] = ()
    band: int = 0
    reasons: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    min_revenue_at_risk: float | None = None
    max_age_ms: int | None = None
    route: str | None = None

    def takes(self, alert: Mapping[str, Any], now_ms: int) -> bool:
        """Whether a change of an alert is wanted. Members that are missing or of another type meet no condition.

        >>> Filter(band=2).takes({"severity": "high"}, 0), Filter(band=2).takes({"severity": "elevated"}, 0)
        (True, False)
        """
        if self.types and alert.get("type") not in self.types:
            return False
        severity = alert.get("severity")
        if self.band and (severity not in BANDS or BANDS.index(severity) < self.band):
            return False
        if self.route and alert.get("route", SUCCESS) != self.route:
            return False
        if self.segments and _member(alert, "customer", "segment") not in self.segments:
            return False
        if self.min_revenue_at_risk is not None:
            worth = _member(alert, "value", "revenue_at_risk")
            if not isinstance(worth, int | float) or worth < self.min_revenue_at_risk:
                return False
        if self.max_age_ms is not None:
            at_ms = moment_ms(alert.get("time"))
            if at_ms is None or at_ms < now_ms - self.max_age_ms:
                return False
        reasons = alert.get("reasons")
        return not self.reasons or (
            isinstance(reasons, list)
            and any(isinstance(one, dict) and one.get("code") in self.reasons for one in reasons)
        )


def _member(alert: Mapping[str, Any], table: str, name: str) -> Any:
    found = alert.get(table)
    return found.get(name) if isinstance(found, dict) else None
