"""Create the topics of a group as an earlier release left them."""

from __future__ import annotations

from aiokafka import AIOKafkaProducer

from streams.kafka.model_reader import LABELS_OFFSET_HEADER
from streams.topics import CHANGELOG, EVENTS, MODEL, name_of
from tests.crash.harness import Run
from tests.streams.format_fixture import Fixture


async def lay_out(run: Run, fixture: Fixture) -> None:
    """Publish the records of the release at the same offsets."""
    async with AIOKafkaProducer(**run.settings.connection(), max_request_size=8 * 1024 * 1024) as producer:
        headers, key = [(LABELS_OFFSET_HEADER, b"0")], run.settings.model_name.encode()
        await producer.send_and_wait(name_of(MODEL, run.settings), fixture.model, key=key, headers=headers)
        for e in fixture.events:
            await producer.send(name_of(EVENTS, run.settings), e.value, e.key, e.partition, e.timestamp)
        for number, key, value in fixture.changelog:
            await producer.send(name_of(CHANGELOG, run.settings), value, key, number)
        await producer.flush()
