"""How far behind a group is: what it has committed, what the topics hold, who owns what, and how long events wait."""

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

# Some 10 s: a single node needs half a second.
_COORDINATOR_TRIES, _COORDINATOR_WAIT_S = 50, 0.2
# Workers tell their position once a second, so that between two of these the lag seems to grow. The least of four looks
# is at most a quarter of a second old.
_LOOKS_A_SAMPLE = 4


@dataclass(frozen=True)
class Owner:
    """The member of a group that has a partition: who it is, what it calls itself, and where it calls from."""

    member: str
    client: str
    host: str


@dataclass(frozen=True)
class PartitionLag:
    """One partition as one look at the group sees it. What it means takes several (`streams.admin.lag_rules`).

    Attributes:
        committed: the next offset to apply as the group knows it (a second late); None if it never committed.
        first, end: what the topic holds is [first, end).
        members: how many processes the group has.
        oldest_ms: timestamp of the oldest record that is not applied; None if there is none, or nobody has looked.
        at_ms: when this was looked at, wall time.
        owner: who has it; None if nobody does.
        rebalancing: the group is about to say who owns what.
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
        """What the rules need of it."""
        alive = self.owner is not None or self.rebalancing
        return LagSample(self.at_ms, self.committed, self.first, self.end, alive)

    @property
    def next(self) -> int:
        """The offset from which on nothing is applied."""
        return self.sample.next

    @property
    def lag(self) -> int:
        """Offsets still to be applied, transaction markers included."""
        return self.sample.lag

    @property
    def seconds(self) -> float:
        """How long the oldest record that is not applied has waited; 0 if none does.

        >>> PartitionLag("g", "t", 0, 5, 0, 9, 1, 1_000, 3_500).seconds
        2.5
        """
        return 0.0 if self.oldest_ms is None else max(0, self.at_ms - self.oldest_ms) / 1000


Judged = tuple[PartitionLag, Verdict]


async def measure(settings: Settings) -> list[PartitionLag]:
    """One look at the groups of workers and trainers, ages of what waits included.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
        ChurnSignalsError: a group has no coordinator.
    """
    async with looking(settings) as groups:
        return await groups.aged(await groups.look())


async def watch(settings: Settings, window_s: float, stop: asyncio.Event) -> AsyncGenerator[list[Judged], None]:
    """Look again and again, a ninth of the window apart, until told to stop; what each look means as one of a window.

    Verdicts are UNKNOWN until there are as many samples as the rules need. Raises as `measure`.

    Args:
        settings: where.
        window_s: how far back the rules look; above 0.
        stop: set when nobody wants to know any more.
    """
    gap_s = window_s / (SAMPLES - 1) / _LOOKS_A_SAMPLE
    samples: dict[tuple[str, int], deque[LagSample]] = {}
    async with looking(settings) as groups:
        looks = [await groups.look()]
        while True:
            for rows in zip(*looks, strict=True):
                history = samples.setdefault((rows[0].group, rows[0].partition), deque(maxlen=SAMPLES))
                history.append(min((row.sample for row in reversed(rows)), key=lambda sample: sample.lag))
            newest = await groups.aged(looks[-1])
            yield [(row, verdict([*samples[row.group, row.partition], row.sample], SAMPLES + 1)) for row in newest]
            looks = []
            for _ in range(_LOOKS_A_SAMPLE):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), gap_s)
                if stop.is_set():
                    return
                looks.append(await groups.look())


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[ConsumerGroups]:
    """The groups of workers and trainers, with connections that last as long as the `with`. Raises as `measure`."""
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
    """Consumer groups, each with the partitions of its input."""

    def __init__(self, admin: Any, consumer: Any, watched: list[tuple[str, list[Any]]]) -> None:
        self._admin, self._consumer, self._watched = admin, consumer, watched

    async def look(self) -> list[PartitionLag]:
        """Every partition now, without the ages of what waits."""
        return [row for group, tps in self._watched for row in await self._look(group, tps)]

    async def aged(self, rows: Iterable[PartitionLag]) -> list[PartitionLag]:
        """The same with the timestamp of the oldest record that is not applied, as far as the topic still holds it."""
        from aiokafka import TopicPartition

        from streams.kafka.topic_reader import first_records

        found = list(rows)
        waiting = {TopicPartition(row.topic, row.partition): (row.next, row.end) for row in found}
        oldest, now_ms = await first_records(self._consumer, waiting), _now_ms()
        return [
            replace(row, oldest_ms=record.timestamp, at_ms=now_ms)
            if (record := oldest.get(TopicPartition(row.topic, row.partition)))
            else row
            for row in found
        ]

    async def _look(self, group: str, tps: list[Any]) -> list[PartitionLag]:
        from streams.kafka.topic_reader import spans_of

        # Positions before ends: what is applied in between must not look like a lag below zero, but may like one above.
        committed, described = await group_of(self._admin, group, tps)
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


async def group_of(admin: Any, group: str, tps: list[Any]) -> tuple[Any, dict[str, Any]]:
    """What a group has committed, and its description.

    A broker that never had a group makes the topic of their offsets first, and until then names no coordinator.
    """
    from aiokafka import errors

    passing = (
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
                raise errors.for_code(described["error_code"])(f"the group {group} cannot be described")
            return committed, described
        except passing:
            await asyncio.sleep(_COORDINATOR_WAIT_S)
    raise ChurnSignalsError(f"no broker coordinates the group {group}: is the cluster complete?")


def _owners(members: list[dict[str, Any]]) -> dict[Any, Owner]:
    """Who has which partition; nobody any while the group shares them out."""
    from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

    owners = {}
    for member in members:
        if member["member_assignment"]:
            owner = Owner(member["member_id"], member["client_id"], member["client_host"].removeprefix("/"))
            assigned = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
            owners.update(dict.fromkeys(assigned.partitions(), owner))
    return owners


def _now_ms() -> int:
    return int(time.time() * 1000)
