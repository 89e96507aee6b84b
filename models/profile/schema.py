"""The customer profile: one bounded, mergeable record that holds all state of one customer.

The record has two kinds of fields:

`Profile` and its sections    independent of the order of events. The same events in any order give the same bytes, as
                              long as no event is later than the bins reach back. `models.profile.merge` combines two
                              halves of a history into exactly what the whole would have given.
`ProcessingState`             dependent on the order of processing: when the customer was last scored, which training
                              snapshots are pending. Only the fold (`models.pipeline.partition`) changes it.

All structs are encoded as arrays (`models.profile.codec`): a field may be renamed, but never moved or removed, and a
new field goes to the end.
"""

from __future__ import annotations

from typing import Final

import msgspec

from models.profile.mergeable import BITMAP_BYTES, HOUR_MS, bins_advance, days_advance

NEVER_MS: Final = (1 << 63) - 1

GUARD_IDS: Final = 256  # event ids that the duplicate guard holds
GUARD_HOURS: Final = 24  # of event time
FEATURES_TRACKED: Final = 48  # distinct product features with a day of last use
SUBSCRIPTION_LOG: Final = 12  # subscription changes without an id; two years of quarterly changes
SUBSCRIPTIONS_KEPT: Final = 8  # subscriptions with an id: a plan and its add-ons; more are summed in `SubscriptionRest`
OBJECT_CHANGES: Final = 16  # changes of the price of subscriptions with ids, for comparisons with an earlier price
RESPONSES_KEPT: Final = 8  # newest survey responses per kind; the mean over all responses has its own sums
TAGS_KEPT: Final = 16
RATED_KEPT: Final = 8  # touchpoints, and surveys, with their own sums: the first by name
REACHED_KEPT: Final = 16  # goals, including goals that are no longer declared
ORDERS_KEPT: Final = 12  # newest orders with an id; refunds and corrections come within a few orders
TICKETS_KEPT: Final = 16  # with an id, the open ones first
CURRENCIES_KEPT: Final = 4  # per customer: the first by code
GOALS_KEPT: Final = 8
STEPS_TRACKED: Final = 16
SUM_LIMIT: Final = 1 << 62  # sums are clipped here to stay encodable; clipped sums of non-negative numbers commute

# (time ms, place in the life cycle of the object, value): compared by the first two, then by the position in the log.
# Lists are ordered by time alone, and their second number may be an id hash, which names the event.
Stamp = tuple[int, int]
StampedText = tuple[int, int, str]
StampedNumber = tuple[int, int, int]
# (time ms, place in the life cycle, minor units, currency)
StampedMoney = tuple[int, int, int, str]
# (currency, amounts, their sum)
RefundSum = tuple[str, int, int]
# (currency, amounts, orders with an amount, their revenue, refunded amount of orders, and of orders never seen)
OrderSum = tuple[str, int, int, int, int, int]
# (time ms, place in the life cycle, kind, MRR in minor units or -1, plan)
LoggedChange = tuple[int, int, int, int, str]
# (time ms, key of the subscription, kind, MRR in minor units or -1)
ObjectChange = tuple[int, int, int, int]
# (kind and name, responses, sum of their scores, epoch seconds of the newest, its score)
Rated = tuple[str, int, int, int, int]
# (key of a declared goal, first and last time ms, count)
Reached = tuple[int, int, int, int]


class OrderObject(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One order with an id; see `models.profile.order_object`."""

    key: int = 0  # hash of its id
    newest_ms: int = 0  # newest event about it
    placed_ms: int = NEVER_MS  # first completion
    shown_ms: int = NEVER_MS  # first update, which shows that it exists
    amount: StampedMoney | None = None
    refunded: list[RefundSum] = []  # its partial refunds, by currency
    reversed: bool = False  # refunded as a whole, or cancelled
    returned: bool = False  # refunded in part or as a whole, or cancelled


class Commerce(msgspec.Struct, array_like=True, gc=False):
    """Orders and refunds. Several orders on one day are one order day. Money is in minor units of its currency.

    Read it by `models.profile.order_totals`, which adds the orders with an id to the sums.
    """

    days: bytes = bytes(BITMAP_BYTES)  # days with an order, relative to the profile's newest day
    older_days: int = 0  # order days that left the bitmap
    first_ms: int = NEVER_MS
    last_ms: int = 0
    orders: int = 0
    valued: int = 0  # orders with an amount, of releases that stored no currency
    revenue: int = 0  # of the same orders
    refunds: int = 0
    refunded: int = 0  # of the same orders
    recent: list[StampedNumber] = []  # revenue of the newest of these orders
    objects: list[OrderObject] = []  # the newest orders with an id, ordered by key; all else here is without them
    sums: list[OrderSum] = []  # by currency
    uncounted: int = 0  # amounts in further currencies
    latest: StampedMoney | None = None  # newest order with an amount
    settled: int = 0  # orders with an id that left `objects`
    unseen: int = 0  # refunds of orders that were never seen, that left `objects`
    newest_day: int = 0  # of the profile


class SubscriptionObject(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One subscription: the newest value of each of its properties; see `models.profile.subscription_object`."""

    key: int = 0  # hash of its id; 0 without an id
    first_ms: int = NEVER_MS  # earliest event that shows that it runs
    last_ms: int = 0
    start: Stamp | None = None
    end: StampedNumber | None = None  # with the cause, see `models.profile.subscription_change.CAUSES`
    pause: StampedNumber | None = None  # 1: paused, 0: started or resumed
    cancel: StampedNumber | None = None  # 1: cancellation scheduled, 0: started or withdrawn
    price: StampedNumber | None = None  # minor units a month
    currency: StampedText | None = None
    plan: StampedText | None = None
    period_end: StampedNumber | None = None


class SubscriptionRest(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The sum of the subscriptions that left the bounded set of a customer."""

    running: int = 0
    price: int = 0  # minor units a month, of those in `currency`
    currency: str = ""
    ended: int = 0


class Subscription(msgspec.Struct, array_like=True, gc=False):
    """The subscriptions of a customer: those with an id as objects, and the one that events without an id are about."""

    log: list[LoggedChange] = []  # of events without an id, except renewals, which would push the others out
    mrr: StampedNumber | None = None  # of events without an id
    period_end: StampedNumber | None = None  # of events without an id
    trial_end: StampedNumber | None = None  # of any event
    renewal_due: StampedNumber | None = None
    currency: StampedText | None = None  # of `mrr`
    earlier: SubscriptionObject | None = None  # changes that left the log
    renewed_ms: int = NEVER_MS  # earliest renewal without an id
    objects: list[SubscriptionObject] = []  # ordered by key
    changes: list[ObjectChange] = []  # of `objects`
    rest: SubscriptionRest | None = None


class Payments(msgspec.Struct, array_like=True, gc=False):
    """Times of the newest settled and the newest failed payment, and the card's expiry."""

    settled_ms: int = 0
    failed_ms: int = 0
    card_expires: StampedNumber | None = None


class TicketObject(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One ticket with an id; see `models.profile.ticket_object`."""

    key: int = 0  # hash of its id
    newest_ms: int = 0  # newest event about it
    state: StampedNumber | None = None  # 1: created or reopened, 0: solved
    seen: bool = False  # an event other than its solution shows it
    solved: StampedNumber | None = None  # ms that the newest solution took


class Feedback(msgspec.Struct, array_like=True, gc=False):
    """Tickets, survey responses and reviews. Scores are per mille of their scale."""

    ticket_ms: int = 0
    solve_ms_sum: int = 0
    solved_timed: int = 0
    csat: list[StampedNumber] = []
    nps: list[StampedNumber] = []
    ces: list[StampedNumber] = []
    csat_sum: int = 0
    csat_count: int = 0
    surveys_sent: int = 0
    tags: list[StampedNumber] = []  # index into `models.profile.apply_feedback.BARRIERS`
    sentiment: StampedNumber | None = None
    csat_top: int = 0  # responses in the top two boxes of their scale
    csat_boxed: int = 0  # responses that `csat_top` is counted from
    asked: list[int] = []  # surveys sent, by kind: see `models.profile.apply_feedback.KINDS`
    answered: list[int] = []  # responses, by kind
    touchpoints: list[Rated] = []
    surveys: list[Rated] = []
    tickets: list[TicketObject] = []  # ordered by key
    tickets_left: int = 0  # open tickets that left `tickets`, less solutions of tickets never seen
    tickets_counted: int = 0  # balance of the events about tickets with an id: opened less solved
    ticket_balance: int = 0  # of the events without an id


class Identity(msgspec.Struct, array_like=True, gc=False):
    """Plan, segment, account, source and consent. Holds no personal data."""

    plan: StampedText | None = None
    segment: StampedText | None = None
    account: StampedText | None = None
    source: StampedText | None = None
    consent: StampedNumber | None = None
    subscribed: StampedNumber | None = None  # to messages: 0 or 1
    referred: bool = False


class Journey(msgspec.Struct, array_like=True, gc=False):
    """Sign-up, onboarding, sessions and goals."""

    signed_up_ms: int = NEVER_MS
    onboarded_ms: int = NEVER_MS
    steps: list[int] = []
    steps_total: int = 0
    first_goal_ms: int = NEVER_MS
    last_goal_ms: int = 0
    goal_values: list[StampedNumber] = []  # values of the newest goals, as sent, in thousandths
    session_s_sum: int = 0
    sessions_timed: int = 0
    clicked_ms: int = 0
    reached: list[Reached] = []  # declared goals, ordered by key


class PendingSnapshot(msgspec.Struct, array_like=True, gc=False):
    """A training snapshot with a label that is not yet known."""

    snapshot_ms: int
    eligible: int  # bit per churn definition
    first_match_ms: list[int]  # per churn definition: earliest matching event after the snapshot, NEVER_MS for none


class ProcessingState(msgspec.Struct, array_like=True, gc=False):
    """State that depends on the order of processing. Only the fold changes it."""

    scored_ms: int = 0
    published_ms: int = 0  # newest score that was published because it was due
    next_snapshot_ms: int = NEVER_MS
    next_silence_ms: int = NEVER_MS
    silence_step: int = 0
    pending: list[PendingSnapshot] = []
    oldest_new_ms: int = NEVER_MS  # earliest event since the newest score
    forgotten: int = 0  # ids that the duplicate guard dropped within its window
    decisive_hour: int = 0  # hour (since 1970) of the newest decisive event
    decisive: int = 0  # decisive events in that hour


class Profile(msgspec.Struct, array_like=True, dict=True):
    """All state of one customer. Times are epoch ms; 0 and NEVER_MS stand for "not yet"."""

    first_ms: int = NEVER_MS
    newest_ms: int = 0  # newest event of any kind: bins and bitmaps are relative to it
    engaged_ms: int = 0  # newest event that the customer caused
    first_engaged_ms: int = NEVER_MS
    days: bytes = bytes(BITMAP_BYTES)  # days with engagement
    older_days: int = 0
    bins: dict[int, bytearray] = {}
    totals: dict[int, int] = {}  # all-time event count per counter
    guard: dict[int, int] = {}  # id hash -> minute since the epoch
    used: dict[int, int] = {}  # hash of a product feature -> day of last use
    matched: list[int] = []  # newest matching event per churn definition
    commerce: Commerce | None = None
    subscription: Subscription | None = None
    payments: Payments | None = None
    feedback: Feedback | None = None
    identity: Identity | None = None
    journey: Journey | None = None
    processing: ProcessingState | None = None


SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "commerce": Commerce,
    "subscription": Subscription,
    "payments": Payments,
    "feedback": Feedback,
    "identity": Identity,
    "journey": Journey,
}
"""The sections of a profile by field name; a profile has a section only if an event wrote to it."""


def advance(profile: Profile, now_ms: int) -> None:
    """Advance bins, bitmaps and the duplicate guard to a later time. An earlier time changes nothing."""
    before = profile.newest_ms
    if now_ms <= before:
        return
    profile.newest_ms = now_ms
    old_hour, hour = before // HOUR_MS, now_ms // HOUR_MS
    if hour == old_hour or not before:
        return
    if profile.bins:
        bins_advance(profile.bins, old_hour, hour)
    days = hour // 24 - old_hour // 24
    if days:
        profile.days, dropped = days_advance(profile.days, days)
        if dropped:
            profile.older_days += dropped
        commerce = profile.commerce
        if commerce is not None:
            commerce.days, dropped = days_advance(commerce.days, days)
            commerce.older_days += dropped
            commerce.newest_day = hour // 24
    guard = profile.guard
    if guard:
        floor = (hour - GUARD_HOURS) * 60
        if len(guard) >= GUARD_IDS:
            profile.__dict__.pop("guard_order", None)
        elif (
            before // 60_000 < floor and max(guard.values()) < floor
        ):  # the common case of a return after a day or more
            profile.guard = {}
            return
        profile.guard = {key: minute for key, minute in guard.items() if minute >= floor}
