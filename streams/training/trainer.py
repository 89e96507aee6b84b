"""The trainer: one process of the group learns the labels in order and publishes snapshots.

Tested by tests/broker/test_trainer_loop.py and tests/crash/test_trainer.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from streams.engine.contract import Output
from streams.engine.input_topic import InputTopic, is_same
from streams.engine.transactions import FencedProducer
from streams.errors import InputLost, OwnershipLost, SnapshotRefused
from streams.failpoints import FAILPOINT, failpoint
from streams.health import Check
from streams.kafka import aiokafka_internals as private
from streams.kafka.group_consumer import group_consumer
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, LABELS_TOPIC_HEADER, ModelReader, PublishedSnapshot
from streams.kafka.topic_identity import TopicIdentity, read_identity
from streams.kafka.unusable_records import UnusableRecords
from streams.logs import get_logger
from streams.runtime.process_end import unless_stopped
from streams.settings import Settings
from streams.topics import LABELS, MODEL, name_of, verify_topics

log = get_logger(__name__)

# A label takes 24 us, so a batch blocks the event loop, and with it the next poll, for 50 ms.
_BATCH_LABELS = 2_000
_POLL_MS = 200
# Prevents a busy loop while no broker is reachable.
_RETRY_S = 1.0
# Snapshots are deleted after 90 days. Publishing the newest one again prevents that it is deleted.
_REPUBLISH_AFTER_S = 24 * 3600.0
# Prevents a broker that does not answer from delaying the end of the process. What is not published is learned again.
_LAST_PUBLISH_S = 4.0
# Group offsets serve lag monitoring only.
_COMMIT_TIMEOUT_S = 1.0
# Prevents a broker that does not answer from blocking a takeover: it is tried again.
_IDENTITY_TIMEOUT_S = 15.0
# The interval of the workers: anyone who watches the lag for ten seconds sees it change.
_GROUP_COMMIT_EVERY_S = 1.0


SkipLabel = Callable[[int, str], None]
"""Called with the place of a value in the list, and the reason why it is no label."""


def ignore(place: int, reason: str) -> None:
    """Report nothing."""


class Learner(Protocol):
    """What is learned, and how. Knows nothing of Kafka."""

    def restore(self, snapshot: bytes | None) -> None:
        """Start from a published snapshot, or untrained. Discards what was learned before.

        Raises:
            SnapshotRefused: it cannot be used; an earlier one is tried.
        """

    def learn(self, labels: list[bytes], skip: SkipLabel = ignore) -> Sequence[Output] | None:
        """Learn in order; the result does not depend on how the labels are split into lists.

        Args:
            skip: called for each value that is no label.

        Returns:
            Records (metrics) to publish together with the next snapshot.
        """
        ...

    def snapshot(self) -> bytes:
        """Return everything that `restore` needs."""
        ...


class TrainerLoop:
    """Leads while the group assigns it the only partition of the labels; stands by otherwise.

    A takeover, in the order that makes it safe:

    1. Fence the former leader.
    2. Read the newest snapshot that can be used and restore the learner from it. Without one, start untrained, from
       the first label that the topic still has.
    3. Seek the labels to the offset that the snapshot carries.

    A snapshot and its offset are one record, so a restart continues exactly there. What was learned and not published
    is learned again.

    Args:
        settings: of the process.
        learner: learns the labels.

    Attributes:
        learned_offset: the next label to learn.
        learned_ms: timestamp of the last label that this process learned.
        leading: it has taken over.
        joined: the group has assigned the leader.
        snapshots_skipped: snapshots that it could not start from.
        unusable: records of the labels topic that are no labels.
    """

    def __init__(self, settings: Settings, learner: Learner) -> None:
        self.settings = settings
        self.learner = learner
        self.learned_offset = 0
        self.learned_ms: int | None = None
        self.leading = False
        self.joined = False
        self.snapshots_skipped = 0
        self.unusable = UnusableRecords()
        self._tp = TopicPartition(name_of(LABELS, settings), 0)
        self._model_topic = name_of(MODEL, settings)
        self._topic_id = b""
        self._assigned = False
        self._assignment = 0  # number of revocations: a seek is valid for one assignment only
        self._pending: list[Output] = []
        self._published_offset = -1
        self._published_s = 0.0
        self._group_offset = -1
        self._group_commit_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; publishes a last snapshot before it returns.

        Raises:
            TopicMismatch: topics differ from their declarations; nothing was started.
            InputLost: the labels after the newest snapshot were deleted, or their topic was created again.
            StopRequested: `stop` was set while it waited for a broker.
        """
        await unless_stopped(stop, verify_topics(self.settings))
        consumer = group_consumer(self.settings, "trainer", self.settings.trainer_group)
        try:
            await unless_stopped(stop, consumer.start())
            consumer.subscribe([self._tp.topic], listener=_LeadershipListener(self))
            while not stop.is_set():
                if not self._assigned:
                    await self._stand_by(consumer)
                    continue
                try:
                    await self._lead(consumer, stop)
                except (OwnershipLost, KafkaError, TimeoutError) as failure:
                    log.warning(
                        "the trainer stops leading: %s",
                        failure,
                        topic=self._tp.topic,
                        partition=0,
                        offset=self.learned_offset,
                    )
                    await unless_stopped(stop, asyncio.sleep(_RETRY_S))
                    await self._stand_by(consumer)
                    if self._assigned and not await unless_stopped(stop, self._is_leader(consumer)):
                        self._assigned = False  # a zombie must not fence its successor: wait for the next assignment
        finally:
            await private.stop_consumer(consumer)

    @property
    def published_age_s(self) -> float | None:
        """Seconds since this trainer published, or took over a snapshot; None if none is published."""
        return time.monotonic() - self._published_s if self._published_offset >= 0 else None

    def checks(self) -> list[Check]:
        """Readiness: it leads or stands by."""
        if not self.joined:
            return [Check("labels", False, "the group has not assigned a leader yet")]
        if self._assigned and not self.leading:
            return [Check("labels", False, "taking over: fencing and reading the newest model")]
        leads = f"leads, at label {self.learned_offset}" if self.leading else "stands by: another trainer leads"
        return [Check("labels", True, leads)]

    async def _lead(self, consumer: AIOKafkaConsumer, stop: asyncio.Event) -> None:
        identity = f"{self.settings.kafka_group_id}/trainer/{self._tp.topic}/0"
        producer = await unless_stopped(stop, FencedProducer.open(self.settings, identity))
        clean, watching = False, None
        try:
            assignment = self._assignment
            labels = _labels_topic(consumer, self._tp.topic)
            self._topic_id = (await unless_stopped(stop, labels.confirm())).hex().encode()
            await unless_stopped(stop, self._restore(consumer, labels))
            self.leading = True
            watching = asyncio.ensure_future(labels.watch())
            while not stop.is_set():
                if watching.done():
                    watching.result()  # raises
                fetched = await consumer.getmany(self._tp, timeout_ms=_POLL_MS, max_records=_BATCH_LABELS)
                if assignment != self._assignment:
                    return  # in a new assignment, if any, nothing was sought yet
                labels = fetched.get(self._tp, [])
                self._learn(labels)
                # Transaction markers after the last label are not lag.
                self.learned_offset = max(self.learned_offset, private.position(consumer, self._tp) or 0)
                if self._publish_is_due(caught_up=not labels):
                    await self._publish(producer, consumer)
                await self._commit_group_offset(consumer)
            if self.learned_offset > self._published_offset:
                async with asyncio.timeout(_LAST_PUBLISH_S):
                    await self._publish(producer, consumer)
            clean = True
        finally:
            self.leading = False
            if watching is not None:
                watching.cancel()
            await (producer.close() if clean else producer.discard())

    def _learn(self, labels: Sequence[Any]) -> None:
        if not labels:
            return
        if labels[0].offset < self.learned_offset:
            raise OwnershipLost(f"label {labels[0].offset} was learned already, {self.learned_offset} is next")

        def skip(place: int, reason: str) -> None:
            self.unusable.skip(labels[place], reason)

        learned = self.learner.learn([record.value or b"" for record in labels], skip)
        newest = {(metric.topic, metric.partition, metric.key): metric for metric in (*self._pending, *(learned or ()))}
        self._pending = list(newest.values())
        self.learned_offset, self.learned_ms = labels[-1].offset + 1, labels[-1].timestamp

    async def _restore(self, consumer: AIOKafkaConsumer, labels: InputTopic) -> None:
        first = (await consumer.beginning_offsets([self._tp]))[self._tp]
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        of_another: PublishedSnapshot | None = None  # topic of labels

        def use(snapshot: PublishedSnapshot) -> None:
            nonlocal of_another
            self.learner.restore(snapshot.value)
            # Once a snapshot names another topic, one that names none may be as old.
            if not is_same(snapshot.labels_topic, self._topic_id) or (of_another and not snapshot.labels_topic):
                of_another = of_another or snapshot
                raise SnapshotRefused(f"it has learned the labels of another topic than {self._tp.topic}")
            if snapshot.labels_offset > end:
                raise SnapshotRefused(
                    f"it has learned the labels before {snapshot.labels_offset}, but {self._tp.topic}/0 ends at {end}"
                )

        reader = ModelReader(self.settings, use)
        try:
            newest = await reader.read_to_end()
        finally:
            await reader.stop()
        self.snapshots_skipped += reader.skipped
        if newest is None and of_another is not None:
            raise labels.replaced(partition=0, offset=of_another.labels_offset)
        if newest is None:
            self.learner.restore(None)
        self._pending.clear()
        offset = newest.labels_offset if newest is not None else first
        if offset < first:
            raise InputLost(
                f"{self._tp.topic}/0: labels {offset} to {first - 1} were deleted before they were learned;"
                " delete the model topic to start from the labels that are left",
                topic=self._tp.topic,
                partition=0,
                offset=offset,
            )
        consumer.seek(self._tp, offset)
        self.learned_offset, self._group_offset = offset, -1
        # A snapshot that was skipped is replaced as soon as all labels are learned.
        self._published_offset = offset if newest is not None and not reader.skipped else -1
        self._published_s = time.monotonic()
        log.info("the trainer leads from label %d", offset, topic=self._tp.topic, partition=0, offset=offset)

    def _publish_is_due(self, *, caught_up: bool) -> bool:
        waited_s = time.monotonic() - self._published_s
        if self.learned_offset <= self._published_offset:
            return waited_s > _REPUBLISH_AFTER_S
        return waited_s * 1000 >= self.settings.snapshot_interval_ms or (caught_up and self._published_offset < 0)

    async def _publish(self, producer: FencedProducer, consumer: AIOKafkaConsumer) -> None:
        name, snapshot = self.settings.model_name, self.learner.snapshot()
        headers = [(LABELS_OFFSET_HEADER, str(self.learned_offset).encode())]
        if self._topic_id:
            headers.append((LABELS_TOPIC_HEADER, self._topic_id))
        if FAILPOINT:
            failpoint("mid-snapshot")
        keys = (f"{name}/{self.learned_offset}", name)
        snapshots = [Output(self._model_topic, 0, key.encode(), snapshot, headers) for key in keys]
        await producer.commit([*self._pending, *snapshots])
        self._pending.clear()
        self._published_offset, self._published_s = self.learned_offset, time.monotonic()
        await self._commit_group_offset(consumer, at_once=True)

    async def _commit_group_offset(self, consumer: AIOKafkaConsumer, *, at_once: bool = False) -> None:
        """Commit the group offset, for lag monitoring only: a restart continues from the newest snapshot."""
        if self._group_offset == self.learned_offset:
            return
        if not at_once and time.monotonic() - self._group_commit_s < _GROUP_COMMIT_EVERY_S:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_COMMIT_TIMEOUT_S):
                if await self._is_leader(consumer):
                    self._group_offset, self._group_commit_s = self.learned_offset, time.monotonic()

    async def _is_leader(self, consumer: AIOKafkaConsumer) -> bool:
        try:
            await consumer.commit({self._tp: OffsetAndMetadata(self.learned_offset, "")})
        except (KafkaError, ValueError):
            return False
        return True

    async def _stand_by(self, consumer: AIOKafkaConsumer) -> None:
        """Poll, which keeps a standby in the group, without reading anything."""
        if self._assigned:
            consumer.pause(self._tp)
        with contextlib.suppress(KafkaError):
            await consumer.getmany(timeout_ms=_POLL_MS)
        if self._assigned:
            consumer.resume(self._tp)


class _LabelsInputs:
    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic

    async def identity(self) -> TopicIdentity | None:
        async with asyncio.timeout(_IDENTITY_TIMEOUT_S):
            return await read_identity(self._consumer, self._topic)


def _labels_topic(consumer: AIOKafkaConsumer, topic: str) -> InputTopic:
    return InputTopic(
        topic, _LabelsInputs(consumer, topic), "delete the model topic to start from the labels of the new one"
    )


class _LeadershipListener(ConsumerRebalanceListener):
    def __init__(self, loop: TrainerLoop) -> None:
        self._loop = loop

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._loop._assigned = self._loop.joined = False
        self._loop._assignment += 1

    def on_partitions_assigned(self, assigned: Any) -> None:
        self._loop._assigned = self._loop._tp in assigned
        self._loop.joined = True
