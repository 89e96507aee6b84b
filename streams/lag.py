"""How far behind a group is: one look at what it has committed, what the topics hold, and how long events wait."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from streams.errors import ChurnSignalsError
from streams.settings import Settings

# Some 10 s: a single node needs half a second.
_COORDINATOR_TRIES, _COORDINATOR_WAIT_S = 50, 0.2


@dataclass(frozen=True)
class PartitionLag:
    """One partition as one look at the group sees it. What it means is not said here.

    Attributes:
        committed: the next offset to apply as the group knows it (a second late); None if it never committed.
        first, end: what the topic holds is [first, end).
        members: how many processes the group has.
        oldest_ms: timestamp of the oldest record that is not applied; None if there is none.
        at_ms: when this was looked at, wall time.
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    first: int
    end: int
    members: int
    oldest_ms: int | None
    at_ms: int

    @property
    def next(self) -> int:
        """The offset from which on nothing is applied."""
        return max(self.first, self.committed or 0)

    @property
    def lag(self) -> int:
        """Offsets still to be applied, transaction markers included."""
        return max(0, self.end - self.next)

    @property
    def seconds(self) -> float:
        """How long the oldest record that is not applied has waited; 0 if none does.

        >>> PartitionLag("g", "t", 0, 5, 0, 9, 1, 1_000, 3_500).seconds
        2.5
        """
        return 0.0 if self.oldest_ms is None else max(0, self.at_ms - self.oldest_ms) / 1000


async def measure(settings: Settings) -> list[PartitionLag]:
    """One look at the groups of workers and trainers.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
        ChurnSignalsError: the group has no coordinator.
    """
    from aiokafka.admin import AIOKafkaAdminClient

    from streams.topic_reader import consuming, partitions_of
    from streams.topics import EVENTS, LABELS, name_of

    watched = [
        (group, await partitions_of(settings, name_of(topic, settings)))
        for group, topic in ((settings.kafka_group_id, EVENTS), (f"{settings.kafka_group_id}-trainer", LABELS))
    ]
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        async with consuming(settings) as consumer:
            return [row for group, tps in watched for row in await _look(admin, consumer, group, tps)]
    finally:
        await admin.close()


async def _look(admin: Any, consumer: Any, group: str, tps: list[Any]) -> list[PartitionLag]:
    from streams.topic_reader import first_records, spans_of

    spans = await spans_of(consumer, tps)
    committed, members = await group_of(admin, group, tps)
    positions = {tp: committed[tp].offset for tp in tps if tp in committed and committed[tp].offset >= 0}
    waiting = {tp: (max(first, positions.get(tp, 0)), end) for tp, (first, end) in spans.items()}
    oldest, now_ms = await first_records(consumer, waiting), int(time.time() * 1000)
    return [
        PartitionLag(
            group,
            tp.topic,
            tp.partition,
            positions.get(tp),
            *spans[tp],
            members,
            oldest[tp].timestamp if tp in oldest else None,
            now_ms,
        )
        for tp in tps
    ]


async def group_of(admin: Any, group: str, tps: Any) -> tuple[Any, int]:
    """What a group has committed, and how many members it has.

    A broker that never had a group makes the topic of their offsets first, and until then names no coordinator.
    """
    from aiokafka.errors import GroupCoordinatorNotAvailableError

    for _ in range(_COORDINATOR_TRIES):
        try:
            committed = await admin.list_consumer_group_offsets(group, partitions=tps)
            [response] = await admin.describe_consumer_groups([group])
            return committed, len(response.to_object()["groups"][0]["members"])
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_COORDINATOR_WAIT_S)
    raise ChurnSignalsError(f"no broker coordinates the group {group}: is the cluster complete?")
