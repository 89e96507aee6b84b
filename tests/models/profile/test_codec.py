"""Encoding of profiles: bytes, versions, damage and copies."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from models.profile import schema
from models.profile.apply import apply
from models.profile.codec import ProfileError, copy, decode, encode, read_due_ms
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS, Profile
from tests.models.histories import START_MS, event, odd_history, profile_of, simulated


def test_encoded_profile_starts_with_its_due_time() -> None:
    """The deadline index is rebuilt without decoding profiles."""
    data = encode(profile_of([event()]), START_MS + 5)
    assert read_due_ms(data) == int.from_bytes(data[:8], "big") == START_MS + 5
    assert read_due_ms(encode(Profile())) == NEVER_MS
    assert encode(Profile(), 5) < encode(Profile(), 6)  # bytes sort by due time


def test_equal_histories_give_equal_bytes() -> None:
    """Encoding and decoding between events changes no byte."""
    events = simulated(customers=3, days=30)
    whole, stepwise = Profile(), Profile()
    for each in events:
        apply(whole, each)
        apply(stepwise, each)
        stepwise = decode(encode(stepwise))
    assert encode(whole) == encode(stepwise)


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_unknown_format_version_is_refused(version: int) -> None:
    """The error names both versions and what to do."""
    data = bytearray(encode(profile_of([event()])))
    data[8] = version
    with pytest.raises(ProfileError, match=rf"version {version}, this program reads version 2: run the release"):
        decode(bytes(data))


@pytest.mark.parametrize("data", [b"", b"\0" * 8, b"\0" * 9, b"\0" * 8 + b"\x02"])
def test_truncated_profile_is_refused(data: bytes) -> None:
    """The error states what is wrong. The caller, who knows which record it is, names the remedy."""
    with pytest.raises(ProfileError, match=r"truncated|damaged"):
        decode(data)


def test_damaged_bytes_decode_or_raise_profile_error() -> None:
    """No bytes in the store, from a bad disk or another program, raise any other error."""
    rng = random.Random(7)
    good = encode(profile_of(odd_history(3, 60)))
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(9, len(data))] = rng.randrange(256)
        try:
            decode(bytes(data[: rng.randrange(10, len(data) + 1)]))
        except ProfileError as error:
            assert "damaged" in str(error)  # noqa: PT017 - both outcomes are valid


def test_later_events_do_not_change_a_copy() -> None:
    """A copy shares no state with its original."""
    profile = profile_of(odd_history(5, 80))
    frozen, before = copy(profile), encode(profile)
    for each in odd_history(6, 80):
        apply(profile, each)
    assert encode(frozen) == before != encode(profile)


def mutable_objects(value: object) -> Iterator[object]:
    """All objects in a profile that can be changed in place."""
    if isinstance(value, bytearray | list | dict | msgspec.Struct):
        yield value
    if isinstance(value, msgspec.Struct):
        items = [*(getattr(value, name) for name in value.__struct_fields__), getattr(value, "__dict__", None)]
    elif isinstance(value, dict):
        items = list(value.values())
    else:
        items = value if isinstance(value, list) else []
    for item in items:
        yield from mutable_objects(item)


def test_copy_shares_no_mutable_object() -> None:
    """No list, dict, bytearray or section is shared, including the guard's order."""
    profile = profile_of(odd_history(1, 1500, span_ms=DAY_MS))
    assert profile.processing is not None
    assert "guard_order" in profile.__dict__
    profile.processing.pending = [schema.PendingSnapshot(START_MS, 1, [NEVER_MS])]
    twin = copy(profile)
    original, copied = list(mutable_objects(profile)), list(mutable_objects(twin))
    assert len(original) > 30
    assert not {id(value) for value in original} & {id(value) for value in copied}
    assert encode(twin, 5) == encode(profile, 5)
    for name, kind in (("commerce", schema.Commerce), ("feedback", schema.Feedback), ("journey", schema.Journey)):
        assert isinstance(getattr(profile, name), kind)
