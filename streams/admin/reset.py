"""Reset of a stopped group: clears its changelog, and with it all positions, and its local stores. Outputs are kept.

Tested by tests/broker/test_reset.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from streams.admin.lag import describe_group
from streams.engine.store_directories import directories
from streams.engine.transactions import FencedProducer
from streams.errors import ChurnSignalsError
from streams.kafka.topic_reader import consuming, spans_of, topic_partitions
from streams.settings import Settings
from streams.topics import CHANGELOG, EVENTS, find_topics, name_of, recreate_topic


class GroupAlive(ChurnSignalsError):
    """You see this if the group still has members. Their state must not be cleared while they run."""


@dataclass(frozen=True)
class ResetPlan:
    """What a reset clears.

    Attributes:
        group: the consumer group.
        partitions: number of partitions of the events topic.
        changelog: name of the changelog topic.
        changelog_partitions: number of partitions of the changelog; None if it does not exist.
        records: number of offsets in the changelog, including transaction markers.
        stores: directories of local stores on this machine.
    """

    group: str
    partitions: int
    changelog: str
    changelog_partitions: int | None
    records: int
    stores: Sequence[Path]


async def plan_reset(settings: Settings) -> ResetPlan:
    """Determine what a reset would clear, and change nothing.

    Raises:
        BrokerUnreachable: no broker is reachable with these credentials.
        GroupAlive: the group has members.
        ChurnSignalsError: the events topic does not exist.
    """
    existing = await find_topics(settings)
    events, changelog = name_of(EVENTS, settings), name_of(CHANGELOG, settings)
    if events not in existing:
        raise ChurnSignalsError(f"topic {events} does not exist, so there is nothing to reset; check the settings.")
    partitions = existing[events].partitions
    await check_stopped(settings, partitions)
    records = 0
    if changelog in existing:
        async with consuming(settings) as consumer:
            spans = await spans_of(consumer, topic_partitions(changelog, existing[changelog].partitions))
            records = sum(end - first for first, end in spans.values())
    return ResetPlan(
        group=settings.kafka_group_id,
        partitions=partitions,
        changelog=changelog,
        changelog_partitions=existing[changelog].partitions if changelog in existing else None,
        records=records,
        stores=directories(settings.store_dir, events),
    )


async def clear(settings: Settings, plan: ResetPlan) -> None:
    """Clear the group's state, in an order in which every intermediate state is consistent:

    1. Check again that the group has no members.
    2. Fence every partition: an owner that was paused, for example by SIGSTOP, can no longer commit.
    3. Delete the changelog and create it again. From here on there are no positions.
    4. Commit the first offset for the group. Committed offsets serve lag monitoring only.
    5. Delete the local stores of this machine. Stores on other machines no longer match the changelog and are rebuilt.

    After a failure, call it again: it completes the remaining steps.

    Raises:
        GroupAlive: a member has joined since the plan was made.
        ConfigurationError: the broker refuses to delete or create the changelog.
    """
    await check_stopped(settings, plan.partitions)
    events = name_of(EVENTS, settings)
    for number in range(max(plan.partitions, plan.changelog_partitions or 0)):
        producer = await FencedProducer.open(settings, f"{plan.group}/worker/{events}/{number}")
        await producer.close()
    await recreate_topic(CHANGELOG, settings)
    await _commit_first(settings, plan)
    for directory in plan.stores:
        shutil.rmtree(directory, ignore_errors=True)


async def check_stopped(settings: Settings, partitions: int) -> None:
    """Check that the group has no members. Raises GroupAlive if it has."""
    admin, group = AIOKafkaAdminClient(**settings.connection()), settings.kafka_group_id
    await admin.start()
    try:
        _, described = await describe_group(admin, group, topic_partitions(name_of(EVENTS, settings), partitions))
        members = len(described["members"])
    finally:
        await admin.close()
    if members:
        count = "1 member" if members == 1 else f"{members} members"
        timeout_s = settings.kafka_session_timeout_ms / 1000
        raise GroupAlive(
            f"the group {group} has {count}; nothing was changed. Stop its workers and run this again"
            f" (a killed worker counts for another {timeout_s:.0f} s)."
        )


async def _commit_first(settings: Settings, plan: ResetPlan) -> None:
    consumer = AIOKafkaConsumer(**settings.connection(), group_id=plan.group, enable_auto_commit=False)
    await consumer.start()
    try:
        tps = topic_partitions(name_of(EVENTS, settings), plan.partitions)
        first = await consumer.beginning_offsets(tps)
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, first[tp])
        await consumer.getmany(timeout_ms=0)  # without one poll, stop may hang: see `topic_reader._assign`
        await consumer.commit(first)
    finally:
        await consumer.stop()
