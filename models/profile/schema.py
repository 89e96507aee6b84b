"""One bounded, mergeable record per customer: everything that is remembered of them.

Two kinds of fields, told apart by the type they stand in:

`Profile`      free of order: the same events in any order (within the lateness that the bins cover) give the same
               bytes, and `merge` of two halves gives what the whole would have given. Rules per field: `MERGE_RULES`.
`ProcessingState`         what depends on the way: when the customer was last scored, pending training snapshots, the alert. Its
               rules stand with the fold (`models.pipeline.partition`) that moves it.

Encoded: a head of `PREFIX_BYTES`, see `RecordHead`, then msgpack of the fields as an array (the body). The head starts with
the time the record is next due, big endian, so that an index of deadlines is rebuilt without decoding; it ends with
what is known only after the body is encoded and scored.
"""

from __future__ import annotations

from copy import copy as shallow_copy
from itertools import zip_longest
from struct import Struct
from typing import Any, Final, NamedTuple

import msgspec

from models.profile.mergeable import (
    BITMAP_BYTES,
    HOUR_MS,
    Bins,
    bins_advance,
    bins_canonical,
    bins_merge,
    days_advance,
    days_merge,
    keep_smallest,
    merge_last,
    merge_newest_keys,
    merge_rated,
    merge_reached,
    newest,
)

FORMAT_VERSION: Final = 2
NEVER_MS: Final = (1 << 63) - 1
UNSCORED: Final = -1.0
VERSION_AT: Final = 8
PREFIX_BYTES: Final = 18  # due time, version, probability and standing
BAND_MASK: Final = 0b11  # in a standing: the band of the newest score
ALERTED: Final = 0b100  # in a standing: the customer has an alert of some state, in a record of its own
VISITOR: Final = 0b1000  # in a standing: no event so far came by a userId

GUARD_IDS: Final = 256  # ids remembered to recognise a duplicate
GUARD_HOURS: Final = 24  # of event time
FEATURES_TRACKED: Final = 48  # distinct product features whose last use is known
SUBSCRIPTION_LOG: Final = 12  # changes of plan; two years of quarterly changes
RESPONSES_KEPT: Final = 8  # survey answers of a kind; the mean over all is kept apart
TAGS_KEPT: Final = 16
RATED_KEPT: Final = 8  # touchpoints, and surveys, whose answers are summed apart: those first by name
REACHED_KEPT: Final = 16  # goals, those that were declared once included
RATED_NAME: Final = 32  # characters of such a name
ORDERS_KEPT: Final = 8
GOALS_KEPT: Final = 8
STEPS_TRACKED: Final = 16
SUM_LIMIT: Final = 1 << 62  # sums stop here, so that they can be written; clipped sums of what is not negative commute

# (time ms, id hash, value): compared in this order
Stamp = tuple[int, int]
StampedText = tuple[int, int, str]
StampedNumber = tuple[int, int, int]
# (time ms, id hash, kind, mrr in minor units or -1, plan)
SubscriptionChange = tuple[int, int, int, int, str]
# (kind and name, answers, sum of their scores, and of the newest: epoch seconds, score)
Rated = tuple[str, int, int, int, int]
# (key of a declared goal, first and last time ms, how often)
Reached = tuple[int, int, int, int]


class Commerce(msgspec.Struct, array_like=True, gc=False):
    """Purchases; several of a day are one occasion. Money is in minor units."""

    days: bytes = bytes(BITMAP_BYTES)  # days with an order, relative to the profile's newest day
    older_days: int = 0  # order days that left the bitmap
    first_ms: int = NEVER_MS
    last_ms: int = 0
    orders: int = 0
    valued: int = 0  # orders that said what they were worth
    revenue: int = 0
    refunds: int = 0
    refunded: int = 0
    recent: list[StampedNumber] = []  # newest orders' revenue


class Subscription(msgspec.Struct, array_like=True, gc=False):
    """The newest changes of the subscription, its price, and the dates ahead."""

    log: list[SubscriptionChange] = []
    mrr: StampedNumber | None = None
    period_end: StampedNumber | None = None
    trial_end: StampedNumber | None = None
    renewal_due: StampedNumber | None = None


class Payments(msgspec.Struct, array_like=True, gc=False):
    """When money came and when it did not."""

    settled_ms: int = 0
    failed_ms: int = 0
    card_expires: StampedNumber | None = None


class Feedback(msgspec.Struct, array_like=True, gc=False):
    """What the customer said: tickets, surveys, reviews. Scores are per mille of the scale."""

    ticket_ms: int = 0
    solve_ms_sum: int = 0
    solved_timed: int = 0
    csat: list[StampedNumber] = []
    nps: list[StampedNumber] = []
    ces: list[StampedNumber] = []
    csat_sum: int = 0
    csat_count: int = 0
    surveys_sent: int = 0
    tags: list[StampedNumber] = []  # index into effects.BARRIERS
    sentiment: StampedNumber | None = None
    csat_top: int = 0  # answers in the two best boxes of their scale,
    csat_boxed: int = 0  # of so many
    asked: list[int] = []  # surveys sent, by kind: see feedback.KINDS
    answered: list[int] = []  # responses, by kind
    touchpoints: list[Rated] = []
    surveys: list[Rated] = []


class Identity(msgspec.Struct, array_like=True, gc=False):
    """Who the customer belongs to and what they allowed; no personal data."""

    plan: StampedText | None = None
    segment: StampedText | None = None
    account: StampedText | None = None
    source: StampedText | None = None
    consent: StampedNumber | None = None
    subscribed: StampedNumber | None = None  # to messages: 0 or 1
    referred: bool = False


class Journey(msgspec.Struct, array_like=True, gc=False):
    """First steps and goals."""

    signed_up_ms: int = NEVER_MS
    onboarded_ms: int = NEVER_MS
    steps: list[int] = []
    steps_total: int = 0
    first_goal_ms: int = NEVER_MS
    last_goal_ms: int = 0
    goal_values: list[StampedNumber] = []  # how well the newest goals went, as sent, in thousandths
    session_s_sum: int = 0
    sessions_timed: int = 0
    clicked_ms: int = 0
    reached: list[Reached] = []  # declared goals, in order of their keys


class PendingSnapshot(msgspec.Struct, array_like=True, gc=False):
    """A training snapshot whose label is not yet known.

    `since` has, for each churn definition, the earliest matching event after the snapshot (NEVER_MS: none yet).
    """

    snapshot_ms: int
    eligible: int  # bit per definition
    since: list[int]


class ProcessingState(msgspec.Struct, array_like=True, gc=False):
    """What depends on the order in which things happened; moved only by the fold."""

    scored_ms: int = 0
    published_ms: int = 0  # newest score that was told because it was time to
    next_snapshot_ms: int = NEVER_MS
    next_silence_ms: int = NEVER_MS
    silence_step: int = 0
    pending: list[PendingSnapshot] = []
    oldest_new_ms: int = NEVER_MS  # earliest of the events since the newest score
    forgotten: int = 0  # ids that the duplicate guard had to drop within its window


class RecordHead(NamedTuple):
    """What stands in front of an encoded profile."""

    due_ms: int
    version: int
    probability: float
    """Of the newest score, `UNSCORED` for none."""
    standing: int
    """Band of the newest score, whether there is an alert, whether it is a visitor: see `BAND_MASK` and after."""


class Profile(msgspec.Struct, array_like=True, dict=True):
    """Everything remembered of one customer. Times are epoch ms; 0 and NEVER_MS stand for "not yet"."""

    first_ms: int = NEVER_MS
    newest_ms: int = 0  # of any event: the present that bins and bitmaps are relative to
    engaged_ms: int = 0  # newest event of the customer's own doing
    first_engaged_ms: int = NEVER_MS
    days: bytes = bytes(BITMAP_BYTES)  # days with engagement
    older_days: int = 0
    bins: dict[int, bytearray] = {}
    totals: dict[int, int] = {}  # events ever, per counter
    guard: dict[int, int] = {}  # id hash -> minute since the epoch
    used: dict[int, int] = {}  # hash of a product feature -> day last used
    matched: list[int] = []  # newest matching event per churn definition
    commerce: Commerce | None = None
    subscription: Subscription | None = None
    payments: Payments | None = None
    feedback: Feedback | None = None
    identity: Identity | None = None
    journey: Journey | None = None
    path: ProcessingState | None = None


_ENCODER = msgspec.msgpack.Encoder()
_HEAD: Final = Struct(">QBdB")
_DECODER = msgspec.msgpack.Decoder(Profile)

_PARTS: Final = ("commerce", "subscription", "payments", "feedback", "identity", "journey")
_LISTS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(field.name for field in msgspec.structs.fields(part) if field.default_factory is list)  # type: ignore[arg-type]
    for name, part in zip(_PARTS, (Commerce, Subscription, Payments, Feedback, Identity, Journey), strict=True)
}


class ProfileError(ValueError):
    """An encoded profile that this program cannot read: another version's, or damaged."""


def encode(profile: Profile, due_ms: int = NEVER_MS, probability: float = UNSCORED, standing: int = 0) -> bytes:
    """The profile as bytes. The same events in the same order give the same bytes, whatever was encoded in between."""
    return encode_head(due_ms, probability, standing) + encode_body(profile)


def encode_head(due_ms: int, probability: float, standing: int) -> bytes:
    """What stands before the body; see `RecordHead`."""
    return _HEAD.pack(due_ms, FORMAT_VERSION, probability, standing)


read_head = _HEAD.unpack_from
"""The four values of a `RecordHead`, of an encoded profile that has one."""


def decode_head(data: bytes) -> RecordHead:
    """What stands before the body of an encoded profile, at least `PREFIX_BYTES` long."""
    return RecordHead(*_HEAD.unpack_from(data))


encode_body = _ENCODER.encode


def canonical(profile: Profile) -> Profile:
    """The same profile with its sets in order, so that equal histories in any order give equal bytes."""
    profile.bins = bins_canonical(profile.bins)
    for name in ("totals", "guard", "used"):
        setattr(profile, name, dict(sorted(getattr(profile, name).items())))
    return profile


def decode(data: bytes) -> Profile:
    """Reads what `encode` wrote.

    Raises ProfileError for a version that this program does not know, and for bytes that are no profile.
    """
    if len(data) <= VERSION_AT + 1:
        raise ProfileError(f"a profile of {len(data)} bytes is cut off: restore the store from the changelog")
    if data[VERSION_AT] != FORMAT_VERSION:
        raise ProfileError(
            f"a profile has format version {data[VERSION_AT]}, this program reads version {FORMAT_VERSION}: "
            "run the release that wrote it, or rebuild the group's state from the input"
        )
    if len(data) < PREFIX_BYTES:
        raise ProfileError(f"a profile is damaged (it has {len(data)} bytes): restore the store from the changelog")
    return decode_body(memoryview(data)[PREFIX_BYTES:])


def decode_body(data: bytes | memoryview) -> Profile:
    """Reads what `encode_body` wrote."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ProfileError(f"a profile is damaged ({error}): restore the store from the changelog") from None


def read_due_ms(data: bytes) -> int:
    """The time at which an encoded profile is next due, without decoding it."""
    return int.from_bytes(data[:8], "big")


def copy_parts(profile: Profile) -> None:
    """Gives a profile parts of its own, where somebody else holds those that it has."""
    for name in _PARTS:
        if (part := getattr(profile, name)) is not None:
            part = shallow_copy(part)
            setattr(profile, name, part)
            for field in _LISTS[name]:
                setattr(part, field, getattr(part, field)[:])


def copy(profile: Profile) -> Profile:
    """An independent copy."""
    return _DECODER.decode(_ENCODER.encode(profile))


def advance(profile: Profile, now_ms: int) -> None:
    """Moves the present of bins, bitmaps and duplicate guard to a later time; an earlier one changes nothing."""
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
        profile.days, left = days_advance(profile.days, days)
        if left:
            profile.older_days += left
        commerce = profile.commerce
        if commerce is not None:
            commerce.days, left = days_advance(commerce.days, days)
            commerce.older_days += left
    guard = profile.guard
    if guard:
        floor = (hour - GUARD_HOURS) * 60
        if len(guard) >= GUARD_IDS:
            profile.__dict__.pop("guard_order", None)
        elif before // 60_000 < floor and max(guard.values()) < floor:  # the usual return after a day or more
            profile.guard = {}
            return
        profile.guard = {key: minute for key, minute in guard.items() if minute >= floor}


# Merging -----------------------------------------------------------------------------------------------------------

# Field -> rule. "sum" counts events and so needs halves without common events; every other rule is idempotent too.
MERGE_RULES: Final[dict[type, dict[str, str]]] = {
    Profile: {
        "first_ms": "min", "newest_ms": "max", "engaged_ms": "max", "first_engaged_ms": "min", "days": "days",
        "older_days": "sum", "bins": "bins", "totals": "sums", "guard": "guard", "used": "used", "matched": "maxima",
        "commerce": "part", "subscription": "part", "payments": "part", "feedback": "part", "identity": "part",
        "journey": "part", "path": "path",
    },
    Commerce: {
        "days": "days", "older_days": "sum", "first_ms": "min", "last_ms": "max", "orders": "sum", "valued": "sum",
        "revenue": "sum", "refunds": "sum", "refunded": "sum", "recent": "last:8",
    },
    Subscription: {
        "log": "last:12", "mrr": "newest", "period_end": "newest", "trial_end": "newest", "renewal_due": "newest",
    },
    Payments: {"settled_ms": "max", "failed_ms": "max", "card_expires": "newest"},
    Feedback: {
        "ticket_ms": "max", "solve_ms_sum": "sum", "solved_timed": "sum", "csat": "last:8", "nps": "last:8",
        "ces": "last:8", "csat_sum": "sum", "csat_count": "sum", "surveys_sent": "sum", "tags": "last:16",
        "sentiment": "newest", "csat_top": "sum", "csat_boxed": "sum", "asked": "tallies",
        "answered": "tallies", "touchpoints": "rated", "surveys": "rated",
    },
    Identity: {
        "plan": "newest", "segment": "newest", "account": "newest", "source": "newest", "consent": "newest",
        "subscribed": "newest", "referred": "max",
    },
    Journey: {
        "signed_up_ms": "min", "onboarded_ms": "min", "steps": "smallest", "steps_total": "max",
        "first_goal_ms": "min", "last_goal_ms": "max", "goal_values": "last:8",
        "session_s_sum": "sum", "sessions_timed": "sum", "clicked_ms": "max",
        "reached": "reached",
    },
}  # fmt: skip


def merge(a: Profile, b: Profile) -> Profile:
    """The profile of both histories together, as if one customer's events had been applied in any order.

    The halves must not share events; `path` is not merged (the caller starts it again). Exact as long as the later
    half has not moved bins of the earlier one out of reach: 512 days for day bitmaps.
    """
    a, b = copy(a), copy(b)
    present = max(a.newest_ms, b.newest_ms)
    hours = a.newest_ms // HOUR_MS, b.newest_ms // HOUR_MS
    bins = _merge_bins(a.bins, hours[0], b.bins, hours[1])
    a.bins, b.bins = {}, {}
    advance(a, present)
    advance(b, present)
    merged = _merge_struct(a, b)
    merged.bins = bins
    merged.path = None
    return merged


def _merge_bins(a: Bins, a_hour: int, b: Bins, b_hour: int) -> Bins:
    if not a_hour or not b_hour:
        return a or b
    return bins_merge(a, a_hour, b, b_hour)


def _merge_struct(a: Any, b: Any) -> Any:
    merged = type(a)()
    for name, rule in MERGE_RULES[type(a)].items():
        setattr(merged, name, _merge_field(rule, getattr(a, name), getattr(b, name)))
    return merged


def _merge_field(rule: str, a: Any, b: Any) -> Any:
    match rule:
        case "min":
            return min(a, b)
        case "max":
            return max(a, b)
        case "sum":
            return min(a + b, SUM_LIMIT)
        case "sums":
            return {key: a.get(key, 0) + b.get(key, 0) for key in a.keys() | b.keys()}
        case "newest":
            return newest(a, b)
        case "days":
            return days_merge(a, b)
        case "guard":
            return merge_newest_keys(a, b, GUARD_IDS)
        case "used":
            return merge_newest_keys(a, b, FEATURES_TRACKED)
        case "maxima":
            short, long = sorted((a, b), key=len)
            return [max(x, y) for x, y in zip(long, short + [0] * (len(long) - len(short)), strict=True)]
        case "tallies":
            return [x + y for x, y in zip_longest(a, b, fillvalue=0)]
        case "rated":
            return merge_rated(a, b, RATED_KEPT)
        case "reached":
            return merge_reached(a, b, REACHED_KEPT)
        case "smallest":
            return keep_smallest([*a, *b], min([*a, *b]), STEPS_TRACKED) if a or b else []
        case "part":
            return (b or a) if a is None or b is None else _merge_struct(a, b)
        case "bins" | "path":
            return {} if rule == "bins" else None
    return merge_last(a, b, int(rule.removeprefix("last:")))
