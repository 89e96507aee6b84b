"""What single events change in a profile, beyond being counted: one small rule per effect named in the family table.

Every rule is free of order: it adds, takes a minimum or maximum, or keeps what is newest by (time, id). Properties of
the wrong type are treated as missing. `apply` is the one way in.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any, Final
from zlib import crc32

from models.event import Event
from models.families import MEANINGS, UNKNOWN, Meaning
from models.numbers import minor_units, number, text, time_ms
from models.primitives import DAY_MS, HOUR_MS, bins_add, days_add, keep_last, keep_newest_keys, keep_smallest, newest
from models.profile import (
    FEATURES_TRACKED,
    GOALS_KEPT,
    GUARD_HOURS,
    GUARD_IDS,
    ORDERS_KEPT,
    RESPONSES_KEPT,
    STEPS_TRACKED,
    SUBSCRIPTION_LOG,
    SUM_LIMIT,
    TAGS_KEPT,
    Commerce,
    Identity,
    Journey,
    Path,
    Payments,
    Profile,
    Subscription,
    SubscriptionChange,
    Voice,
    advance,
)

BARRIERS: Final = (  # Stripe's vocabulary of cancellation feedback
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
_BARRIER_INDEX = {tag: index for index, tag in enumerate(BARRIERS)}

# Kinds of subscription change
STARTED, UPGRADED, DOWNGRADED, PAUSED, RESUMED, CANCEL_SCHEDULED, CANCEL_WITHDRAWN, CANCELLED = range(8)
RENEWED = 8  # moves price and period only; a renewal every month would push the changes out of the log
_CHANGES = {
    "Subscription Started": STARTED,
    "Subscription Renewed": RENEWED,
    "Subscription Upgraded": UPGRADED,
    "Subscription Downgraded": DOWNGRADED,
    "Subscription Paused": PAUSED,
    "Subscription Resumed": RESUMED,
    "Subscription Cancel Scheduled": CANCEL_SCHEDULED,
    "Subscription Cancel Withdrawn": CANCEL_WITHDRAWN,
    "Subscription Cancelled": CANCELLED,
}

_ENGAGED, _AUTOMATED = 0, 1


def apply(profile: Profile, event: Event, row: Meaning | None = None) -> bool:
    """Applies one event; False if it is a duplicate and changed nothing. `row` is its meaning, if already looked up.

    The event's own time says where it counts: one that is late lands in the bins of its day, as it would have in time.
    """
    at, key = event.time_ms, event.id_hash
    if key and not _admit(profile, key, at):
        return False
    if at > profile.newest_ms:
        advance(profile, at)
    if at < profile.first_ms:
        profile.first_ms = at
    if row is None:
        row = MEANINGS.get(event.name, UNKNOWN)
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
        age = newest_hour // 24 - day
        if age or not profile.days[0] & 1:
            profile.days = days_add(profile.days, age)
    if row.effect:
        _EFFECTS[row.effect](profile, event)
    return True


def _admit(profile: Profile, key: int, at: int) -> bool:
    """The duplicate guard: False if this id was seen within the window. Remembers the newest `GUARD_IDS` ids.

    An event older than the window cannot be told from a duplicate, and counts.
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
        else:  # built once a batch, and only for customers this busy
            order = profile.__dict__["guard_order"] = sorted((when, k) for k, when in guard.items())
        _, oldest = order.pop(0)
        del guard[oldest]
        if profile.path is None:
            profile.path = Path()
        profile.path.forgotten += 1
    return True


# Parts that a profile only has when there is something to say ------------------------------------------------------


def _commerce(profile: Profile) -> Commerce:
    part = profile.commerce
    if part is None:
        part = profile.commerce = Commerce()
    return part


def _subscription(profile: Profile) -> Subscription:
    part = profile.subscription
    if part is None:
        part = profile.subscription = Subscription()
    return part


def _payments(profile: Profile) -> Payments:
    part = profile.payments
    if part is None:
        part = profile.payments = Payments()
    return part


def _voice(profile: Profile) -> Voice:
    part = profile.voice
    if part is None:
        part = profile.voice = Voice()
    return part


def _identity(profile: Profile) -> Identity:
    part = profile.identity
    if part is None:
        part = profile.identity = Identity()
    return part


def _journey(profile: Profile) -> Journey:
    part = profile.journey
    if part is None:
        part = profile.journey = Journey()
    return part


# Activity and journey -----------------------------------------------------------------------------------------------


def feature_key(name: str) -> int:
    """The key under which a product feature's last use is kept."""
    return crc32(name.encode("utf-8", "replace"))


def _feature(profile: Profile, event: Event) -> None:
    if event.automated:
        return
    properties = event.properties
    name = properties.get("feature") or properties.get("name")
    if name.__class__ is str:
        day, key = event.time_ms // DAY_MS, crc32(name[:128].encode("utf-8", "replace"))
        if profile.used.get(key, -1) < day:
            keep_newest_keys(profile.used, key, day, FEATURES_TRACKED)


def _session_ended(profile: Profile, event: Event) -> None:
    seconds = number(event.properties.get("duration") or event.properties.get("duration_seconds"))
    if seconds is not None and 0 <= seconds <= 86_400:
        journey = _journey(profile)
        journey.session_s_sum += round(seconds)
        journey.sessions_timed += 1


def _goal(profile: Profile, event: Event) -> None:
    journey = _journey(profile)
    journey.first_goal_ms = min(journey.first_goal_ms, event.time_ms)
    journey.last_goal_ms = max(journey.last_goal_ms, event.time_ms)
    value = number(event.properties.get("score", event.properties.get("value")))
    if value is not None and 0 <= value <= 1e9:
        keep_last(journey.goal_values, (event.time_ms, event.id_hash, round(1000 * value)), GOALS_KEPT)


def _signed_up(profile: Profile, event: Event) -> None:
    journey = _journey(profile)
    journey.signed_up_ms = min(journey.signed_up_ms, event.time_ms)
    _traits(profile, event)


def _trial_started(profile: Profile, event: Event) -> None:
    ends = time_ms(event.properties.get("trial_end") or event.properties.get("ends_at"))
    if ends is not None:
        part = _subscription(profile)
        part.trial_end = newest(part.trial_end, (event.time_ms, event.id_hash, ends))


def _onboarding_step(profile: Profile, event: Event) -> None:
    journey = _journey(profile)
    step = event.properties.get("step") or event.properties.get("name")
    if step is not None:
        journey.steps = keep_smallest(journey.steps, feature_key(str(step)[:128]), STEPS_TRACKED)
    total = number(event.properties.get("steps_total") or event.properties.get("total"))
    if total is not None and 0 < total <= 1000:
        journey.steps_total = max(journey.steps_total, int(total))


def _onboarding_completed(profile: Profile, event: Event) -> None:
    journey = _journey(profile)
    journey.onboarded_ms = min(journey.onboarded_ms, event.time_ms)


# Commerce, subscription, payments ------------------------------------------------------------------------------------


def _money(properties: dict[str, Any], *names: str) -> int | None:
    for name in names:
        if (amount := properties.get(name)) is not None:
            return minor_units(amount, properties.get("currency"))
    return None


def _order_completed(profile: Profile, event: Event) -> None:
    part = _commerce(profile)
    at = event.time_ms
    part.orders += 1
    part.first_ms = min(part.first_ms, at)
    part.last_ms = max(part.last_ms, at)
    part.days = days_add(part.days, profile.newest_ms // DAY_MS - at // DAY_MS)
    amount = _money(event.properties, "revenue", "total", "value")
    if amount is not None and amount > 0:
        part.valued += 1
        part.revenue = min(part.revenue + amount, SUM_LIMIT)
        keep_last(part.recent, (at, event.id_hash, amount), ORDERS_KEPT)


def _order_refunded(profile: Profile, event: Event) -> None:
    part = _commerce(profile)
    part.refunds += 1
    amount = _money(event.properties, "revenue", "total", "amount", "value")
    if amount is not None:
        part.refunded = min(part.refunded + abs(amount), SUM_LIMIT)


def _subscription_change(profile: Profile, event: Event) -> None:
    part = _subscription(profile)
    properties, at, key = event.properties, event.time_ms, event.id_hash
    kind = _CHANGES[event.name]
    price = _money(properties, "mrr")
    if price is not None and price < 0:
        price = None  # a credit is not a price
    plan = text(properties.get("plan"), 64)
    if kind != RENEWED:
        keep_last(part.log, (at, key, kind, -1 if price is None else price, plan or ""), SUBSCRIPTION_LOG)
    if price is not None:
        part.mrr = newest(part.mrr, (at, key, price))
    if plan:
        identity = _identity(profile)
        identity.plan = newest(identity.plan, (at, key, plan))
    end = time_ms(properties.get("period_end"))
    if end is not None:
        part.period_end = newest(part.period_end, (at, key, end))
    if kind in (CANCEL_SCHEDULED, CANCELLED):
        _tags(profile, event, (properties.get("feedback"),))


def _card(profile: Profile, event: Event) -> None:
    properties = event.properties
    expires = time_ms(properties.get("card_expires") or properties.get("card_expires_at"))
    if expires is not None:
        part = _payments(profile)
        part.card_expires = newest(part.card_expires, (event.time_ms, event.id_hash, expires))


def _payment_settled(profile: Profile, event: Event) -> None:
    part = _payments(profile)
    part.settled_ms = max(part.settled_ms, event.time_ms)
    _card(profile, event)


def _payment_failed(profile: Profile, event: Event) -> None:
    part = _payments(profile)
    part.failed_ms = max(part.failed_ms, event.time_ms)
    _card(profile, event)


def _renewal_due(profile: Profile, event: Event) -> None:
    due = time_ms(event.properties.get("due") or event.properties.get("renewal_date"))
    if due is not None:
        part = _subscription(profile)
        part.renewal_due = newest(part.renewal_due, (event.time_ms, event.id_hash, due))


# Support, surveys, reviews --------------------------------------------------------------------------------------------


def _tags(profile: Profile, event: Event, tags: Sequence[Any]) -> None:
    for tag in tags[:8]:
        index = _BARRIER_INDEX.get(tag) if tag.__class__ is str else None
        if index is not None:
            keep_last(_voice(profile).tags, (event.time_ms, event.id_hash, index), TAGS_KEPT)


def _tagged(profile: Profile, event: Event) -> None:
    part = _voice(profile)
    part.ticket_ms = max(part.ticket_ms, event.time_ms)
    tags = event.properties.get("tags")
    if isinstance(tags, list):
        _tags(profile, event, tags)


def _ticket_solved(profile: Profile, event: Event) -> None:
    seconds = number(event.properties.get("resolution_seconds"))
    opened = time_ms(event.properties.get("created_at"))
    if seconds is None and opened is not None:
        seconds = (event.time_ms - opened) / 1000
    if seconds is not None and 0 <= seconds <= 366 * 86_400:
        part = _voice(profile)
        part.solve_ms_sum += round(seconds * 1000)
        part.solved_timed += 1


_SCALES = {"csat": 5.0, "nps": 10.0, "ces": 7.0}  # the usual scale where the event does not say its own


def _survey(profile: Profile, event: Event) -> None:
    properties = event.properties
    kind, score = str(properties.get("kind")), number(properties.get("score"))
    scale = number(properties.get("scale_max")) or _SCALES.get(kind)
    part = _voice(profile)
    if score is not None and scale and 0 <= score <= scale and kind in _SCALES:
        entry = (event.time_ms, event.id_hash, round(1000 * (score / scale)))  # the largest double times 1000 is inf
        keep_last(getattr(part, kind), entry, RESPONSES_KEPT)
        if kind == "csat":
            part.csat_sum += entry[2]
            part.csat_count += 1
    tags = properties.get("tags")
    if isinstance(tags, list):
        _tags(profile, event, tags)


def _survey_sent(profile: Profile, event: Event) -> None:
    _voice(profile).surveys_sent += 1


def _opinion(profile: Profile, event: Event, counter: int) -> None:
    properties = event.properties
    rating, scale = number(properties.get("rating")), number(properties.get("scale_max")) or 5.0
    feeling = number(properties.get("sentiment"))  # -1..1
    if feeling is None and rating is not None and 0 <= rating <= scale and scale > 1:
        feeling = 2 * rating / scale - 1
    if feeling is None:
        feeling = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}.get(str(properties.get("sentiment")))
    if feeling is None:
        return
    feeling = min(1.0, max(-1.0, feeling))
    part = _voice(profile)
    part.sentiment = newest(part.sentiment, (event.time_ms, event.id_hash, round(1000 * feeling)))
    if feeling < -0.1:
        at = event.time_ms
        bins_add(profile.bins, counter, at // DAY_MS, at // HOUR_MS, profile.newest_ms // HOUR_MS)
        profile.totals[counter] = profile.totals.get(counter, 0) + 1


def _review(profile: Profile, event: Event) -> None:
    _opinion(profile, event, 16)


def _mention(profile: Profile, event: Event) -> None:
    _opinion(profile, event, 17)


# Messages, identity --------------------------------------------------------------------------------------------------


def _clicked(profile: Profile, event: Event) -> None:
    journey = _journey(profile)
    journey.clicked_ms = max(journey.clicked_ms, event.time_ms)


def _set_subscribed(profile: Profile, event: Event, value: int) -> None:
    part = _identity(profile)
    part.subscribed = newest(part.subscribed, (event.time_ms, event.id_hash, value))


def _unsubscribed(profile: Profile, event: Event) -> None:
    _set_subscribed(profile, event, 0)


def _resubscribed(profile: Profile, event: Event) -> None:
    _set_subscribed(profile, event, 1)


def _traits(profile: Profile, event: Event) -> None:
    properties, stamp = event.properties, (event.time_ms, event.id_hash)
    for name in ("plan", "segment", "account", "source"):
        value = text(properties.get(name), 64)
        if name == "account" and event.group:
            value = event.group[:64]
        if value:
            part = _identity(profile)
            setattr(part, name, newest(getattr(part, name), (*stamp, value)))
    if properties.get("referred") is True or properties.get("referrer"):
        _identity(profile).referred = True
    _card(profile, event)


def _consent(profile: Profile, event: Event) -> None:
    granted = event.properties.get("granted")
    if granted.__class__ is bool:
        part = _identity(profile)
        part.consent = newest(part.consent, (event.time_ms, event.id_hash, int(granted)))


def _left_to_the_fold(profile: Profile, event: Event) -> None:
    """Deletion and answers to alerts move the path, not the history."""


_EFFECTS: Final[dict[str, Callable[[Profile, Event], None]]] = {
    "feature": _feature,
    "session_ended": _session_ended,
    "goal": _goal,
    "signed_up": _signed_up,
    "trial_started": _trial_started,
    "onboarding_step": _onboarding_step,
    "onboarding_completed": _onboarding_completed,
    "order_completed": _order_completed,
    "order_refunded": _order_refunded,
    "subscription": _subscription_change,
    "payment_settled": _payment_settled,
    "payment_failed": _payment_failed,
    "card": _card,
    "renewal_due": _renewal_due,
    "tagged": _tagged,
    "ticket_solved": _ticket_solved,
    "survey": _survey,
    "survey_sent": _survey_sent,
    "review": _review,
    "mention": _mention,
    "clicked": _clicked,
    "unsubscribed": _unsubscribed,
    "resubscribed": _resubscribed,
    "traits": _traits,
    "consent": _consent,
    "deletion": _left_to_the_fold,
    "alert": _left_to_the_fold,
}


_NO_LOG: Final[list[SubscriptionChange]] = []


class SubscriptionState:
    """Where a subscription stands at a time, read from its newest changes.

    A start while one runs changes nothing; activity after an end opens nothing; only a start does.
    """

    __slots__ = ("active", "cancel_scheduled", "ended_ms", "paused", "since_ms", "started")

    def __init__(self, part: Subscription | None) -> None:
        self.started = self.active = self.paused = self.cancel_scheduled = False
        self.since_ms = self.ended_ms = 0
        for at, _, kind, _, _ in _NO_LOG if part is None else part.log:
            if kind == CANCELLED:
                self.active, self.started, self.ended_ms = False, True, at
                self.paused = self.cancel_scheduled = False
            elif kind == STARTED or not self.started:
                if not self.active:
                    self.since_ms = at
                self.active = self.started = True
            if kind in (PAUSED, RESUMED):
                self.paused = kind == PAUSED and self.active
            elif kind in (CANCEL_SCHEDULED, CANCEL_WITHDRAWN):
                self.cancel_scheduled = kind == CANCEL_SCHEDULED and self.active
