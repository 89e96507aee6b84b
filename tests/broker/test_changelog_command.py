"""A record of the changelog that cannot be used: recovery names it, and `changelog show` and `drop` handle it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from models.definition.churn_definition import ChurnDefinition
from models.profile import codec as profiles
from models.profile.codec import PREFIX_BYTES
from models.profile.schema import ProcessingState, Profile
from streams.engine.contract import Output
from streams.engine.position import POSITION_KEY, Position
from streams.engine.store import PartitionStore
from streams.engine.transactions import FencedProducer
from streams.engine.worker import Worker
from streams.errors import OwnershipLost, RecordDamaged
from streams.kafka.model_reader import ModelReader
from streams.scoring.event_processor import processor_factory
from streams.scoring.processor_context import ProcessorContext
from streams.topics import CHANGELOG, DEAD_LETTERS, EVENTS, MODEL, name_of
from tests.broker.changelog import Log
from tests.broker.commands import call
from tests.broker.in_process import send, with_worker
from tests.broker.test_reset import member
from tests.crash.harness import Run, scenario
from tests.streams.scoring.test_event_processor import CHURN
from tests.waiting import WAIT_S, until

GOOD = profiles.encode(Profile(processing=ProcessingState()), due_ms=50)


def test_a_damaged_record_is_shown_and_dropped(new_run: Callable[..., Run]) -> None:
    """Setup: a damaged profile and a good one, a local store from before the damage, and an empty one. Then another
    program overwrites the position."""
    run = new_run(partitions=1)
    call(run, "topics", "create")
    changelog, events, log = name_of(CHANGELOG, run.settings), name_of(EVENTS, run.settings), Log(run)

    def recovered(name: str) -> tuple[Position | None, list[bytes | None]]:
        store = PartitionStore(run.directory / name)
        try:
            return asyncio.run(log.recover(store)), store.get_many([b"calice", b"cbob"])
        finally:
            store.close()

    asyncio.run(log.write({b"calice": GOOD, b"cbob": GOOD}))
    assert recovered("older")[1] == [GOOD, GOOD]
    offset = asyncio.run(log.write({b"calice": b"short"})) - 2
    for name in ("older", "empty"):
        with pytest.raises(RecordDamaged, match=f"{changelog}/0@{offset}: the record c:.* cannot be used") as found:
            recovered(name)
    name = str(found.value.location["key"])
    assert f"churn-signals changelog show --partition 0 --key {name}" in str(found.value)
    assert "alice" not in str(found.value)

    shown = call(run, "changelog", "show", "--partition", "0", "--key", name)
    assert (shown.exit_code, "key: calice" in shown.output) == (0, True), shown.output
    assert f"record: {changelog}/0@{offset}" in shown.output
    assert "cannot be used: a profile of 5 bytes is truncated" in shown.output
    good = call(run, "changelog", "show", "--partition", "0", "--key", "cbob")
    assert '"due_ms": 50' in good.output, good.output
    assert '"next_offset": 2' in call(run, "changelog", "show", "--partition", "0", "--key", "position").output
    missing = call(run, "changelog", "show", "--partition", "0", "--key", "ccarol")
    assert (missing.exit_code, "has no record with the key 'ccarol'" in missing.output) == (1, True), missing.output

    drop = ("changelog", "drop", "--partition", "0", "--key")
    assert "add --yes" in call(run, *drop, name).output
    with member(run):
        refused = call(run, *drop, name, "--yes")
    assert (refused.exit_code, "has 1 member; nothing was changed" in refused.output) == (1, True), refused.output

    loop = asyncio.new_event_loop()  # of an owner that left the group but still has its producer
    zombie = loop.run_until_complete(
        FencedProducer.open(run.settings, f"{run.settings.kafka_group_id}/worker/{events}/0")
    )
    dropped = call(run, *drop, name, "--yes")
    assert (dropped.exit_code, f"dropped the record {changelog}/0@{offset} at offset" in dropped.output) == (0, True), (
        dropped.output
    )
    with pytest.raises(OwnershipLost):
        loop.run_until_complete(zombie.commit([Output(events, 0, b"k", b"{}")]))
    loop.run_until_complete(zombie.discard())
    loop.close()
    for store in ("older", "empty", "new"):
        position, records = recovered(store)
        assert position is not None
        assert (position.next_offset, position.state, records) == (2, b"state 2", [None, GOOD])
    assert "deleted" in call(run, "changelog", "show", "--partition", "0", "--key", name).output

    async def overwrite(key: bytes) -> None:
        async with AIOKafkaProducer(**run.settings.connection()) as producer:
            await producer.send_and_wait(changelog, b"\xc1", key=key, partition=0)

    asyncio.run(overwrite(POSITION_KEY))
    with pytest.raises(RecordDamaged, match=r"@.*: the record position cannot be used: .* cannot be decoded"):
        recovered("new")
    restored = call(run, *drop, "position", "--yes")
    assert restored.exit_code == 0, restored.output
    for store in ("older", "new"):
        position, records = recovered(store)
        assert position is not None
        assert (position.next_offset, position.state, records) == (2, b"state 2", [None, GOOD])
    assert "can be used" in call(run, *drop, "position", "--yes").output
    for key in (b"ccarol", POSITION_KEY):
        asyncio.run(overwrite(key))
    refused = call(run, *drop, "position", "--yes")
    assert (refused.exit_code, "clear this one with: churn-signals reset" in refused.output) == (1, True)


def test_a_worker_stops_at_a_damaged_record_and_rejects_no_event(new_run: Callable[..., Run]) -> None:
    """Setup: a worker applies an event of a customer, while another program publishes model snapshots. Later that
    program overwrites the customer's profile. More than ten events wait, of this customer and of others."""

    def page(n: int) -> tuple[bytes, bytes, int]:
        customer, at_ms = "alice" if n % 3 == 0 else f"c{n}", int(time.time() * 1000) - 60_000 + n
        call = {"type": "page", "userId": customer, "messageId": f"m{n}", "timestamp": at_ms / 1000}
        return customer.encode(), orjson.dumps(call), at_ms

    async def body(run: Run) -> None:
        context = ProcessorContext(run.settings, ChurnDefinition.parse(CHURN), 1)
        models = ModelReader(run.settings, context.on_snapshot)
        worker = Worker(run.settings, processor_factory(context), models)
        changelog, model = name_of(CHANGELOG, run.settings), name_of(MODEL, run.settings)

        async def foreign(topic: str, key: bytes, value: bytes) -> None:
            async with AIOKafkaProducer(**run.settings.connection()) as producer:
                await producer.send_and_wait(topic, value, key=key, partition=0)

        async def meanwhile() -> None:
            await send(run, page(0))
            name = run.settings.model_name.encode()
            for value in (b"nan", b'{"schema":1}'):
                await foreign(model, name, value)
            await until(
                "an applied event", lambda: 0 in worker.ownership.owned and worker.ownership.owned[0].position == 1
            )
            await until("two skipped snapshots", lambda: models.skipped == 2)

        await with_worker(worker, meanwhile)
        await foreign(changelog, b"calice", GOOD[:PREFIX_BYTES] + b"\xc1")
        await send(run, *map(page, range(1, 40)))
        again = Worker(run.settings, processor_factory(context))
        with pytest.raises(RecordDamaged, match=f"{changelog}/0@.*: the record c:.* --partition 0 --key c:"):
            await with_worker(again, lambda: asyncio.sleep(WAIT_S))
        assert await run.read(name_of(DEAD_LETTERS, run.settings)) == []

    scenario(new_run(partitions=1), body)
