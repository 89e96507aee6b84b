"""Lag of a consumer group: committed offsets, end offsets, partition owners, and the age of waiting records.

Tested by tests/broker/test_lag.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from streams.admin.lag_rules import SAMPLES, LagSample, Verdict, verdict
from streams.errors import ChurnSignalsError
from streams.settings import Settings

# 10 s in total: a single node needs 0.5 s to elect a coordinator.
_COORDINATOR_TRIES, _COORDINATOR_WAIT_S = 50, 0.2
# Workers commit group offsets once per second, so that the lag seems to grow between two commits. The minimum of four
# readings is at most a quarter of a second old.
_READINGS_PER_SAMPLE = 4


@dataclass(frozen=True)
class Owner:
    """The group member that owns a partition: member id, client id and host."""

    member: str
    client: str
    host: str


@dataclass(frozen=True)
class PartitionLag:
    """One reading of one partition. A verdict needs several (`streams.admin.lag_rules`).

    Attributes:
        committed: the group's committed offset, up to a second old; None if it never committed.
        first, end: the topic contains offsets in [first, end).
        members: number of group members.
        oldest_ms: timestamp of the oldest record that is not applied; None if there is none or it was not read.
        at_ms: wall time of the reading.
        owner: the owner; None if the partition is unowned.
        rebalancing: the group is in a rebalance.
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
    owner: Owner | None = None
    rebalancing: bool = False

    @property
    def sample(self) -> LagSample:
        """The input of the lag rules."""
        alive = self.owner is not None or self.rebalancing
        return LagSample(self.at_ms, self.committed, self.first, self.end, alive)

    @property
    def next(self) -> int:
        """The first offset that is not applied."""
        return self.sample.next

    @property
    def lag(self) -> int:
        """Offsets that are not applied, including transaction markers."""
        return self.sample.lag

    @property
    def seconds(self) -> float:
        """Age of the oldest record that is not applied; 0 if none waits.

        >>> PartitionLag("g", "t", 0, 5, 0, 9, 1, 1_000, 3_500).seconds
        2.5
        """
        return 0.0 if self.oldest_ms is None else max(0, self.at_ms - self.oldest_ms) / 1000


Judged = tuple[PartitionLag, Verdict]


async def measure(settings: Settings) -> list[PartitionLag]:
    """Read the groups of workers and trainers once, including the ages of waiting records.

    Raises:
        BrokerUnreachable: no broker is reachable with these credentials.
        TopicMismatch: a topic does not exist, or differs from its declaration.
        ChurnSignalsError: a group has no coordinator.
    """
    async with consumer_groups(settings) as groups:
        return await groups.with_ages(await groups.read())


async def watch(settings: Settings, window_s: float, stop: asyncio.Event) -> AsyncGenerator[list[Judged], None]:
    """Read the groups repeatedly, a ninth of the window apart, and yield each partition with its verdict.

    Verdicts are UNKNOWN until there are as many samples as the rules need. Raises the same errors as `measure`.

    Args:
        settings: of the group.
        window_s: time window of the rules; above 0.
        stop: ends the iteration.
    """
    gap_s = window_s / (SAMPLES - 1) / _READINGS_PER_SAMPLE
    samples: dict[tuple[str, int], deque[LagSample]] = {}
    async with consumer_groups(settings) as groups:
        readings = [await groups.read()]
        while True:
            for rows in zip(*readings, strict=True):
                history = samples.setdefault((rows[0].group, rows[0].partition), deque(maxlen=SAMPLES))
                history.append(min((row.sample for row in reversed(rows)), key=lambda sample: sample.lag))
            newest = await groups.with_ages(readings[-1])
            yield [(row, verdict([*samples[row.group, row.partition], row.sample], SAMPLES + 1)) for row in newest]
            readings = []
            for _ in range(_READINGS_PER_SAMPLE):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), gap_s)
                if stop.is_set():
                    return
                readings.append(await groups.read())


@asynccontextmanager
async def consumer_groups(settings: Settings) -> AsyncIterator[ConsumerGroups]:
    """Open connections for the groups of workers and trainers. Raises the same errors as `measure`."""
    from aiokafka.admin import AIOKafkaAdminClient

    from streams.kafka.topic_reader import consuming, partitions_of
    from streams.topics import EVENTS, LABELS, name_of

    watched = [
        (group, await partitions_of(settings, name_of(topic, settings)))
        for group, topic in ((settings.kafka_group_id, EVENTS), (settings.trainer_group, LABELS))
    ]
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        async with consuming(settings) as consumer:
            yield ConsumerGroups(admin, consumer, watched)
    finally:
        await admin.close()


class ConsumerGroups:
    """Reads consumer groups.

    Args:
        admin: a started aiokafka admin client.
        consumer: a started aiokafka consumer.
        watched: each group with the partitions of its input topic.
    """

    def __init__(self, admin: Any, consumer: Any, watched: list[tuple[str, list[Any]]]) -> None:
        self._admin, self._consumer, self._watched = admin, consumer, watched

    async def read(self) -> list[PartitionLag]:
        """Read every partition, without the ages of waiting records."""
        return [row for group, tps in self._watched for row in await self._read_group(group, tps)]

    async def with_ages(self, rows: Iterable[PartitionLag]) -> list[PartitionLag]:
        """Add the timestamp of the oldest record that is not applied, if the topic still contains it."""
        from aiokafka import TopicPartition

        from streams.kafka.topic_reader import first_records

        rows = list(rows)
        waiting = {TopicPartition(row.topic, row.partition): (row.next, row.end) for row in rows}
        oldest, now_ms = await first_records(self._consumer, waiting), _now_ms()
        return [
            replace(row, oldest_ms=record.timestamp, at_ms=now_ms)
            if (record := oldest.get(TopicPartition(row.topic, row.partition)))
            else row
            for row in rows
        ]

    async def _read_group(self, group: str, tps: list[Any]) -> list[PartitionLag]:
        from streams.kafka.topic_reader import spans_of

        # Committed offsets before end offsets: records applied in between must not make the lag negative.
        committed, described = await describe_group(self._admin, group, tps)
        spans = await spans_of(self._consumer, tps)
        owners, now_ms = _owners(described["members"]), _now_ms()
        rebalancing = described["state"] in ("PreparingRebalance", "CompletingRebalance")
        positions = {tp: committed[tp].offset for tp in tps if tp in committed and committed[tp].offset >= 0}
        return [
            PartitionLag(
                group=group,
                topic=tp.topic,
                partition=tp.partition,
                committed=positions.get(tp),
                first=spans[tp][0],
                end=spans[tp][1],
                members=len(described["members"]),
                owner=owners.get(tp),
                rebalancing=rebalancing,
                oldest_ms=None,
                at_ms=now_ms,
            )
            for tp in tps
        ]


async def describe_group(admin: Any, group: str, tps: list[Any]) -> tuple[Any, dict[str, Any]]:
    """Return the committed offsets and the description of a group.

    Retries until there is a coordinator: a new cluster first creates the topic of committed offsets.

    Raises:
        ChurnSignalsError: the group has no coordinator after 10 s.
        KafkaError: the broker refuses to describe the group.
    """
    from aiokafka import errors

    retriable = (
        errors.GroupCoordinatorNotAvailableError,
        errors.NotCoordinatorForGroupError,
        errors.GroupLoadInProgressError,
    )
    for _ in range(_COORDINATOR_TRIES):
        try:
            committed = await admin.list_consumer_group_offsets(group, partitions=tps)
            [response] = await admin.describe_consumer_groups([group])
            described: dict[str, Any] = response.to_object()["groups"][0]
            if described["error_code"]:
                raise errors.for_code(described["error_code"])(f"cannot describe the group {group}")
            return committed, described
        except retriable:
            await asyncio.sleep(_COORDINATOR_WAIT_S)
    raise ChurnSignalsError(
        f"the group {group} has no coordinator after {_COORDINATOR_TRIES * _COORDINATOR_WAIT_S:.0f} s;"
        " check that all brokers of the cluster are running"
    )


def _owners(members: list[dict[str, Any]]) -> dict[Any, Owner]:
    """Return the owner of each partition. There are none during a rebalance."""
    from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

    owners = {}
    for member in members:
        if member["member_assignment"]:
            owner = Owner(member["member_id"], member["client_id"], member["client_host"].removeprefix("/"))
            try:
                assigned = ConsumerProtocolMemberAssignment.decode(member["member_assignment"]).partitions()
            except Exception:  # a client that joined this group and is no worker; aiokafka raises many types
                continue
            owners.update(dict.fromkeys(assigned, owner))
    return owners


def _now_ms() -> int:
    return int(time.time() * 1000)
