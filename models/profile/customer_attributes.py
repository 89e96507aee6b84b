"""Read plan, segment, account and source of a customer from an event: its properties, then its context.

Profiles and the retention accounts read them alike, so that both count a customer under the same names. The properties
of most events describe something else: the `plan` of a page can be the one that it advertises. The argument
`own` states whether the properties describe the customer; the context always does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from models.events.coercion import text
from models.events.context import ACCOUNT_NAMES, PLAN_NAMES, SEGMENT_NAMES, SOURCE_NAMES
from models.events.event import Event
from models.events.readers import first_readable, read_identifier

_MISSING: Final = frozenset({"undefined", "null", "nil", "nan", "[object object]"})


def customer_plan(event: Event, *, own: bool = True, context: bool = True) -> str | None:
    """Return the plan that an event states: as a text, or as an object with a name or an id.

    A subscription's change is about the plan of its properties, whatever the `context` states about the customer.
    """
    if not context:
        return first_readable(event, PLAN_NAMES, _label)
    return _stated(event, PLAN_NAMES, _label, own)


def customer_segment(event: Event, *, own: bool = True) -> str | None:
    """Return the segment that an event states."""
    return _stated(event, SEGMENT_NAMES, _label, own)


def customer_source(event: Event, *, own: bool = True) -> str | None:
    """Return the source of the customer that an event states."""
    return _stated(event, SOURCE_NAMES, _label, own)


def customer_account(event: Event, *, own: bool = True) -> str | None:
    """Return the account of the customer as it was sent: `groupId`, or a trait; of a `company`, its id."""
    return event.group or _stated(event, ACCOUNT_NAMES, _account, own)


def _stated(event: Event, names: tuple[str, ...], read: Callable[[Any], str | None], own: bool) -> str | None:
    found = first_readable(event, names, read) if own else None
    if found is None and event.traits:
        found = first_readable(event, names, read, event.traits, "context.traits.")
    return found


def _label(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("name") or value.get("nickname") or value.get("id")
    found = text(value)
    return None if found is None or found.lower() in _MISSING else found


def _account(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("id")
    found = read_identifier(value)
    return None if found is None or found.strip().lower() in _MISSING else found


__all__ = ["customer_account", "customer_plan", "customer_segment", "customer_source"]
