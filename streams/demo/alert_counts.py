"""Count open and ended alerts, and select the alert that a person sees next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

Alert = Mapping[str, Any]
"""A value of `churn-alerts`; docs/schemas/alert.schema.json."""

_SHOWN_TYPES = ("opened", "escalated")
_END_TYPES = ("resolved", "retracted", "expired")


class SelectedAlert(NamedTuple):
    """An alert to show, and how many others arrived since the previous one."""

    alert: Alert
    others: int


class AlertCounts:
    """Counts alerts and selects one to show.

    More alerts open in a second than a person can read in ten, so only one is selected at a time: the one with the most
    revenue at risk, or the highest probability where revenue is unknown. Customers who have already cancelled come
    last.

    >>> counts = AlertCounts()
    >>> for name, at_risk in (("a", 5.0), ("b", 20.0), ("c", 9.0)):
    ...     counts.add({"alert_id": name, "type": "opened", "resolution": None,
    ...                 "customer": {"stage": "active"}, "score": {"probability": 0.2},
    ...                 "value": {"revenue_at_risk": at_risk}})
    >>> selected = counts.select()
    >>> selected.alert["alert_id"], selected.others, counts.opened, counts.open, counts.select()
    ('b', 2, 3, 3, None)
    """

    def __init__(self) -> None:
        self.opened = 0
        self.resolutions: Counter[str] = Counter()
        self._open: set[str] = set()
        self._waiting: dict[str, Alert] = {}
        self._shown: set[str] = set()
        self._confirmed: list[Alert] = []

    @property
    def open(self) -> int:
        """Number of alerts that have not ended."""
        return len(self._open)

    @property
    def ended(self) -> int:
        """Number of alerts that have ended, for any reason."""
        return self.resolutions.total()

    @property
    def churned(self) -> int:
        """Number of alerts that ended because the customer churned."""
        return self.resolutions["churned"]

    def add(self, alert: Alert) -> None:
        """Count one alert change; changes arrive in topic order."""
        name, kind = str(alert["alert_id"]), alert["type"]
        if kind == "opened":
            self.opened += 1
            self._open.add(name)
        if kind in _SHOWN_TYPES:
            self._waiting[name] = alert
        if kind in _END_TYPES:
            self.resolutions[str(alert["resolution"])] += 1
            self._open.discard(name)
            self._waiting.pop(name, None)
            if name in self._shown:
                self._shown.discard(name)
                if alert["resolution"] == "churned":
                    self._confirmed.append(alert)

    def select(self) -> SelectedAlert | None:
        """Select the alert to show now and drop the others that wait."""
        if not self._waiting:
            return None
        best = max(self._waiting.values(), key=_urgency)
        selected = SelectedAlert(best, len(self._waiting) - 1)
        self._waiting.clear()
        self._shown.add(str(best["alert_id"]))
        return selected

    def pop_confirmed(self) -> list[Alert]:
        """Return, once, the last change of each shown alert whose customer has churned."""
        confirmed, self._confirmed = self._confirmed, []
        return confirmed


def _urgency(alert: Alert) -> tuple[bool, float, float]:
    active = alert["customer"]["stage"] != "churned"
    return active, alert["value"]["revenue_at_risk"] or 0.0, alert["score"]["probability"]
