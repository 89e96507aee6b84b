"""Filter of a route: which alert events it wants. Tested by tests/streams/notify/test_routes.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.alerts.settings import BANDS
from models.definition.competing_risks import SUCCESS
from models.events.coercion import moment_ms


@dataclass(frozen=True)
class Filter:
    """Conditions for an alert event, all of which must hold. Empty and None mean no condition.

    Attributes:
        types: allowed alert types.
        band: minimum severity, as an index into `BANDS`.
        reasons: at least one of these codes is among the reasons.
        segments: allowed customer segments.
        min_revenue_at_risk: minimum in currency units. Alerts without a known value do not match.
        max_age_ms: maximum age in event time. It excludes the old alerts of a replay.
        route: team that handles the alert. An alert without the field belongs to "success".
    """

    types: tuple[str, ...] = ()
    band: int = 0
    reasons: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    min_revenue_at_risk: float | None = None
    max_age_ms: int | None = None
    route: str | None = None

    def matches(self, alert: Mapping[str, Any], now_ms: int) -> bool:
        """Return whether the alert event meets all conditions. Missing or malformed fields meet none.

        >>> Filter(band=2).matches({"severity": "high"}, 0), Filter(band=2).matches({"severity": "elevated"}, 0)
        (True, False)
        """
        if self.types and alert.get("type") not in self.types:
            return False
        severity = alert.get("severity")
        if self.band and (severity not in BANDS or BANDS.index(severity) < self.band):
            return False
        if self.route and alert.get("route", SUCCESS) != self.route:
            return False
        if self.segments and _field(alert, "customer", "segment") not in self.segments:
            return False
        if self.min_revenue_at_risk is not None:
            revenue = _field(alert, "value", "revenue_at_risk")
            if not isinstance(revenue, int | float) or revenue < self.min_revenue_at_risk:
                return False
        if self.max_age_ms is not None:
            at_ms = moment_ms(alert.get("time"))
            if at_ms is None or at_ms < now_ms - self.max_age_ms:
                return False
        reasons = alert.get("reasons")
        return not self.reasons or (
            isinstance(reasons, list)
            and any(isinstance(reason, dict) and reason.get("code") in self.reasons for reason in reasons)
        )


def _field(alert: Mapping[str, Any], section: str, name: str) -> Any:
    fields = alert.get(section)
    return fields.get(name) if isinstance(fields, dict) else None
