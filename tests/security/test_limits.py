"""Claim 6: event size and complexity are limited."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import orjson
import pytest

from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS, Event, Rejected, decode
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_PROPERTIES
from streams.scoring.dead_letters import dead_letter
from streams.topics import DEAD_LETTER_HEADROOM_BYTES
from tests.streams.scoring.test_event_processor import EventProcessor, Record, Store, record, shared, step


def call(**more: Any) -> bytes:
    fields = {"type": "track", "event": "Feature Used", "userId": "u", "timestamp": 1_700_000_000, **more}
    return orjson.dumps(fields)


def nested(levels: int) -> bytes:
    """A call whose properties make it so many levels deep in all."""
    inner = levels - 2
    return call(properties={"a": 1})[: -len(b"1}}")] + b"[" * inner + b"]" * inner + b"}}"


def sized(size: int) -> bytes:
    return call(properties={"a": "x" * (size - len(call(properties={"a": ""})))})


LIMITS = {
    "too_large": (sized(MAX_EVENT_BYTES), sized(MAX_EVENT_BYTES + 1)),
    "too_deep": (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
    "too_many_properties": tuple(call(properties={f"p{n}": n for n in range(MAX_PROPERTIES + k)}) for k in (0, 1)),
    "bad_customer": tuple(call(userId="u" * (MAX_ID_BYTES + k)) for k in (0, 1)),
}


@pytest.mark.parametrize("reason", LIMITS)
def test_the_limit_itself_is_accepted_and_one_more_is_refused(reason: str) -> None:
    at, above = LIMITS[reason]
    assert isinstance(decode(at, [], None), Event)
    refused = decode(above, [], None)
    assert isinstance(refused, Rejected)
    assert refused.reason == reason


def test_a_name_is_cut() -> None:
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
def test_a_hostile_event_costs_little_and_raises_nothing(hostile: bytes) -> None:
    """Rule: refused or understood, within a quarter of a second of CPU for the worst."""
    before = time.process_time()
    assert isinstance(decode(hostile, [], None), Event | Rejected)
    assert time.process_time() - before < 0.25


def test_a_profile_does_not_grow_with_its_events() -> None:
    """Rule: a thousand different names, properties, accounts and long texts later, a profile is a few KiB."""
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


def test_what_a_dead_letter_adds_has_room() -> None:
    """Rule: no message of an error makes a dead letter larger than its topic takes."""
    one = record(1)
    letter = dead_letter("dlq", one, "processing_error", "\U0001f600" * 1_000_000, "E" * 200)
    added = sum(len(name) + len(value) for name, value in letter.headers)
    assert added < DEAD_LETTER_HEADROOM_BYTES


def test_a_value_of_the_store_that_claims_to_be_huge_is_refused() -> None:
    """Rule: a length that is not there is an error at once, not a memory to be filled."""
    with pytest.raises(msgspec.MsgspecError):
        msgspec.msgpack.decode(b"\xdd\xff\xff\xff\xff")
