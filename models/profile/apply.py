"""Apply single events to a profile: count the event, then run the effect that the taxonomy names for it.

Every effect is independent of order: it adds, takes a minimum or maximum, or keeps the newest value by (time, id).
Properties of the wrong type count as missing. `apply` is the only entry point; the effects are in one module per family
(`apply_billing`, `apply_feedback`, `apply_journey`, `apply_orders`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import Final

from models.events.event import Event, meaning_of
from models.events.taxonomy import Meaning
from models.profile import apply_billing as billing
from models.profile import apply_feedback as feedback
from models.profile import apply_journey as journey
from models.profile import apply_orders as orders
from models.profile.mergeable import HOUR_MS, bins_add, days_add, days_add_newest
from models.profile.schema import GUARD_HOURS, GUARD_IDS, ProcessingState, Profile, advance

_ENGAGED, _AUTOMATED = 0, 1

_TRAITS: Final = ("traits", "signed_up")  # effects that read what the context states as well


def apply(profile: Profile, event: Event, row: Meaning | None = None) -> bool:
    """Apply one event. Return False for a duplicate, which changes nothing.

    The event counts at its own time: a late event counts in the bins of its day, as if it had been on time.

    Args:
        profile: Changed in place.
        event: The event.
        row: The event's meaning, if the caller already looked it up.
    """
    at, key = event.time_ms, event.id_hash
    if at > profile.newest_ms:
        if key in profile.guard:
            return False
        if len(profile.guard) < GUARD_IDS:
            advance(profile, at)
            if key:
                profile.guard[key] = at // 60_000
        else:  # drop the oldest id before time advances, so that it counts as forgotten
            if key:
                is_new_event(profile, key, at)
            advance(profile, at)
    elif key and not is_new_event(profile, key, at):
        return False
    if at < profile.first_ms:
        profile.first_ms = at
    if row is None:
        row = meaning_of(event)
    newest_hour = profile.newest_ms // HOUR_MS
    hour = at // HOUR_MS
    day = hour // 24
    bins, totals = profile.bins, profile.totals
    counter = row.counter
    if counter >= 0:
        bins_add(bins, counter, day, hour, newest_hour)
        totals[counter] = totals.get(counter, 0) + 1
    if event.automated:
        bins_add(bins, _AUTOMATED, day, hour, newest_hour)
        totals[_AUTOMATED] = totals.get(_AUTOMATED, 0) + 1
    elif row.engaged:
        bins_add(bins, _ENGAGED, day, hour, newest_hour)
        totals[_ENGAGED] = totals.get(_ENGAGED, 0) + 1
        if at > profile.engaged_ms:
            profile.engaged_ms = at
        if at < profile.first_engaged_ms:
            profile.first_engaged_ms = at
        if age := newest_hour // 24 - day:
            profile.days = days_add(profile.days, age)
        elif not profile.days[0] & 1:
            profile.days = days_add_newest(profile.days)
    if row.effect:
        _EFFECTS[row.effect](profile, event)
    if event.traits is not None and row.effect not in _TRAITS:
        journey.attributes(profile, event)
    return True


def is_new_event(profile: Profile, key: int, at: int) -> bool:
    """Check an event id against the duplicate guard and add it: False if it was seen within the window.

    The guard keeps the newest `GUARD_IDS` ids. An event older than the window cannot be recognised as a duplicate, and
    counts as new.
    """
    guard = profile.guard
    if key in guard:
        return False
    minute = at // 60_000
    if minute < (profile.newest_ms // HOUR_MS - GUARD_HOURS) * 60:
        return True
    guard[key] = minute
    if len(guard) > GUARD_IDS:
        order: list[tuple[int, int]] | None = profile.__dict__.get("guard_order")
        if order is not None:
            insort(order, (minute, key))
        else:  # built once per batch, and only for customers with a full guard
            order = profile.__dict__["guard_order"] = sorted((time, k) for k, time in guard.items())
        _, oldest = order.pop(0)
        del guard[oldest]
        if profile.processing is None:
            profile.processing = ProcessingState()
        profile.processing.forgotten += 1
    return True


def _handled_by_the_fold(profile: Profile, event: Event) -> None:
    """Ignore deletions and actions on alerts: they change processing state, not the profile."""


_EFFECTS: Final[dict[str, Callable[[Profile, Event], None]]] = {
    "feature": journey.feature,
    "session_ended": journey.session_ended,
    "goal": journey.goal,
    "signed_up": journey.signed_up,
    "trial_started": journey.trial_started,
    "onboarding_step": journey.onboarding_step,
    "onboarding_completed": journey.onboarding_completed,
    "order_completed": orders.order_completed,
    "order_updated": orders.order_updated,
    "order_refunded": orders.order_refunded,
    "order_cancelled": orders.order_cancelled,
    "subscription": billing.subscription_changed,
    "payment_settled": billing.payment_settled,
    "payment_failed": billing.payment_failed,
    "card": billing.card,
    "card_expired": billing.card_expired,
    "renewal_due": billing.renewal_due,
    "tagged": feedback.tagged,
    "ticket_solved": feedback.ticket_solved,
    "ticket_updated": feedback.ticket_updated,
    "survey": feedback.survey,
    "survey_sent": feedback.survey_sent,
    "review": feedback.review,
    "mention": feedback.mention,
    "clicked": journey.clicked,
    "unsubscribed": journey.email_unsubscribed,
    "resubscribed": journey.resubscribed,
    "traits": journey.traits,
    "consent": journey.consent,
    "deletion": _handled_by_the_fold,
    "alert": _handled_by_the_fold,
}
