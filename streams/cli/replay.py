"""Plan and send replays of dead letters: which ones, as which record, and to which partition.

Tested by tests/broker/test_dlq_replay.py.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from models.events.event import Event, decode
from streams.engine.transactions import kept_timestamp
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.kafka.control_signature import UNAUTHORIZED_CONTROL, ControlSignatures
from streams.kafka.partitioner import partition_of
from streams.kafka.publisher import Publisher
from streams.kafka.topic_reader import read_record, read_topic
from streams.scoring.dead_letters import DeadLetter
from streams.scoring.event_router import FORWARDED, TIMESTAMP
from streams.scoring.processor_context import MARK_BYTES
from streams.settings import Settings, variable
from streams.topics import DEAD_LETTERS, EVENTS, name_of, verify_topics

# Header with the dead letter's position: topic/partition@offset.
REPLAYED = "churn.replayed"

# Digits of a timestamp in milliseconds, in any century that matters.
_TIMESTAMP_DIGITS = 15
# About 20 ms of work between two checks for Ctrl-C.
_YIELD_EVERY_EVENTS = 500

LetterPosition = tuple[int, int]
"""Partition and offset of a dead letter."""


class ReplayRecord(NamedTuple):
    """A record for the events topic."""

    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


@dataclass
class ReplayPlan:
    """Which dead letters to send, and why the others are skipped.

    Attributes:
        named: Positions that the caller named; empty if the letters were selected by reason, or all of them.
        sign: Whether control events are signed.
        letters: Positions of the letters to send, with the reason of their rejection.
        skipped: Number of letters that are not sent, by reason.
    """

    named: Sequence[LetterPosition]
    sign: bool = False
    letters: dict[LetterPosition, str] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


async def plan_replay(
    settings: Settings, named: Sequence[LetterPosition], reason: str | None, *, sign: bool = False
) -> ReplayPlan:
    """Plan the replay of the named letters, or of all letters, or of all with one reason.

    Args:
        sign: sign control events, so that workers apply them.

    Raises:
        ConfigurationError: there is no secret to sign with.
        BrokerUnreachable, TopicMismatch: Kafka does not answer, or a topic differs from its declaration.
        ChurnSignalsError: there is no letter at a named position.
    """
    if sign and not settings.control_keys():
        raise ConfigurationError(f"{variable('control_secret')} is not set, so control events cannot be signed")
    target, plan = await _ReplayTarget.of(settings, sign=sign), ReplayPlan(list(dict.fromkeys(named)), sign)
    rejected_again: dict[bytes, LetterPosition] = {}  # by replayed letter: its newest rejection
    async for letter in _read_letters(settings, plan.named):
        position = letter.partition, letter.offset
        replayed = dict(letter.headers).get(REPLAYED)
        if replayed is not None and not plan.named:
            for older in (rejected_again.get(replayed), _parse_replayed(replayed, target.dead_letter_topic)):
                if older is not None and plan.letters.pop(older, None) is not None:
                    plan.skipped["replayed before, and rejected again as a newer letter"] += 1
            rejected_again[replayed] = position
        if reason is not None and letter.reason != reason:
            continue
        record = target.to_record(letter)
        if isinstance(record, str):
            plan.skipped[record] += 1
        else:
            plan.letters[position] = letter.reason
    return plan


async def send_again(
    settings: Settings, plan: ReplayPlan, show: Callable[[int], None], stop: asyncio.Event | None = None
) -> int:
    """Send the planned letters and return the number of acknowledged events.

    Raises:
        ChurnSignalsError: the broker refused a record; earlier records are in the topic.
    """
    target = await _ReplayTarget.of(settings, sign=plan.sign)
    async with Publisher(settings) as publisher:
        async for letter in _read_letters(settings, plan.named):
            if (letter.partition, letter.offset) not in plan.letters:
                continue
            if stop is not None and stop.is_set():
                break
            record = target.to_record(letter)
            if isinstance(record, str):
                continue  # it was valid when planned; the caller sees the lower count
            await publisher.put(
                record.value,
                record.key,
                partition=record.partition,
                headers=record.headers,
                timestamp_ms=record.timestamp_ms,
            )
            if publisher.sent % _YIELD_EVERY_EVENTS == 0:
                show(publisher.sent)
                await asyncio.sleep(0)
    return publisher.sent


class _ReplayTarget(NamedTuple):
    """The events topic as the target of replayed events."""

    dead_letter_topic: str
    partitions: int
    limit_bytes: int
    control: ControlSignatures
    sign: bool = False

    @classmethod
    async def of(cls, settings: Settings, *, sign: bool) -> _ReplayTarget:
        events = (await verify_topics(settings))[name_of(EVENTS, settings)]
        control = ControlSignatures(settings)
        return cls(name_of(DEAD_LETTERS, settings), events.partitions, events.limit_bytes, control, sign)

    def to_record(self, letter: DeadLetter) -> ReplayRecord | str:
        """Return the event as it was before its rejection, keyed by customer; or why it would be rejected again.

        A forwarded event loses its forwarding mark and gets the timestamp of its first record back, because that is
        the event's time if it states none itself.
        """
        own = dict(letter.headers)
        headers = [header for header in letter.headers if header[0] not in (REPLAYED, FORWARDED, TIMESTAMP)]
        now_ms = int(time.time() * 1000)
        first = (own.get(TIMESTAMP) or b"") if FORWARDED in own else b""
        written_ms = int(first) if first.isdigit() and len(first) <= _TIMESTAMP_DIGITS else letter.timestamp_ms
        timestamp_ms = kept_timestamp(written_ms, now_ms)
        event = decode(letter.value, headers, timestamp_ms, now_ms)
        if not isinstance(event, Event):
            return f"it would be rejected again as {event.reason}"
        assert letter.value is not None
        if event.is_control and not self.control.accepts(letter.value, headers):
            if not self.sign:
                return f"it would be rejected again as {UNAUTHORIZED_CONTROL}, without --sign"
            headers += self.control.sign(letter.value)
        key = event.customer.encode()
        headers.append((REPLAYED, f"{self.dead_letter_topic}/{letter.partition}@{letter.offset}".encode()))
        header_bytes = sum(len(name.encode()) + len(value or b"") for name, value in headers)
        if len(key) + len(letter.value) + header_bytes + MARK_BYTES > self.limit_bytes:
            return "with its headers it exceeds the maximum record size of the events topic"
        return ReplayRecord(partition_of(key, self.partitions), key, letter.value, headers, timestamp_ms)


async def _read_letters(settings: Settings, named: Sequence[LetterPosition]) -> AsyncIterator[DeadLetter]:
    topic = name_of(DEAD_LETTERS, settings)
    if not named:
        async for record in read_topic(settings, topic):
            yield DeadLetter.of(record)
    for partition, offset in named:
        record = await read_record(settings, topic, partition, offset)
        if record is None:
            raise ChurnSignalsError(
                f"there is no dead letter at {partition}@{offset} in {topic}. List them with: churn-signals dlq ls"
            )
        yield DeadLetter.of(record)


def _parse_replayed(header: bytes, topic: str) -> LetterPosition | None:
    """Parse a `churn.replayed` header; None if it names another topic or is malformed.

    >>> _parse_replayed(b"customer-events.dlq/3@17", "customer-events.dlq")
    (3, 17)
    >>> _parse_replayed(b"customer-events.dlq/3@17", "other")
    """
    name, _, position = header.rpartition(b"/")
    partition, _, offset = position.partition(b"@")
    if name.decode("utf-8", "replace") != topic or not (partition.isdigit() and offset.isdigit()):
        return None
    return int(partition), int(offset)
