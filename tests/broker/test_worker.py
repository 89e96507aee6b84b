"""A worker in the test process: effects of the processor, deadlines, and reasons to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from streams.engine.contract import NEVER_DUE_MS, BatchEffects, Output, Processor, Record, StateStore
from streams.engine.transactions import FencedProducer
from streams.engine.worker import Worker
from streams.errors import InputLost
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, ModelReader, PublishedSnapshot
from streams.topics import ALERTS, EVENTS, MODEL, create_topics, name_of
from tests.broker.in_process import send, with_worker
from tests.crash.harness import Run, scenario
from tests.waiting import WAIT_S, until

NEVER = NEVER_DUE_MS.to_bytes(8, "big")


class Alarm(Processor):
    """Each event sets its customer's deadline, with its value as delay in ms. Each deadline causes an output."""

    def __init__(self, run: Run, partition: int, store: StateStore, state: bytes | None) -> None:
        self.run, self.partition, self.store = run, partition, store
        self.newest_event_ms: int | None = None
        self.most = 1_000_000

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        effects = BatchEffects(state=b"s", consumed=min(self.most, len(records)))
        for record in records[: self.most]:
            self.newest_event_ms = record.timestamp
            due_ms = record.timestamp + int(record.value or b"0")
            effects.changes[b"c" + (record.key or b"")] = due_ms.to_bytes(8, "big") + b"set"
            effects.outputs.append(Output(name_of(ALERTS, self.run.settings), self.partition, record.key, b"seen"))
        for due_ms, key in self.store.due(now_ms, 100) if now_ms is not None else []:
            effects.changes[key] = NEVER + b"rung"
            body = b"rung %d" % due_ms
            effects.outputs.append(Output(name_of(ALERTS, self.run.settings), self.partition, key[1:], body))
        return effects

    def next_due_ms(self) -> int | None:
        return self.store.next_due_ms()

    def committed(self) -> None:
        pass


async def outputs(run: Run) -> list[bytes]:
    return [value or b"" for _, _, value in await run.read(name_of(ALERTS, run.settings))]


def test_deadline_fires_without_another_event(new_run: Callable[..., Run]) -> None:
    """Rule: with live input, a deadline fires exactly once, without further events."""

    async def body(run: Run) -> None:
        now_ms = int(time.time() * 1000)
        await send(run, (b"a", b"4000", now_ms), (b"b", b"600000", now_ms))
        worker = Worker(run.settings, lambda number, store, state: Alarm(run, number, store, state))

        async def rings() -> bool:
            return len(await outputs(run)) >= 3

        async def meanwhile() -> None:
            await until("the deadline's output", rings)
            assert time.time() * 1000 >= now_ms + 4000
            await asyncio.sleep(1.5)

        await with_worker(worker, meanwhile)
        assert await outputs(run) == [b"seen", b"seen", b"rung %d" % (now_ms + 4000)]

    scenario(new_run(partitions=1), body)


def test_deadline_fires_after_a_restart_without_events(new_run: Callable[..., Run]) -> None:
    """Rule: the position records that the input is live, so the deadline fires even after a restart without a new
    event."""

    async def body(run: Run) -> None:
        sent_ms = 0

        def factory(number: int, store: StateStore, state: bytes | None) -> Alarm:
            return Alarm(run, number, store, state)

        async def outputs_are(count: int) -> None:
            async def enough() -> bool:
                return len(await outputs(run)) >= count

            await until(f"{count} outputs", enough)

        async def first() -> None:
            nonlocal sent_ms
            await until("a takeover", lambda: worker.ownership.ready)  # the deadline counts from here
            sent_ms = int(time.time() * 1000)
            await send(run, (b"a", b"6000", sent_ms))
            await outputs_are(1)

        worker = Worker(run.settings, factory)
        await with_worker(worker, first)
        assert await outputs(run) == [b"seen"]
        await with_worker(Worker(run.settings, factory), lambda: outputs_are(2))
        assert await outputs(run) == [b"seen", b"rung %d" % (sent_ms + 6000)]

    scenario(new_run(partitions=1), body)


def test_wall_clock_fires_no_deadline_during_a_replay(new_run: Callable[..., Run]) -> None:
    """Rule: old events make the input a replay, during which deadlines ignore the wall clock."""

    async def body(run: Run) -> None:
        last_year_ms = int(time.time() * 1000) - 365 * 86_400_000
        await send(run, (b"a", b"1000", last_year_ms))
        worker = Worker(run.settings, lambda number, store, state: Alarm(run, number, store, state))

        async def seen() -> bool:
            return len(await outputs(run)) >= 1

        async def meanwhile() -> None:
            await until("the outputs", seen)
            await asyncio.sleep(2)

        await with_worker(worker, meanwhile)
        assert await outputs(run) == [b"seen"]

    scenario(new_run(partitions=1), body)


def test_partly_consumed_batch_is_continued(new_run: Callable[..., Run]) -> None:
    """Rule: `consumed` limits a transaction, the position follows it, and nothing is skipped or repeated."""

    async def body(run: Run) -> None:
        await send(run, *[(b"k%d" % number, b"0", 1_000) for number in range(10)])

        def factory(number: int, store: StateStore, state: bytes | None) -> Alarm:
            alarm = Alarm(run, number, store, state)
            alarm.most = 3
            return alarm

        worker = Worker(run.settings, factory)

        async def seen() -> bool:
            return len(await outputs(run)) >= 10

        await with_worker(worker, lambda: until("the outputs", seen))
        assert len(await outputs(run)) == 10
        assert worker.ownership.progress_of(0).transactions == 4

    scenario(new_run(partitions=1), body)


def test_lag_returns_to_zero_after_transaction_markers(new_run: Callable[..., Run]) -> None:
    """Rule: an input that ends with a marker leaves no lag of 1, because the committed offset follows the position."""

    async def body(run: Run) -> None:
        producer = await FencedProducer.open(run.settings, "forwarder")
        for number in range(3):
            await producer.commit([Output(name_of(EVENTS, run.settings), 0, b"k%d" % number, b"0")])
        await producer.close()
        worker = Worker(run.settings, lambda number, store, state: Alarm(run, number, store, state))
        admin = AIOKafkaAdminClient(**run.settings.connection())
        await admin.start()

        async def no_lag() -> bool:
            committed = await admin.list_consumer_group_offsets(run.settings.kafka_group_id)
            found = committed.get(TopicPartition(name_of(EVENTS, run.settings), 0))
            return found is not None and found.offset == 6  # three records, three markers

        try:
            await with_worker(worker, lambda: until("a lag of zero", no_lag))
        finally:
            await admin.close()

    scenario(new_run(partitions=1), body)


def test_fenced_owner_that_is_still_assigned_takes_over_again(new_run: Callable[..., Run]) -> None:
    """Rule: after a transaction with unknown outcome, memory is not trusted: fence, recover, seek, continue."""

    async def body(run: Run) -> None:
        await send(run, (b"a", b"0", 1_000))
        worker = Worker(run.settings, lambda number, store, state: Alarm(run, number, store, state))

        async def meanwhile() -> None:
            async def first() -> bool:
                return await outputs(run) == [b"seen"]

            await until("the first output", first)
            identity = worker.ownership.names.transactional_id(run.settings, 0)
            await (await FencedProducer.open(run.settings, identity)).close()
            await send(run, (b"b", b"0", 1_000))

            async def second() -> bool:
                return await outputs(run) == [b"seen", b"seen"]

            await until("the second output", second)
            assert worker.ownership.ready

        await with_worker(worker, meanwhile)

    scenario(new_run(partitions=1), body)


def test_deleted_input_stops_the_worker_until_confirmed(new_run: Callable[..., Run]) -> None:
    """Rule: if retention deleted events after the position, the start fails with their range. With the confirmation,
    the worker continues after the gap."""

    async def body(run: Run) -> None:
        await send(run, (b"a", b"0", 1_000), (b"b", b"0", 1_000))

        def factory(number: int, store: StateStore, state: bytes | None) -> Alarm:
            return Alarm(run, number, store, state)

        async def saw(count: int) -> None:
            async def enough() -> bool:
                return len(await outputs(run)) >= count

            await until(f"{count} outputs", enough)

        await with_worker(Worker(run.settings, factory), lambda: saw(2))
        await send(run, (b"c", b"0", 1_000), (b"d", b"0", 1_000))
        admin = AIOKafkaAdminClient(**run.settings.connection())
        await admin.start()
        await admin.delete_records({TopicPartition(name_of(EVENTS, run.settings), 0): RecordsToDelete(before_offset=3)})
        await admin.close()
        with pytest.raises(InputLost, match=r"events 2 to 2 were deleted.*offset 3 set CHURN_ACCEPT_LOST_INPUT=true"):
            await with_worker(Worker(run.settings, factory), lambda: asyncio.sleep(WAIT_S))
        accepting = type(run.settings)(**{**vars(run.settings), "accept_lost_input": True})
        await with_worker(Worker(accepting, factory), lambda: saw(3))
        assert len(await outputs(run)) == 3

    scenario(new_run(partitions=1), body)


def test_recreated_input_stops_the_worker_until_confirmed(new_run: Callable[..., Run]) -> None:
    """Rule: a topic of the same name with another id is an error that needs a confirmation."""

    async def body(run: Run) -> None:
        await send(run, *[(b"a", b"0", 1_000)] * 5)

        def factory(number: int, store: StateStore, state: bytes | None) -> Alarm:
            return Alarm(run, number, store, state)

        async def five() -> bool:
            return len(await outputs(run)) == 5

        await with_worker(Worker(run.settings, factory), lambda: until("five outputs", five))
        admin = AIOKafkaAdminClient(**run.settings.connection())
        await admin.start()
        await admin.delete_topics([name_of(EVENTS, run.settings)])

        async def gone() -> bool:
            return name_of(EVENTS, run.settings) not in await admin.list_topics()

        await until("the deletion of the topic", gone)
        await admin.close()
        await create_topics(run.settings)
        await send(run, (b"b", b"0", 1_000))
        with pytest.raises(
            InputLost, match="was deleted and created again, so the applied offsets are those of another"
        ):
            await with_worker(Worker(run.settings, factory), lambda: asyncio.sleep(WAIT_S))

    scenario(new_run(partitions=1), body)


def test_newest_model_is_read_before_the_first_event_and_updated(new_run: Callable[..., Run]) -> None:
    """Rule: no event is applied before the model topic is read to its end, and newer snapshots replace the model."""

    async def body(run: Run) -> None:
        name, topic = run.settings.model_name.encode(), name_of(MODEL, run.settings)
        producer = await FencedProducer.open(run.settings, "trainer")

        async def publish(value: bytes) -> None:
            headers = [(LABELS_OFFSET_HEADER, b"1")]
            keys = ((name + b"/1", b"not this"), (name, value))
            await producer.commit([Output(topic, 0, key, data, headers) for key, data in keys])

        await publish(b"old")
        await publish(b"newer")
        found: list[PublishedSnapshot] = []
        seen_at_first: list[int] = []

        def factory(number: int, store: StateStore, state: bytes | None) -> Alarm:
            seen_at_first.append(len(found))
            return Alarm(run, number, store, state)

        async def meanwhile() -> None:
            async def owned() -> bool:
                return bool(seen_at_first)

            await until("a takeover", owned)
            await publish(b"newest")

            async def swapped() -> bool:
                return len(found) == 2

            await until("the newest model", swapped)

        await with_worker(Worker(run.settings, factory, ModelReader(run.settings, found.append)), meanwhile)
        assert [snapshot.value for snapshot in found] == [b"newer", b"newest"]
        assert seen_at_first == [1]
        await producer.close()

    scenario(new_run(partitions=1), body)
