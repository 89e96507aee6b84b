"""Starting a group afresh: its changelog, with it every position, and the local stores are cleared; outputs stay."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from streams.admin.lag import group_of
from streams.engine.store_directories import directories
from streams.engine.transactions import FencedProducer
from streams.errors import ChurnSignalsError
from streams.kafka.topic_reader import consuming, spans_of, topic_partitions
from streams.settings import Settings
from streams.topics import CHANGELOG, EVENTS, find_topics, name_of, recreate_topic


class GroupAlive(ChurnSignalsError):
    """The group has members: their state must not be taken away beneath them."""


@dataclass(frozen=True)
class ResetPlan:
    """What would be cleared.

    Attributes:
        partitions: of the events topic.
        changelog_partitions: of the changelog, None if there is none.
        records: offsets that the changelog spans, markers included.
        stores: directories on this machine.
    """

    group: str
    partitions: int
    changelog: str
    changelog_partitions: int | None
    records: int
    stores: Sequence[Path]


async def plan_reset(settings: Settings) -> ResetPlan:
    """Look at the group; changes nothing.

    Raises:
        BrokerUnreachable: no broker answered.
        GroupAlive: the group has members.
        ChurnSignalsError: there is no events topic.
    """
    found = await find_topics(settings)
    events, changelog = name_of(EVENTS, settings), name_of(CHANGELOG, settings)
    if events not in found:
        raise ChurnSignalsError(f"topic {events} does not exist: there is nothing to start afresh from.")
    partitions = found[events].partitions
    await _check_stopped(settings, partitions)
    records = 0
    if changelog in found:
        async with consuming(settings) as consumer:
            spans = await spans_of(consumer, topic_partitions(changelog, found[changelog].partitions))
            records = sum(end - first for first, end in spans.values())
    return ResetPlan(
        settings.kafka_group_id,
        partitions,
        changelog,
        found[changelog].partitions if changelog in found else None,
        records,
        directories(settings.store_dir, events),
    )


async def clear(settings: Settings, plan: ResetPlan) -> None:
    """Do it, in an order that leaves no half state behind:

    1. The group must still have no members.
    2. Every partition is fenced: whoever owned it and was only stopped can commit nothing any more.
    3. The changelog is deleted and made anew. From here on there is no position.
    4. The group's own offsets, which serve lag monitoring only, go back to the first event.
    5. The stores of this machine are removed. Those elsewhere no longer fit the changelog and are rebuilt.

    Run again after a failure, it does what is left.
    """
    await _check_stopped(settings, plan.partitions)
    events = name_of(EVENTS, settings)
    for number in range(max(plan.partitions, plan.changelog_partitions or 0)):
        producer = await FencedProducer.open(settings, f"{plan.group}/worker/{events}/{number}")
        await producer.close()
    await recreate_topic(CHANGELOG, settings)
    await _commit_first(settings, plan)
    for directory in plan.stores:
        shutil.rmtree(directory, ignore_errors=True)


async def _check_stopped(settings: Settings, partitions: int) -> None:
    admin, group = AIOKafkaAdminClient(**settings.connection()), settings.kafka_group_id
    await admin.start()
    try:
        _, described = await group_of(admin, group, topic_partitions(name_of(EVENTS, settings), partitions))
        members = len(described["members"])
    finally:
        await admin.close()
    if members:
        timeout_s = settings.kafka_session_timeout_ms / 1000
        raise GroupAlive(
            f"the group {group} has {members} members; nothing was changed. Stop its workers and try again"
            f" (one that was killed counts for another {timeout_s:.0f} s)."
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
        await consumer.getmany(timeout_ms=0)  # asked once, or stopping may hang: see `topic_reader._assign`
        await consumer.commit(first)
    finally:
        await consumer.stop()
