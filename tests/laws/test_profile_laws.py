"""Laws of the profile, for every event name, every property and values of any type.

Histories come from a seeded generator of unusual events (`tests.models.histories`): all names of the taxonomy, up to a
dozen properties each, and a fifth of the events without an id.
"""

from __future__ import annotations

import random
from contextlib import suppress

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.events.event import Event
from models.features.catalogue import FEATURES, features
from models.features.columns import ProfileColumns
from models.profile import codec, schema
from models.profile.apply import apply
from models.profile.codec import copy, decode, encode, read_due_ms
from models.profile.merge import MERGE_RULES, merge
from models.profile.mergeable import DAY_MS, HOUR_MS, bins_canonical
from models.profile.schema import NEVER_MS, Profile, advance
from tests.models.histories import START_MS, odd_event, odd_history, profile_of, shaken

PROFILE_MAX_BYTES = 18 * 1024  # with 2 x 29 counters, 256 ids, 12 plans of 64 wide characters, and so on

seeds = st.integers(0, 2**32)
lengths = st.one_of(st.integers(0, 12), st.integers(13, 120))
spans = st.sampled_from([HOUR_MS, DAY_MS, 9 * DAY_MS, 40 * DAY_MS, 95 * DAY_MS, 300 * DAY_MS, 500 * DAY_MS])


def history(seed: int, length: int, span_ms: int) -> list[Event]:
    return odd_history(seed, length, span_ms)


histories = st.builds(history, seeds, lengths, spans)


def content(profile: Profile) -> bytes:
    """Encode all fields that do not depend on event order."""
    twin = copy(profile)
    twin.processing = None
    return encode(codec.canonical(twin))


@settings(max_examples=400, deadline=None)
@given(histories, seeds, st.sampled_from([HOUR_MS, DAY_MS, 40 * DAY_MS, 500 * DAY_MS]))
def test_event_order_does_not_change_the_profile(events: list[Event], seed: int, lateness_ms: int) -> None:
    """Rule: profiles are equal bit for bit for any lateness, up to the 500 days of the bitmaps.

    Events of one time keep their order here; tests/laws/test_subscription_laws.py has what may change among them.
    """
    assert content(profile_of(shaken(events, lateness_ms, seed))) == content(profile_of(events))


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 400))
def test_event_order_does_not_matter_for_busy_customers(seed: int, length: int) -> None:
    """Setup: hundreds of events within a day, beyond the capacity of the duplicate guard and of one byte of a bin."""
    events = odd_history(seed, length + 300, DAY_MS // 2)
    assert content(profile_of(shaken(events, DAY_MS // 2, seed))) == content(profile_of(events))


@settings(max_examples=300, deadline=None)
@given(histories, st.integers(1, 4), seeds)
def test_merged_parts_equal_the_whole_in_any_order(events: list[Event], count: int, seed: int) -> None:
    """Rule: merging is commutative, associative, and equal to applying all events, if no two parts share a time."""
    rng = random.Random(seed)
    parts: list[list[Event]] = [[] for _ in range(count)]
    chosen = {at: rng.choice(parts) for at in sorted({event.time_ms for event in events})}
    for event in events:
        chosen[event.time_ms].append(event)
    halves = [profile_of(part) for part in parts]
    left = halves[0]
    for half in halves[1:]:
        left = merge(left, half)
    right = halves[-1]
    for half in reversed(halves[:-1]):
        right = merge(right, half)
    expected = profile_of(events)
    assert content(left) == content(right) == content(expected)


@settings(max_examples=200, deadline=None)
@given(histories, st.integers(0, 120), seeds)
def test_later_part_of_the_log_is_the_second_to_merge(events: list[Event], at: int, seed: int) -> None:
    """Rule: a log cut anywhere, also between events of one time, merges to the whole."""
    rng = random.Random(seed)
    for event in events:
        event.time_ms = START_MS + rng.randrange(6) * DAY_MS
    assert content(merge(profile_of(events[:at]), profile_of(events[at:]))) == content(profile_of(events))


IDEMPOTENT = {"min", "max", "newest", "days", "guard", "used", "maxima", "smallest"}
"""Idempotent merge rules. Counts, sums and lists of newest entries are not: two equal entries may be two events without
an id. The duplicate guard protects these."""


@settings(max_examples=60, deadline=None)
@given(histories)
def test_merging_with_itself_changes_only_counts(events: list[Event]) -> None:
    """Rule: every field is idempotent or a count, as its merge rule states."""
    profile = profile_of(events)
    twice = merge(profile, profile)
    for kind, rules in MERGE_RULES.items():
        name = kind.__name__.lower()
        own = profile if kind is Profile else getattr(profile, name)
        merged = twice if kind is Profile else getattr(twice, name)
        for field, rule in rules.items():
            if own is not None and rule in IDEMPOTENT:
                assert getattr(merged, field) == getattr(own, field), (name, field)
            elif own is not None and rule == "sum":
                doubled = min(2 * getattr(own, field), schema.SUM_LIMIT)
                assert getattr(merged, field) == doubled, (name, field)


def test_every_field_has_a_tested_merge_rule() -> None:
    """Rule: a new field needs a merge rule that a law covers."""
    covered = IDEMPOTENT | {"sum", "sums", "tallies", "rated", "reached", "bins", "section", "dropped"}
    covered |= {"log", "changes", "object", "objects", "rest", "larger"}
    for kind, rules in MERGE_RULES.items():
        assert tuple(rules) == tuple(field.name for field in msgspec.structs.fields(kind))
        for field, rule in rules.items():
            assert rule in covered or rule.removeprefix("last:").isdigit(), (kind, field, rule)


def some_history_touches(field_of: type, field: str) -> bool:
    for seed in range(30):
        profile = profile_of(odd_history(seed, 600))
        holder = profile if field_of is Profile else getattr(profile, field_of.__name__.lower())
        if holder is not None and getattr(holder, field) != getattr(field_of(), field):
            return True
    return False


UNTOUCHED = {
    *("matched", "processing"),  # set by the fold
    *("older_days", "rest", "settled", "unseen", "tickets_left", "uncounted"),  # longer histories, more objects
    *("valued", "revenue", "refunded", "recent"),  # written by earlier releases
}


def test_histories_change_every_field() -> None:
    """Rule: the laws above are not vacuous for any field."""
    for kind, rules in MERGE_RULES.items():
        for field in rules:
            if field in UNTOUCHED:
                continue
            assert some_history_touches(kind, field), (kind.__name__, field)


@settings(max_examples=100, deadline=None)
@given(histories, seeds)
def test_replaying_events_with_ids_changes_nothing(events: list[Event], seed: int) -> None:
    """Rule: within the window of the duplicate guard, every second delivery is detected, in any order."""
    recent = [e for e in events if e.id_hash and e.time_ms >= START_MS]
    newest = max((e.time_ms for e in recent), default=0)
    recent = [e for e in recent if newest - e.time_ms <= 23 * HOUR_MS][-250:]
    profile = profile_of(recent)
    before = encode(profile)
    replayed = recent * 2
    random.Random(seed).shuffle(replayed)
    assert sum(apply(profile, event) for event in replayed) == 0
    assert encode(profile) == before


@settings(max_examples=100, deadline=None)
@given(histories, st.one_of(st.just(NEVER_MS), st.integers(0, 2**62)))
def test_profile_round_trips(events: list[Event], due: int) -> None:
    """Rule: decoding gives an equal profile and the same bytes, and the due time is readable without decoding."""
    profile = profile_of(events)
    data = encode(profile, due)
    read = decode(data)
    assert read == profile
    assert encode(read, due) == data
    assert read_due_ms(data) == due


@settings(max_examples=60, deadline=None)
@given(histories, histories)
def test_restart_changes_nothing(first: list[Event], second: list[Event]) -> None:
    """Rule: applying events to a decoded profile equals applying them to the original."""
    steady = profile_of(first)
    restarted = decode(encode(steady))
    for event in second:
        assert apply(steady, event) == apply(restarted, event)
    assert encode(steady) == encode(restarted)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), seeds)
def test_invalid_bytes_are_rejected(garbage: bytes, seed: int) -> None:
    """Rule: random bytes, alone or spliced into a valid profile, decode or raise ProfileError."""
    rng = random.Random(seed)
    good = encode(profile_of(odd_history(seed, 20)))
    at = rng.randrange(9, len(good))
    for data in (garbage, good[:9] + garbage, good[:at] + garbage + good[at + len(garbage) :]):
        with suppress(codec.ProfileError):
            assert isinstance(decode(data), Profile)


@settings(max_examples=60, deadline=None)
@given(histories, st.lists(st.integers(0, 600 * DAY_MS), min_size=1, max_size=6))
def test_time_can_advance_in_any_steps(events: list[Event], steps: list[int]) -> None:
    """Rule: advancing in steps equals advancing at once, and never goes back."""
    stepwise, at_once = profile_of(events), profile_of(events)
    start = max(stepwise.newest_ms, START_MS)
    for step in steps:
        advance(stepwise, start + step)
    advance(at_once, start + max(steps))
    if not events:
        assert stepwise.newest_ms == at_once.newest_ms
        return
    assert encode(stepwise) == encode(at_once)


@settings(max_examples=8, deadline=None)
@given(seeds, st.sampled_from([HOUR_MS, DAY_MS, 30 * DAY_MS, 3000 * DAY_MS]))
def test_profile_is_bounded_after_10000_events_of_any_kind(seed: int, span_ms: int) -> None:
    """Rule: with every counter, list, set and guard full, it is below 18 KiB, and no history grows it without limit."""
    rng = random.Random(seed)
    profile = Profile()
    events = [odd_event(rng, START_MS + i * span_ms // 2500) for i in range(2500)]
    for round_ in range(4):
        for event in events:
            event.time_ms += span_ms * (round_ > 0)
            event.id_hash = rng.getrandbits(64)
            apply(profile, event)
    assert len(encode(profile)) < PROFILE_MAX_BYTES


# Features ---


def bounds(transform: str) -> tuple[float, float]:
    named = {"log": (0.0, float(np.log1p(10_000.0))), "share": (0.0, 1.0), "flag": (0.0, 1.0)}
    if transform in named:
        return named[transform]
    low, high = transform.removeprefix("clip:").split(",")
    return float(low), float(high)


idles = st.one_of(st.just(0), st.integers(0, 3 * DAY_MS), st.integers(0, 12_000 * DAY_MS))


@settings(max_examples=120, deadline=None)
@given(histories.filter(bool), st.lists(idles, min_size=1, max_size=5))
def test_features_are_bounded_and_missing_only_by_rule(events: list[Event], idle: list[int]) -> None:
    """Rule: values are within the bounds of the transform, and NaN only where the catalogue allows missing values."""
    profile = profile_of(events)
    x = features([profile] * len(idle), [profile.newest_ms + more for more in idle])
    for i, feature in enumerate(FEATURES):
        low, high = bounds(feature.transform)
        missing = np.isnan(x[:, i])
        assert ((x[:, i] >= low) & (x[:, i] <= high) | missing).all(), feature.name
        assert feature.missing != "never missing" or not missing.any(), feature.name


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([1, 3, 17, 500]), idles)
def test_a_row_has_the_same_bits_in_any_batch(seed: int, size: int, idle: int) -> None:
    """Rule: features do not depend on the other customers of a batch or on the row."""
    rng = random.Random(seed)
    crowd = [profile_of(odd_history(rng.randrange(2**30), rng.choice((1, 5, 40)))) for _ in range(min(size, 60))]
    crowd = (crowd * (size // len(crowd) + 1))[:size]
    now = [p.newest_ms + rng.randrange(idle + 1) for p in crowd]
    x = features(crowd, now)
    for row in {0, size - 1, rng.randrange(size)}:
        assert features([crowd[row]], [now[row]]).tobytes() == x[row].tobytes()
    order = rng.sample(range(size), size)
    assert features([crowd[i] for i in order], [now[i] for i in order]).tobytes() == x[order].tobytes()


@settings(max_examples=60, deadline=None)
@given(histories.filter(bool), histories, idles)
def test_features_never_read_the_future(past: list[Event], future: list[Event], idle: int) -> None:
    """Rule: later events do not change features of a frozen profile, also after a round trip."""
    profile = profile_of(past)
    frozen, now = copy(profile), profile.newest_ms + idle
    before = features([profile], [now]).tobytes()
    for event in future:
        event.time_ms += 500 * DAY_MS
        apply(profile, event)
    assert features([frozen], [now]).tobytes() == before
    assert features([decode(encode(frozen))], [now]).tobytes() == before


@settings(max_examples=60, deadline=None)
@given(histories.filter(bool), st.integers(0, 95 * DAY_MS))
def test_features_at_a_later_time_need_no_advance(events: list[Event], idle: int) -> None:
    """Rule: features as of a later time do not depend on whether the bins were advanced first."""
    profile = profile_of(events)
    moved = copy(profile)
    now = profile.newest_ms + idle
    advance(moved, now)
    moved.bins = bins_canonical(moved.bins)
    for days in (1, 7, 30, 90):
        for counter in ("engaged", "ticket"):
            lazy, eager = (ProfileColumns([p], [now]).count(counter, days=days)[0] for p in (profile, moved))
            assert lazy == eager
        assert ProfileColumns([profile], [now]).active_days(days) == ProfileColumns([moved], [now]).active_days(days)


def test_frozen_values_do_not_alias_the_batch() -> None:
    """Rule: a stored row neither keeps the batch alive nor changes with it."""
    profile = profile_of(odd_history(1, 50))
    x = features([profile], [profile.newest_ms])
    kept = x[0].tobytes()
    x[:] = 0
    assert np.frombuffer(kept).any()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(kept)) == kept
