"""What became of the alerts: which are open, how the others ended, and which one a person should see next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

Alert = Mapping[str, Any]
"""A value of `churn-alerts`; docs/schemas/alert.schema.json."""

_NEWS = ("opened", "escalated")
_ENDS = ("resolved", "retracted", "expired")


class Shown(NamedTuple):
    """One alert, and how many others came since the one before it."""

    alert: Alert
    others: int


class AlertCounts:
    """Counts alerts by what they have come to. More of them come in a second than a person can read in ten, so one is
    chosen at a time: the one with the most revenue at stake, or the most probable where revenue is unknown. Customers
    who have cancelled and may still be won back come after those who are there.

    >>> tally = AlertCounts()
    >>> for name, at_stake in (("a", 5.0), ("b", 20.0), ("c", 9.0)):
    ...     tally.add({"alert_id": name, "type": "opened", "resolution": None,
    ...                "customer": {"stage": "active"}, "score": {"probability": 0.2},
    ...                "value": {"revenue_at_risk": at_stake}})
    >>> shown = tally.take()
    >>> shown.alert["alert_id"], shown.others, tally.opened, tally.open, tally.take()
    ('b', 2, 3, 3, None)
    """

    def __init__(self) -> None:
        self.opened = 0
        self.resolutions: Counter[str] = Counter()
        self._open: set[str] = set()
        self._waiting: dict[str, Alert] = {}
        self._shown: set[str] = set()
        self._came_true: list[Alert] = []

    @property
    def open(self) -> int:
        """Alerts that have not ended."""
        return len(self._open)

    @property
    def ended(self) -> int:
        """Alerts that have, for whatever reason."""
        return self.resolutions.total()

    @property
    def churned(self) -> int:
        """Alerts whose customer left: they came true."""
        return self.resolutions["churned"]

    def add(self, alert: Alert) -> None:
        """One lifecycle event, in the topic's order."""
        name, kind = str(alert["alert_id"]), alert["type"]
        if kind == "opened":
            self.opened += 1
            self._open.add(name)
        if kind in _NEWS:
            self._waiting[name] = alert
        if kind in _ENDS:
            self.resolutions[str(alert["resolution"])] += 1
            self._open.discard(name)
            self._waiting.pop(name, None)
            if name in self._shown:
                self._shown.discard(name)
                if alert["resolution"] == "churned":
                    self._came_true.append(alert)

    def take(self) -> Shown | None:
        """The alert to show now; all that came with it are passed over."""
        if not self._waiting:
            return None
        best = max(self._waiting.values(), key=_urgency)
        shown = Shown(best, len(self._waiting) - 1)
        self._waiting.clear()
        self._shown.add(str(best["alert_id"]))
        return shown

    def take_came_true(self) -> list[Alert]:
        """The ends of those alerts that were shown and whose customer has left since."""
        found, self._came_true = self._came_true, []
        return found


def _urgency(alert: Alert) -> tuple[bool, float, float]:
    there = alert["customer"]["stage"] != "churned"
    return there, alert["value"]["revenue_at_risk"] or 0.0, alert["score"]["probability"]
