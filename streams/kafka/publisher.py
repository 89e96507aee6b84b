"""Publish events to the events topic, each to its customer's partition.

Tested by tests/broker/test_publishing.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.errors import ChurnSignalsError
from streams.kafka.control_signature import UNAUTHORIZED_CONTROL, ControlSignatures
from streams.settings import Settings

if TYPE_CHECKING:
    from models.events.event import Event, Rejected

DAY_MS = 86_400_000
# A shorter pause costs more time than it adds precision.
_MIN_PAUSE_S = 0.01
# About 20 ms of work, after which acknowledgements, Ctrl-C and other tasks of the event loop run.
_YIELD_EVERY_EVENTS = 500
# Prevents a broker that is away from delaying the end after Ctrl-C or SIGTERM.
_ACKNOWLEDGED_WITHIN_S, _ABANDON_AFTER_S = 5.0, 3.0
# Five updates a second look continuous and cost nothing measurable.
_SHOW_EVERY_S = 0.2


class PublishResult(NamedTuple):
    """Acknowledged events, and how many of them workers will reject, by reason."""

    events: int
    rejected: Counter[str]


async def publish_events(
    settings: Settings,
    values: Iterable[bytes],
    *,
    rate: float | None = None,
    days_per_second: float | None = None,
    show: Callable[[int], None] | None = None,
    stop: asyncio.Event | None = None,
) -> PublishResult:
    """Publish events in their order and return when all are acknowledged. Limit the pace if asked to.

    Args:
        settings: Connection and topic names.
        values: Events, one JSON object each; read while publishing.
        rate: Maximum number of events per second.
        days_per_second: Maximum days of event time per second, counted from the first event.
        show: Called with the number of sent events a few times a second.
        stop: Ends publishing when it is set.

    Raises:
        BrokerUnreachable, TopicMismatch: nothing was published.
        ChurnSignalsError: the broker refused a record, or did not acknowledge all of them in time after a stop.
    """
    stop = stop or asyncio.Event()
    publisher = Publisher(settings)
    work = asyncio.ensure_future(_publish(publisher, values, _PublishPace(rate, days_per_second), show, stop))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({work}, timeout=_ACKNOWLEDGED_WITHIN_S)
    finally:
        stopping.cancel()
        unfinished = work.cancel()
    if unfinished:
        await asyncio.wait({work}, timeout=_ABANDON_AFTER_S)
        if not publisher.sent:
            raise ChurnSignalsError("stopped before an event was published: no broker answers.")
        raise ChurnSignalsError(
            f"stopped after about {publisher.sent:,} events, and the broker has not acknowledged all of them. Publish"
            " them again: events with the same messageId count once."
        )
    work.result()
    return PublishResult(publisher.sent, publisher.rejected)


async def _publish(
    publisher: Publisher,
    values: Iterable[bytes],
    pace: _PublishPace,
    show: Callable[[int], None] | None,
    stop: asyncio.Event,
) -> None:
    async with publisher:
        shown_s = time.monotonic()
        for value in values:
            if stop.is_set():
                break
            event = await publisher.send(value)
            ahead_s = pace.ahead_s(publisher.sent, getattr(event, "time_ms", None))
            if ahead_s > _MIN_PAUSE_S:
                await _sleep(ahead_s, stop)
            elif publisher.sent % _YIELD_EVERY_EVENTS == 0:
                await asyncio.sleep(0)
            if show is not None and time.monotonic() - shown_s > _SHOW_EVERY_S:
                shown_s = time.monotonic()
                show(publisher.sent)


class Publisher:
    """Publishes events to the events topic, keyed by customer, with an idempotent producer.

    Leaving the `with` block waits until all records are acknowledged.

    Attributes:
        sent: Records sent so far.
        rejected: How many of them workers will reject, by reason.

    Raises:
        BrokerUnreachable, TopicMismatch: on entering.
        ChurnSignalsError: later, if the broker refused a record.
    """

    def __init__(self, settings: Settings) -> None:
        self.sent = 0
        self.rejected: Counter[str] = Counter()
        self._settings = settings
        self._control = ControlSignatures(settings)
        self._producer: Any = None
        self._refusal: BaseException | None = None

    async def __aenter__(self) -> Publisher:
        from aiokafka import AIOKafkaProducer

        from streams.topics import EVENTS, name_of, verify_topics

        settings = self._settings
        self._topic = name_of(EVENTS, settings)
        topics = await verify_topics(settings)
        self._producer = AIOKafkaProducer(
            **settings.connection(),
            enable_idempotence=True,
            linger_ms=5,
            compression_type=settings.compression,
            max_request_size=topics[self._topic].limit_bytes,
        )
        await self._producer.start()
        return self

    async def send(self, value: bytes) -> Event | Rejected:
        """Send one event and return it decoded. An event that workers will reject is sent without a key.

        A control event is signed, if there is a secret.
        """
        from models.events.event import Event, decode

        event = decode(value, (), int(time.time() * 1000))  # close to the timestamp that its record will have
        if isinstance(event, Event):
            headers: list[tuple[str, bytes]] = []
            if event.is_control:
                headers = self._control.sign(value)
                if not self._control.accepts(value, headers):
                    self.rejected[UNAUTHORIZED_CONTROL] += 1
            await self.put(value, event.customer.encode(), headers=headers)
        else:
            await self.put(value, None)
            self.rejected[event.reason] += 1
        return event

    async def put(self, value: bytes | None, key: bytes | None, **options: Any) -> None:
        """Send one record unchanged. `options` are aiokafka's: partition, timestamp_ms, headers."""
        from aiokafka.errors import KafkaError

        if self._refusal is not None:
            raise self._failure(self._refusal)
        try:
            delivery = await self._producer.send(self._topic, value, key=key, **options)
        except KafkaError as refusal:
            raise self._failure(refusal) from refusal
        delivery.add_done_callback(self._note_refusal)
        self.sent += 1

    def _note_refusal(self, delivery: asyncio.Future[Any]) -> None:
        if not delivery.cancelled() and delivery.exception() is not None:
            self._refusal = self._refusal or delivery.exception()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from streams.kafka.aiokafka_internals import stop_producer

        try:
            if kind is None:
                await self._producer.flush()
        finally:
            await stop_producer(self._producer)
        if kind is None and self._refusal is not None:
            raise self._failure(self._refusal)

    def _failure(self, refusal: BaseException) -> ChurnSignalsError:
        return ChurnSignalsError(f"{self._topic} refused a record after about {self.sent:,} events: {refusal!r}")


class _PublishPace:
    """Computes how far publishing is ahead of its pace."""

    def __init__(self, rate: float | None, days_per_second: float | None) -> None:
        self._rate, self._days_per_second = rate, days_per_second
        self._started_s = time.monotonic()
        self._first_ms: int | None = None

    def ahead_s(self, sent: int, time_ms: int | None) -> float:
        """Seconds to wait after so many events. `time_ms` is the last event's time; None does not limit event time."""
        due_s = sent / self._rate if self._rate is not None else 0.0
        if self._days_per_second is not None and time_ms is not None:
            self._first_ms = time_ms if self._first_ms is None else self._first_ms
            due_s = max(due_s, (time_ms - self._first_ms) / DAY_MS / self._days_per_second)
        return due_s - (time.monotonic() - self._started_s)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def publish_summary(result: PublishResult, settings: Settings) -> str:
    """Summarize what was published in one line."""
    text = f"{result.events:,} events sent to {settings.topic_events}"
    if not result.rejected:
        return text
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in result.rejected.most_common())
    return f"{text}, {result.rejected.total():,} of them invalid ({reasons}). List them with: churn-signals dlq ls"
