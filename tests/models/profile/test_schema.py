"""The record of a customer: its bytes, its versions, its duplicate guard, its merge."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from models.profile import schema as profiles
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS, HOUR_MS
from models.profile.schema import (
    GUARD_IDS,
    MERGE_RULES,
    NEVER_MS,
    ProcessingState,
    Profile,
    ProfileError,
    advance,
    copy,
    decode,
    encode,
    merge,
    read_due_ms,
)
from tests.models.histories import MINUTE_MS, START_MS, event, odd_history, profile_of, simulated


def test_an_encoded_profile_begins_with_its_due_time() -> None:
    """The index of deadlines is rebuilt without decoding."""
    data = encode(profile_of([event()]), START_MS + 5)
    assert read_due_ms(data) == int.from_bytes(data[:8], "big") == START_MS + 5
    assert read_due_ms(encode(Profile())) == NEVER_MS
    assert encode(Profile(), 5) < encode(Profile(), 6)  # in the order of time


def test_encoding_is_canonical() -> None:
    """Equal histories give equal bytes, however often they were encoded and decoded on the way."""
    events = simulated(customers=3, days=30)
    whole, stepwise = Profile(), Profile()
    for each in events:
        apply(whole, each)
        apply(stepwise, each)
        stepwise = decode(encode(stepwise))
    assert encode(whole) == encode(stepwise)


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_format_version_is_refused_with_both_versions_and_a_way_out(version: int) -> None:
    """Never read as if it were this one."""
    data = bytearray(encode(profile_of([event()])))
    data[8] = version
    with pytest.raises(ProfileError, match=rf"version {version}, this program reads version 2: run the release"):
        decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\0" * 9, b"\0" * 8 + b"\x02"])
def test_a_profile_that_is_cut_off_is_refused(data: bytes) -> None:
    """With what to do about it."""
    with pytest.raises(ProfileError, match=r"restore|version"):
        decode(data)


def test_damaged_bytes_are_refused_or_read_but_never_anything_else() -> None:
    """Whatever a disk or a foreign program left in the store, the error is ours."""
    rng = random.Random(7)
    good = encode(profile_of(odd_history(3, 60)))
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(9, len(data))] = rng.randrange(256)
        try:
            decode(bytes(data[: rng.randrange(10, len(data) + 1)]))
        except ProfileError as error:
            assert "damaged" in str(error)  # noqa: PT017 - either outcome is right


def test_a_copy_is_independent() -> None:
    """What is frozen does not move with the events that follow."""
    profile = profile_of(odd_history(5, 80))
    frozen, before = copy(profile), encode(profile)
    for each in odd_history(6, 80):
        apply(profile, each)
    assert encode(frozen) == before != encode(profile)


def test_every_field_has_a_merge_rule() -> None:
    """A field without a rule would be lost when two halves are joined."""
    for kind, rules in MERGE_RULES.items():
        assert tuple(rules) == kind.__struct_fields__, kind
    parts = {f.name for f in msgspec.structs.fields(Profile) if MERGE_RULES[Profile][f.name] == "part"}
    kinds = {kind.__name__.lower() for kind in MERGE_RULES} - {"profile"}
    assert parts == kinds


def test_the_path_starts_again_after_a_merge() -> None:
    """Deadlines and alerts are nobody's to join."""
    a, b = profile_of([event()]), profile_of([event()])
    a.path = ProcessingState(scored_ms=5)
    assert merge(a, b).path is None


def test_merging_leaves_both_halves_as_they_were() -> None:
    """The halves stay usable."""
    a, b = profile_of(odd_history(1, 50)), profile_of(odd_history(2, 50, start_ms=START_MS + 60 * DAY_MS))
    before = encode(a), encode(b)
    merge(a, b)
    assert (encode(a), encode(b)) == before


def test_time_never_moves_back() -> None:
    """An earlier present changes nothing."""
    profile = profile_of(odd_history(1, 50))
    before = encode(profile)
    advance(profile, profile.newest_ms)
    advance(profile, profile.newest_ms - 30 * DAY_MS)
    assert encode(profile) == before


# The duplicate guard ---


def test_a_duplicate_within_the_window_changes_nothing() -> None:
    """The same id again, a minute or a day later, with the same or with other content."""
    profile = profile_of([event(id_hash=7, at_ms=START_MS + HOUR_MS)])
    before = encode(profile)
    assert not apply(profile, event(id_hash=7, at_ms=START_MS + HOUR_MS))
    assert not apply(profile, event("Order Completed", id_hash=7, at_ms=START_MS + HOUR_MS + 5 * MINUTE_MS, revenue=5))
    assert encode(profile) == before


@pytest.mark.parametrize(("later_ms", "known"), [(23 * HOUR_MS, True), (24 * HOUR_MS, True), (25 * HOUR_MS, False)])
def test_the_guard_remembers_24_hours_of_event_time(later_ms: int, known: bool) -> None:
    """Within the window an id is known; an hour past it the event is so old that it cannot be told, and counts."""
    first = event(id_hash=7)
    profile = profile_of([first, event(id_hash=8, at_ms=START_MS + later_ms)])
    assert apply(profile, first) is not known


def test_an_event_without_an_id_is_never_a_duplicate() -> None:
    """It always counts."""
    profile = profile_of([event(id_hash=0)] * 3)
    assert profile.totals[0] == 3
    assert profile.guard == {}


def test_the_guard_keeps_the_newest_256_ids_and_counts_what_it_forgot() -> None:
    """By event time, not by arrival."""
    events = [event(id_hash=i + 1, at_ms=START_MS + i * MINUTE_MS) for i in range(GUARD_IDS + 44)]
    random.Random(1).shuffle(events)
    profile = profile_of(events)
    assert set(profile.guard) == set(range(45, GUARD_IDS + 45))
    assert profile.path is not None
    assert profile.path.forgotten == 44
    assert not apply(profile, event(id_hash=45, at_ms=START_MS + 44 * MINUTE_MS))
    assert apply(profile, event(id_hash=44, at_ms=START_MS + 43 * MINUTE_MS))


def test_a_full_guard_is_the_same_with_and_without_a_restart() -> None:
    """The order that it keeps in memory is only an index."""
    rng = random.Random(2)
    events = [event(id_hash=rng.getrandbits(64), at_ms=START_MS + rng.randrange(30 * HOUR_MS)) for _ in range(900)]
    profile, restarted = Profile(), Profile()
    for i, each in enumerate(events):
        assert apply(profile, each) == apply(restarted, each)
        if i % 7 == 0:
            restarted = decode(encode(restarted))
    assert encode(profile) == encode(restarted)


def test_the_median_profile_is_about_2_kib() -> None:
    """Of simulated customers after 120 days; pending snapshots apart."""
    by_customer: dict[str, Profile] = {}
    for each in simulated(customers=60, days=120):
        apply(by_customer.setdefault(each.customer, Profile()), each)
    sizes = sorted(len(encode(p)) for p in by_customer.values())
    assert sizes[len(sizes) // 2] < 1.05 * 2048, sizes


def mutable_parts(value: object) -> Iterator[object]:
    """Everything in a profile that could be changed in place."""
    if isinstance(value, bytearray | list | dict | msgspec.Struct):
        yield value
    if isinstance(value, msgspec.Struct):
        items = [*(getattr(value, name) for name in value.__struct_fields__), getattr(value, "__dict__", None)]
    elif isinstance(value, dict):
        items = list(value.values())
    else:
        items = value if isinstance(value, list) else []
    for item in items:
        yield from mutable_parts(item)


def test_a_copy_shares_nothing_that_can_change() -> None:
    """No list, dict, bytes or part in common, the guard's order included."""
    profile = profile_of(odd_history(1, 1500, span_ms=DAY_MS))
    assert profile.path is not None
    assert "guard_order" in profile.__dict__
    profile.path.pending = [profiles.PendingSnapshot(START_MS, 1, [NEVER_MS])]
    twin = copy(profile)
    mine, its = list(mutable_parts(profile)), list(mutable_parts(twin))
    assert len(mine) > 30
    assert not {id(part) for part in mine} & {id(part) for part in its}
    assert encode(twin, 5) == encode(profile, 5)
    for name, kind in (("commerce", profiles.Commerce), ("feedback", profiles.Feedback), ("journey", profiles.Journey)):
        assert isinstance(getattr(profile, name), kind)


@pytest.mark.parametrize("silence_ms", [HOUR_MS, 25 * HOUR_MS, 40 * DAY_MS])
def test_the_event_that_ends_a_silence_is_remembered_too(silence_ms: int) -> None:
    """Sent again, it is a duplicate like any other."""
    again = event(at_ms=START_MS + silence_ms)
    profile = profile_of([event(), again])
    assert not apply(profile, again)
