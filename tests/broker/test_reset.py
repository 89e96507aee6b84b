"""`reset` on a real broker: a stopped group loses its state, an active group is left unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streams.engine.contract import Output
from streams.engine.store import PartitionStore
from streams.engine.transactions import FencedProducer
from streams.errors import OwnershipLost, TopicMismatch
from streams.topics import CHANGELOG, EVENTS, find_topics, name_of, verify_topics
from tests.broker.changelog import CHANGELOG_ID, Log, timed
from tests.broker.commands import call
from tests.broker.test_lag import commit, write
from tests.crash.harness import Run


@contextmanager
def member(run: Run) -> Iterator[None]:
    """Keep a member in the group. Commands run between two polls, well within the session timeout."""
    loop = asyncio.new_event_loop()

    async def joined() -> AIOKafkaConsumer:
        topic = name_of(EVENTS, run.settings)
        consumer = AIOKafkaConsumer(topic, **run.settings.connection(), group_id=run.settings.kafka_group_id)
        await consumer.start()
        await consumer.getmany(timeout_ms=100)
        return consumer

    consumer = loop.run_until_complete(joined())
    yield
    loop.run_until_complete(consumer.stop())
    loop.close()


async def more_partitions(run: Run, count: int) -> None:
    """Partition count of every topic that has as many partitions as the input, except the changelog."""
    admin = AIOKafkaAdminClient(**run.settings.connection())
    await admin.start()
    found = await find_topics(run.settings)
    names = [n for n, f in found.items() if f.partitions == 2 and n != name_of(CHANGELOG, run.settings)]
    await admin.create_partitions({name: NewPartitions(count) for name in names})
    await admin.close()


def test_reset_clears_a_stopped_group_and_leaves_an_active_one(new_run: Callable[..., Run]) -> None:
    """Setup: events, a changelog with a position, a committed offset, and stores of two partitions, one of them twice.
    Then the input gets another partition, which requires a reset (or a new group)."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(write(run, [300, 200]))
    asyncio.run(commit(run, 4))
    log = Log(run)
    asyncio.run(log.write({b"ca": timed(5)}))
    events, changelog = name_of(EVENTS, run.settings), name_of(CHANGELOG, run.settings)
    for name in (f"{events}-0", f"{events}-1", f"{events}-1.1"):
        PartitionStore(run.settings.store_dir / name).close()
    other = run.settings.store_dir / "other-topic-0"
    other.mkdir()

    asked = call(run, "reset")
    assert (asked.exit_code, "add --yes" in asked.output) == (2, True), asked.output

    with member(run):
        result = call(run, "reset", "--yes")
    assert result.exit_code == 1, result.output
    assert "has 1 member; nothing was changed" in result.output
    assert len(list(run.settings.store_dir.iterdir())) == 4
    assert asyncio.run(run.read(changelog))

    loop = asyncio.new_event_loop()  # of an owner that left the group but still has its producer
    zombie = loop.run_until_complete(
        FencedProducer.open(run.settings, f"{run.settings.kafka_group_id}/worker/{events}/0")
    )
    result = call(run, "reset", "--yes")
    assert result.exit_code == 0, result.output
    assert "cleared the group" in result.output
    assert "3 local stores" in result.output
    with pytest.raises(OwnershipLost):
        loop.run_until_complete(zombie.commit([Output(events, 0, b"k", b"{}")]))
    loop.run_until_complete(zombie.discard())
    loop.close()
    assert asyncio.run(run.read(changelog)) == []
    assert list(run.settings.store_dir.iterdir()) == [other]
    row = call(run, "lag", "--json").output.splitlines()[1]
    assert '"committed":0' in row
    assert len(asyncio.run(run.read(events))) == 2

    asyncio.run(log.write({b"ca": timed(5)}, changelog_id=CHANGELOG_ID))
    asyncio.run(more_partitions(run, 3))
    with pytest.raises(TopicMismatch, match=r"must have 3.*churn-signals reset"):
        asyncio.run(verify_topics(run.settings))
    again = call(run, "reset", "--yes")
    assert (again.exit_code, "3 partitions" in again.output) == (0, True), again.output
    found = asyncio.run(verify_topics(run.settings))
    assert found[changelog].partitions == 3
    assert asyncio.run(run.read(changelog)) == []


def test_reset_of_an_unknown_group_succeeds(new_run: Callable[..., Run]) -> None:
    """Rule: missing state is not an error, but a missing events topic is."""
    run = new_run(partitions=1)
    missing = call(run, "reset", "--yes")
    assert (missing.exit_code, "does not exist" in missing.output) == (1, True), missing.output
    call(run, "topics", "create")
    assert call(run, "reset", "--yes").exit_code == 0
    tp = TopicPartition(name_of(CHANGELOG, run.settings), 0)
    assert tp.topic in asyncio.run(find_topics(run.settings))
