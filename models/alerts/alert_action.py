"""What a person does to an alert, and the events that report it."""

from __future__ import annotations

from typing import Final

import msgspec

from models.events.coercion import time_ms
from models.events.event import Event


class AlertAction(msgspec.Struct, gc=False, frozen=True):
    """A person's action on an alert; without an id (None), on the customer's current one."""

    kind: str
    alert_id: str | None = None
    until_ms: int | None = None


_ACTIONS: Final[dict[str, str]] = {
    "Alert Acknowledged": "acknowledge",
    "Alert Snoozed": "snooze",
    "Alert Dismissed": "dismiss",
}


def action_of(event: Event) -> AlertAction | None:
    """The action that an event reports: `alert_id`, and for a snooze `until`; None for other events."""
    kind = _ACTIONS.get(event.name)
    if kind is None:
        return None
    alert_id = event.properties.get("alert_id")
    if alert_id is not None and not isinstance(alert_id, str):
        alert_id = ""  # the id of no alert
    return AlertAction(kind, alert_id, time_ms(event.properties.get("until")))
