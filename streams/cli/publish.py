"""`churn-signals publish`: sends a file of events to the events topic, each to its customer's partition."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable

import click

from streams.cli.ask import ask
from streams.cli.common import InputFile, ProgressBar
from streams.settings import Settings

# A pause shorter than this costs more than it is exact.
_PACE_S = 0.01
_SHOW_EVERY = 1_000


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="At most so many events a second.")
def publish(file: str, rate: float | None) -> None:
    """Send FILE (events, one JSON object a line, plain or gzipped; - is standard input) to the events topic.

    Each line is one record, keyed by its customer. What is no valid event is counted and sent as it is, without a key:
    the workers put it into the dead-letter topic.
    """
    from streams.worker import configure_logging

    settings = Settings.from_environment()
    configure_logging(settings)
    with InputFile(file) as lines, ProgressBar("publishing", lines.size) as bar:

        def show(sent: int) -> None:
            bar.advance_to(lines.position, f"{sent:,} events")

        sent, rejected = ask(send(settings, (line for line in lines if line), rate, show))
    click.echo(f"{sent:,} events sent to {settings.topic_events}" + _told(rejected))


async def send(
    settings: Settings, lines: Iterable[bytes], rate: float | None = None, show: object = None
) -> tuple[int, Counter[str]]:
    """Send lines in their order; returns how many were sent, and how many of them workers will reject for what reason.

    Raises:
        BrokerUnreachable, TopicMismatch: nothing was sent.
        ChurnSignalsError: the broker refused a record.
    """
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import KafkaError

    from models.event import Event, decode
    from streams.errors import ChurnSignalsError
    from streams.topics import EVENTS, name_of, verify_topics

    found = await verify_topics(settings)
    topic = name_of(EVENTS, settings)
    producer = AIOKafkaProducer(
        **settings.connection(),
        enable_idempotence=True,
        linger_ms=5,
        compression_type=settings.compression,
        max_request_size=found[topic].limit_bytes,
    )
    sent, rejected, started = 0, Counter[str](), time.monotonic()
    await producer.start()
    try:
        last = None
        for line in lines:
            event = decode(line, (), int(time.time() * 1000))  # its record's timestamp, or near it
            key = None
            if isinstance(event, Event):
                key = event.customer.encode()
            else:
                rejected[event.reason] += 1
            last = await producer.send(topic, line, key=key)
            sent += 1
            if rate is not None and (ahead_s := sent / rate - (time.monotonic() - started)) > _PACE_S:
                await asyncio.sleep(ahead_s)
            if callable(show) and sent % _SHOW_EVERY == 0:
                show(sent)
        if last is not None:
            await producer.flush()
            await last
    except KafkaError as failure:
        raise ChurnSignalsError(f"{topic} took no more after some {sent:,} events: {failure!r}") from failure
    finally:
        await producer.stop()
    return sent, rejected


def _told(rejected: Counter[str]) -> str:
    if not rejected:
        return ""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in rejected.most_common())
    return f", {rejected.total():,} of them invalid ({reasons}): see churn-signals dlq ls"
