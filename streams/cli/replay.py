"""Dead letters back to the events topic: which of them, as what record, and where to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from models.events.event import Event, decode
from streams.cli.publish import Publisher
from streams.engine.transactions import kept_timestamp
from streams.errors import ChurnSignalsError
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_reader import read_record, read_topic
from streams.scoring.dead_letters import DeadLetter
from streams.scoring.event_router import FORWARDED, TIMESTAMP
from streams.scoring.processor_context import MARK_BYTES
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, EVENTS, name_of, verify_topics

# Which dead letter an event was: topic/partition@offset.
REPLAYED = "churn.replayed"

# Of a timestamp in milliseconds, in any century that matters.
_DIGITS = 15
# Some 20 ms of work between two looks at Ctrl-C.
_TURN = 500

Place = tuple[int, int]
"""Partition and offset of a dead letter."""


class ReplayRecord(NamedTuple):
    """The record that goes to the events topic."""

    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


@dataclass
class ReplayPlan:
    """What to send, and why not the rest.

    Attributes:
        places: the letters that were named; empty if they were chosen by reason, or all.
        letters: where those to be sent lie, each with the reason for which it was refused.
        left: how many are not sent, by why.
    """

    places: Sequence[Place]
    letters: dict[Place, str] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)


async def plan_replay(settings: Settings, places: Sequence[Place], reason: str | None) -> ReplayPlan:
    """Look at the letters that were named, or at all, or at those with a reason.

    Raises:
        BrokerUnreachable, TopicMismatch: Kafka does not answer, or not as declared.
        ChurnSignalsError: there is no letter where one was named.
    """
    target, plan = await _Target.of(settings), ReplayPlan(list(dict.fromkeys(places)))
    came_back: dict[bytes, Place] = {}  # the newest letter of those that were replayed, by which letter they were
    async for letter in _letters(settings, plan.places):
        place = letter.partition, letter.offset
        before = dict(letter.headers).get(REPLAYED)
        if before is not None and not plan.places:
            for old in (came_back.get(before), _place(before, target.letters)):
                if old is not None and plan.letters.pop(old, None) is not None:
                    plan.left["it was replayed and came back as a newer letter"] += 1
            came_back[before] = place
        if reason is not None and letter.reason != reason:
            continue
        record = target.again(letter)
        if isinstance(record, str):
            plan.left[record] += 1
        else:
            plan.letters[place] = letter.reason
    return plan


async def send_again(
    settings: Settings, plan: ReplayPlan, show: Callable[[int], None], stop: asyncio.Event | None = None
) -> int:
    """Send what the plan says; returns how many events Kafka has acknowledged.

    Raises:
        ChurnSignalsError: the broker refused one; what was sent before it is there.
    """
    target = await _Target.of(settings)
    async with Publisher(settings) as publisher:
        async for letter in _letters(settings, plan.places):
            if (letter.partition, letter.offset) not in plan.letters:
                continue
            if stop is not None and stop.is_set():
                break
            record = target.again(letter)
            if isinstance(record, str):
                continue  # it was fine a moment ago; said below by the count
            await publisher.put(
                record.value,
                record.key,
                partition=record.partition,
                headers=record.headers,
                timestamp_ms=record.timestamp_ms,
            )
            if publisher.sent % _TURN == 0:
                show(publisher.sent)
                await asyncio.sleep(0)
    return publisher.sent


class _Target(NamedTuple):
    """Where replayed events go."""

    letters: str
    partitions: int
    limit_bytes: int

    @classmethod
    async def of(cls, settings: Settings) -> _Target:
        events = (await verify_topics(settings))[name_of(EVENTS, settings)]
        return cls(name_of(DEAD_LETTERS, settings), events.partitions, events.limit_bytes)

    def again(self, letter: DeadLetter) -> ReplayRecord | str:
        """The event as it was before it was refused, keyed by its customer; or why it would be refused again.

        A forwarded event loses its mark, because it goes where it belongs now, and gets its first record's timestamp
        back: an event without a time of its own happened then.
        """
        own = dict(letter.headers)
        headers = [header for header in letter.headers if header[0] not in (REPLAYED, FORWARDED, TIMESTAMP)]
        now_ms = int(time.time() * 1000)
        first = (own.get(TIMESTAMP) or b"") if FORWARDED in own else b""
        written_ms = int(first) if first.isdigit() and len(first) <= _DIGITS else letter.timestamp_ms
        timestamp_ms = kept_timestamp(written_ms, now_ms)
        event = decode(letter.value, headers, timestamp_ms, now_ms)
        if not isinstance(event, Event):
            return f"it would be refused again as {event.reason}"
        assert letter.value is not None
        key = event.customer.encode()
        headers.append((REPLAYED, f"{self.letters}/{letter.partition}@{letter.offset}".encode()))
        texts = sum(len(name.encode()) + len(value or b"") for name, value in headers)
        if len(key) + len(letter.value) + texts + MARK_BYTES > self.limit_bytes:
            return "with its headers it is larger than the events topic takes"
        return ReplayRecord(partition_of(key, self.partitions), key, letter.value, headers, timestamp_ms)


async def _letters(settings: Settings, places: Sequence[Place]) -> AsyncIterator[DeadLetter]:
    topic = name_of(DEAD_LETTERS, settings)
    if not places:
        async for record in read_topic(settings, topic):
            yield DeadLetter.of(record)
    for partition, offset in places:
        record = await read_record(settings, topic, partition, offset)
        if record is None:
            raise ChurnSignalsError(
                f"there is no dead letter at {partition}@{offset} in {topic}: churn-signals dlq ls lists them."
            )
        yield DeadLetter.of(record)


def _place(replayed: bytes, topic: str) -> Place | None:
    """The letter that `churn.replayed` names, if it is one of this topic.

    >>> _place(b"customer-events.dlq/3@17", "customer-events.dlq"), _place(b"customer-events.dlq/3@17", "other")
    ((3, 17), None)
    """
    name, _, place = replayed.rpartition(b"/")
    number, _, offset = place.partition(b"@")
    if name.decode("utf-8", "replace") != topic or not (number.isdigit() and offset.isdigit()):
        return None
    return int(number), int(offset)
