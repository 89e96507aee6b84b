"""`churn-signals publish`: sends a file of events to the events topic, each to its customer's partition."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from streams.cli.ask import ask, stopping
from streams.cli.common import InputFile, ProgressBar
from streams.errors import ChurnSignalsError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.events.event import Event, Rejected

DAY_MS = 86_400_000
# A pause shorter than this costs more than it is exact.
_PACE_S = 0.01
# Some 20 ms of work: acknowledgements, Ctrl-C and whoever shares the loop get their turn.
_TURN = 500
# Often enough for eyes, too seldom to cost anything.
_SHOW_S = 0.2


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many events a second.")
def publish(file: str, rate: float | None) -> None:
    """Send FILE (events, one JSON object a line, plain or gzipped; - is standard input) to the events topic.

    Each line is one record, keyed by its customer. What is no valid event is counted and sent as it is, without a key:
    the workers put it into the dead-letter topic. Ctrl-C waits for what is on its way, and says how many were sent.
    """
    settings = Settings.from_environment()
    with InputFile(file) as lines, ProgressBar("publishing", lines.size) as bar:

        def show(sent: int) -> None:
            bar.advance_to(lines.position, f"{sent:,} events")

        async def sending() -> tuple[PublishResult, bool]:
            with stopping() as stop:
                sent = await publish_events(settings, (line for line in lines if line), rate=rate, show=show, stop=stop)
                return sent, stop.is_set()

        sent, stopped = ask(sending())
    if stopped:
        raise ChurnSignalsError(f"stopped after {publish_summary(sent, settings)}; the rest of {file} was not sent.")
    click.echo(publish_summary(sent, settings))


class PublishResult(NamedTuple):
    """What Kafka has acknowledged, and how many of it the workers will reject, by reason."""

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
    """Send events in their order, as fast as Kafka takes them or as they are paced; all are acknowledged at the end.

    Args:
        settings: where, and how.
        values: events, one JSON object each; pulled as they are sent.
        rate: at most so many events a second.
        days_per_second: at most so much event time a second, from the first event on.
        show: told the count a few times a second.
        stop: when it is set, nothing more is sent.

    Raises:
        BrokerUnreachable, TopicMismatch: nothing was sent.
        ChurnSignalsError: the broker refused a record.
    """
    async with Publisher(settings) as publisher:
        pace, shown_s = _Pace(rate, days_per_second), time.monotonic()
        for value in values:
            if stop is not None and stop.is_set():
                break
            event = await publisher.send(value)
            ahead_s = pace.ahead_s(publisher.sent, getattr(event, "time_ms", None))
            if ahead_s > _PACE_S:
                await _sleep(ahead_s, stop)
            elif publisher.sent % _TURN == 0:
                await asyncio.sleep(0)
            if show is not None and time.monotonic() - shown_s > _SHOW_S:
                shown_s = time.monotonic()
                show(publisher.sent)
    return PublishResult(publisher.sent, publisher.rejected)


class Publisher:
    """Sends events to the events topic, keyed by customer and written once; leaving it waits for every answer.

    Raises on entering BrokerUnreachable or TopicMismatch, later ChurnSignalsError if the broker refused a record.
    """

    def __init__(self, settings: Settings) -> None:
        self.sent = 0
        self.rejected: Counter[str] = Counter()
        self._settings = settings
        self._producer: Any = None
        self._refused: BaseException | None = None

    async def __aenter__(self) -> Publisher:
        from aiokafka import AIOKafkaProducer

        from streams.topics import EVENTS, name_of, verify_topics

        settings = self._settings
        self._topic = name_of(EVENTS, settings)
        found = await verify_topics(settings)
        self._producer = AIOKafkaProducer(
            **settings.connection(),
            enable_idempotence=True,
            linger_ms=5,
            compression_type=settings.compression,
            max_request_size=found[self._topic].limit_bytes,
        )
        await self._producer.start()
        return self

    async def send(self, value: bytes) -> Event | Rejected:
        """Put one event on its way; what it is. One that workers will reject goes without a key."""
        from models.events.event import Event, decode

        event = decode(value, (), int(time.time() * 1000))  # its record's timestamp, or near it
        if isinstance(event, Event):
            await self.put(value, event.customer.encode())
        else:
            await self.put(value, None)
            self.rejected[event.reason] += 1
        return event

    async def put(self, value: bytes | None, key: bytes | None, **more: Any) -> None:
        """Put one record on its way as it is; `more` is aiokafka's: partition, timestamp_ms, headers."""
        from aiokafka.errors import KafkaError

        if self._refused is not None:
            raise self._failure(self._refused)
        try:
            answer = await self._producer.send(self._topic, value, key=key, **more)
        except KafkaError as refused:
            raise self._failure(refused) from refused
        answer.add_done_callback(self._answered)
        self.sent += 1

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and answer.exception() is not None:
            self._refused = self._refused or answer.exception()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self._producer.flush()
        finally:
            await self._producer.stop()
        if kind is None and self._refused is not None:
            raise self._failure(self._refused)

    def _failure(self, refused: BaseException) -> ChurnSignalsError:
        return ChurnSignalsError(f"{self._topic} took no more after some {self.sent:,} events: {refused!r}")


class _Pace:
    """How far sending is ahead of what was asked for."""

    def __init__(self, rate: float | None, days_per_second: float | None) -> None:
        self._rate, self._days_per_second = rate, days_per_second
        self._started_s = time.monotonic()
        self._first_ms: int | None = None

    def ahead_s(self, sent: int, time_ms: int | None) -> float:
        """After so many events, the last of which happened at `time_ms`; an event that has no time waits for none."""
        due_s = sent / self._rate if self._rate is not None else 0.0
        if self._days_per_second is not None and time_ms is not None:
            self._first_ms = time_ms if self._first_ms is None else self._first_ms
            due_s = max(due_s, (time_ms - self._first_ms) / DAY_MS / self._days_per_second)
        return due_s - (time.monotonic() - self._started_s)


async def _sleep(seconds: float, stop: asyncio.Event | None) -> None:
    if stop is None:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def publish_summary(sent: PublishResult, settings: Settings) -> str:
    """What was sent, in one line."""
    text = f"{sent.events:,} events sent to {settings.topic_events}"
    if not sent.rejected:
        return text
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sent.rejected.most_common())
    return f"{text}, {sent.rejected.total():,} of them invalid ({reasons}): see churn-signals dlq ls"
