"""A record of the changelog that cannot be used: recovery names it, and `changelog show` and `drop` handle it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer

from models.profile import codec as profiles
from models.profile.schema import ProcessingState, Profile
from streams.engine.contract import Output
from streams.engine.position import POSITION_KEY, Position
from streams.engine.store import PartitionStore
from streams.engine.transactions import FencedProducer
from streams.errors import OwnershipLost, RecordDamaged
from streams.topics import CHANGELOG, EVENTS, name_of
from tests.broker.changelog import Log
from tests.broker.commands import call
from tests.broker.test_reset import member
from tests.crash.harness import Run

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
    assert (dropped.exit_code, f"{changelog}/0@{offset}: deleted" in dropped.output) == (0, True), dropped.output
    with pytest.raises(OwnershipLost):
        loop.run_until_complete(zombie.commit([Output(events, 0, b"k", b"{}")]))
    loop.run_until_complete(zombie.discard())
    loop.close()
    for store in ("older", "empty", "new"):
        position, records = recovered(store)
        assert position is not None
        assert (position.next_offset, position.state, records) == (2, b"state 2", [None, GOOD])
    assert "deleted" in call(run, "changelog", "show", "--partition", "0", "--key", name).output

    async def overwrite() -> None:
        async with AIOKafkaProducer(**run.settings.connection()) as producer:
            await producer.send_and_wait(changelog, b"\xc1", key=POSITION_KEY, partition=0)

    asyncio.run(overwrite())
    with pytest.raises(RecordDamaged, match=r"@.*: the record position cannot be used: .* cannot be decoded"):
        recovered("new")
    refused = call(run, *drop, "position", "--yes")
    assert (refused.exit_code, "churn-signals reset" in refused.output) == (1, True), refused.output
