"""Effects of subscription changes and payments on the profile. Money is in minor units of its currency."""

from __future__ import annotations

from models.events.coercion import time_ms
from models.events.event import Event
from models.profile import sections
from models.profile.apply_feedback import tags
from models.profile.mergeable import newest
from models.profile.schema import Profile
from models.profile.subscription_change import CANCEL_SCHEDULED, CANCELLED, change_of
from models.profile.subscription_section import record_change


def subscription_changed(profile: Profile, event: Event) -> None:
    change = change_of(event)
    record_change(sections.subscription(profile), change)
    if change.plan and not change.key:
        identity = sections.identity(profile)
        identity.plan = newest(identity.plan, (change.at_ms, change.price_rank, change.plan))
    if change.kind in (CANCEL_SCHEDULED, CANCELLED):
        tags(profile, event, (event.properties.get("feedback"),))


def card(profile: Profile, event: Event) -> None:
    properties = event.properties
    expires = time_ms(properties.get("card_expires") or properties.get("card_expires_at"))
    if expires is not None:
        section = sections.payments(profile)
        section.card_expires = newest(section.card_expires, (event.time_ms, 0, expires))


def card_expired(profile: Profile, event: Event) -> None:
    """A card that has expired has expired by now, even if the event does not state when."""
    section, at = sections.payments(profile), event.time_ms
    section.card_expires = newest(section.card_expires, (at, event.id_hash, at))
    card(profile, event)


def payment_settled(profile: Profile, event: Event) -> None:
    section = sections.payments(profile)
    section.settled_ms = max(section.settled_ms, event.time_ms)
    card(profile, event)


def payment_failed(profile: Profile, event: Event) -> None:
    section = sections.payments(profile)
    section.failed_ms = max(section.failed_ms, event.time_ms)
    card(profile, event)


def renewal_due(profile: Profile, event: Event) -> None:
    due = time_ms(event.properties.get("due") or event.properties.get("renewal_date"))
    if due is not None:
        section = sections.subscription(profile)
        section.renewal_due = newest(section.renewal_due, (event.time_ms, 0, due))
