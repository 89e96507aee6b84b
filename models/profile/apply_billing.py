"""Effects of subscription changes and payments on the profile. Money is in minor units of its currency."""

from __future__ import annotations

from typing import Final

from models.events.coercion import time_ms
from models.events.event import Event
from models.events.readers import card_expiry_ms, end_of_month_ms, first_readable
from models.events.unreadable import unreadable
from models.profile import sections
from models.profile.apply_feedback import tags
from models.profile.mergeable import newest
from models.profile.schema import Profile
from models.profile.subscription_change import CANCEL_SCHEDULED, CANCELLED, change_of
from models.profile.subscription_section import record_change

_RENEWAL_NAMES: Final = ("due", "due_date", "dueDate", "renewal_date", "renewalDate", "renewal_due", "renews_at")
_CARD_NAMES: Final = (
    "card_expires", "card_expires_at", "card_expiry", "card_expiration", "cardExpires", "cardExpiresAt", "cardExpiry",
)  # fmt: skip
_CARD_MONTHS: Final = (
    ("exp_month", "exp_year"),  # Stripe
    ("expiry_month", "expiry_year"),  # Chargebee
    ("card_exp_month", "card_exp_year"),
    ("expiration_month", "expiration_year"),  # Braintree
)
"""Names of month and year, of which the card is valid to the end."""


def subscription_changed(profile: Profile, event: Event) -> None:
    change = change_of(event)
    record_change(sections.subscription(profile), change)
    if change.plan and not change.key:
        identity = sections.identity(profile)
        identity.plan = newest(identity.plan, (change.at_ms, change.price_rank, change.plan))
    if change.kind in (CANCEL_SCHEDULED, CANCELLED):
        tags(profile, event, "feedback")


def card(profile: Profile, event: Event) -> None:
    expires = first_readable(event, _CARD_NAMES, card_expiry_ms)
    if expires is None:
        expires = _card_month_ms(event)
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


def _card_month_ms(event: Event) -> int | None:
    """Read the card's month and year, beside each other in the properties or in an object of the card."""
    properties = event.properties
    for place in (properties, properties.get("card")):
        if not isinstance(place, dict):
            continue
        for month, year in _CARD_MONTHS:
            if place.get(month) is not None and place.get(year) is not None:
                expires = end_of_month_ms(place[month], place[year])
                if expires is not None:
                    return expires
                unreadable(event, month if place is properties else f"card.{month}")
    return None


def renewal_due(profile: Profile, event: Event) -> None:
    due = first_readable(event, _RENEWAL_NAMES, time_ms)
    if due is not None:
        section = sections.subscription(profile)
        section.renewal_due = newest(section.renewal_due, (event.time_ms, 0, due))
