"""Read what a call states beside its properties: the page's name, the account, traits, and whether a person acted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from models.events.identity import is_blocked
from models.events.readers import boolean, is_blank, read_identifier
from models.events.unreadable import unreadable

if TYPE_CHECKING:
    from models.events.envelope import CallContext
    from models.events.event import Event

PLAN_NAMES: Final = ("plan", "plan_name", "planName", "plan_id", "planId")
SEGMENT_NAMES: Final = ("segment", "customer_segment", "customerSegment")
ACCOUNT_NAMES: Final = (
    "account", "account_id", "accountId", "company_id", "companyId", "organization_id", "organizationId", "company",
)  # fmt: skip
SOURCE_NAMES: Final = ("source", "signup_source", "acquisition_source", "utm_source")
CONTEXT_NAMES: Final = frozenset((*PLAN_NAMES, *SEGMENT_NAMES, *ACCOUNT_NAMES, *SOURCE_NAMES))
"""Traits that are read in the context of every call. Mobile libraries send all of a user's traits with each event."""


def apply_automated(event: Event, automated: object) -> None:
    """Set whether the properties mark the event as automated: `automated`, in any spelling of a boolean."""
    found = boolean(automated)
    event.automated = found is True
    if found is None and not is_blank(automated):
        unreadable(event, "automated")


def page_properties(properties: dict[str, Any] | None, name: object) -> dict[str, Any]:
    """Return the properties of a page or screen with its name, which stands beside them. Their own `name` wins.

    >>> page_properties(None, "Pricing"), page_properties({"name": "Home"}, "Pricing")
    ({'name': 'Pricing'}, {'name': 'Home'})
    """
    if properties is None:
        return {"name": name}
    own = properties.get("name")
    if own is None or own == "":
        properties["name"] = name
    return properties


def apply_context(event: Event, context: CallContext) -> None:
    """Set what the context states: an automated event, the account, and the traits that are read."""
    if context.active is not None:
        active = boolean(context.active)
        if active is False:
            event.automated = True
        elif active is None and not is_blank(context.active):
            unreadable(event, "context.active")
    traits = context.traits
    if traits.__class__ is dict:
        if not CONTEXT_NAMES.isdisjoint(traits):
            event.traits = {name: value for name, value in traits.items() if name in CONTEXT_NAMES}
    elif traits is not None:
        unreadable(event, "context.traits")
    if context.groupId is not None and event.group is None:
        group = read_identifier(context.groupId)
        if group is not None and not is_blocked(group):
            event.group = group
            event.traits = event.traits or {}
        elif not is_blank(context.groupId):
            unreadable(event, "context.groupId")
