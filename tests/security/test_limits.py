"""Claim 6: event size and complexity are limited."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import orjson
import pytest

from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS, Event, Rejected, decode
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_EXTREME_NUMBERS, MAX_PROPERTIES
from streams.scoring.dead_letters import dead_letter
from streams.topics import DEAD_LETTER_HEADROOM_BYTES
from tests.streams.scoring.test_event_processor import EventProcessor, Record, Store, record, shared, step


def call(**more: Any) -> bytes:
    fields = {"type": "track", "event": "Feature Used", "userId": "u", "timestamp": 1_700_000_000, **more}
    return orjson.dumps(fields)


def nested(levels: int) -> bytes:
    """Return a call that is nested this many levels deep in total."""
    inner = levels - 2
    return call(properties={"a": 1})[: -len(b"1}}")] + b"[" * inner + b"]" * inner + b"}}"


def sized(size: int) -> bytes:
    return call(properties={"a": "x" * (size - len(call(properties={"a": ""})))})


def numbers(number: bytes, count: int) -> bytes:
    """Return a call with a list of one number and a text that looks like more of them."""
    return call(properties={"note": "1e-320" * 600, "a": 1})[: -len(b"1}}")] + b"[%s]}}" % b",".join([number] * count)


LIMITS = {
    "too_large": (sized(MAX_EVENT_BYTES), sized(MAX_EVENT_BYTES + 1)),
    "too_deep": (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
    "too_many_extreme_numbers": tuple(numbers(b"4.94e-324", MAX_EXTREME_NUMBERS + k) for k in (0, 1)),
    "too_many_properties": tuple(call(properties={f"p{n}": n for n in range(MAX_PROPERTIES + k)}) for k in (0, 1)),
    "bad_customer": tuple(call(userId="u" * (MAX_ID_BYTES + k)) for k in (0, 1)),
}


@pytest.mark.parametrize("reason", LIMITS)
def test_limit_is_accepted_and_one_more_is_rejected(reason: str) -> None:
    at, above = LIMITS[reason]
    assert isinstance(decode(at, [], None), Event)
    rejected = decode(above, [], None)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == reason


def test_long_name_is_truncated() -> None:
    event = decode(call(event="x" * 10_000), [], None)
    assert isinstance(event, Event)
    assert len(event.name) == MAX_NAME_CHARS


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * MAX_EVENT_BYTES,
        b'{"a":' * (MAX_EVENT_BYTES // 5),
        b'"' + b"\\" * (MAX_EVENT_BYTES - 1),
        call()[:-1] + b',"properties":{"a":' + b"9" * 100_000 + b"}}",
        call()[:-1] + b',"userId":' + b"9" * 100_000 + b"}",
        call()[:-1] + b',"messageId":1e999999999}',
    ],
)
def test_hostile_event_is_cheap_and_raises_nothing(hostile: bytes) -> None:
    """Rule: each is rejected or decoded within 0.25 s of CPU time."""
    before = time.process_time()
    assert isinstance(decode(hostile, [], None), Event | Rejected)
    assert time.process_time() - before < 0.25


@pytest.mark.parametrize(
    "number", [b"4.9406564584124654e-324", b"1.7976931348623157E+308", b"9007199254740993.0", b"0.1"]
)
def test_no_list_of_numbers_takes_long(number: bytes) -> None:
    """Rule: the largest event of any kind of number is rejected or decoded within 0.05 s of CPU time."""
    largest = numbers(number, (MAX_EVENT_BYTES - 5_000) // (len(number) + 1))
    seconds = []
    for _ in range(3):
        before = time.process_time()
        decode(largest, [], None)
        seconds.append(time.process_time() - before)
    assert min(seconds) < 0.05


def test_profile_size_is_bounded() -> None:
    """Rule: after 1,000 different names, properties, accounts and long texts, a profile is below 64 KiB."""
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    long = "x" * 200_000
    for n in range(0, 1_000, 50):
        batch: list[Record] = []
        for k in range(n, n + 50):
            at_ms = 1_704_067_200_000 + k * 3_600_000
            one = record(k, at_ms=at_ms, name=f"Name {k}")
            fields = orjson.loads(one.value or b"")
            plan = long if k % 50 == 0 else f"plan-{k}"
            fields["properties"] = {f"p{k}": "x", "plan": plan, "feature": f"f{k}", "reason": plan}
            batch.append(one._replace(value=orjson.dumps(fields)))
        step(processor, store, batch)
    sizes = {key: len(value) for key, value in store.records.items()}
    assert max(sizes.values()) < 64 * 1024, sizes


def test_error_headers_of_a_dead_letter_fit_its_topic() -> None:
    """Rule: no error message makes a dead letter exceed the size limit of its topic."""
    one = record(1)
    letter = dead_letter("dlq", one, "processing_error", "\U0001f600" * 1_000_000, "E" * 200)
    added = sum(len(name) + len(value) for name, value in letter.headers)
    assert added < DEAD_LETTER_HEADROOM_BYTES


def test_stored_value_with_a_false_length_is_rejected() -> None:
    """Rule: a length beyond the data raises an error before any memory is allocated."""
    with pytest.raises(msgspec.MsgspecError):
        msgspec.msgpack.decode(b"\xdd\xff\xff\xff\xff")
