"""What ownership counts: assignments, and aborted batches by reason."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import RequestTimedOutError

from streams.engine.ownership import Ownership
from streams.engine.progress import Progress
from streams.engine.store import StoreDamaged
from streams.engine.takeover import PartitionNames
from streams.errors import Fenced, OwnershipLost
from streams.settings import Settings


class Lost:
    """A partition whose batch raises an error, and which is never taken over again."""

    def __init__(self, error: BaseException) -> None:
        self.position = 5
        self.progress = Progress()
        self.store = SimpleNamespace(clear=lambda: None)
        self.released = asyncio.Event()
        self._error = error

    async def run(self) -> None:
        raise self._error

    async def release(self, *, clean: bool) -> None:
        assert not clean
        self.released.set()


class Inputs:
    async def seek(self, partition: int, offset: int) -> None:
        pass


def ownership(directory: Path) -> Any:
    names = PartitionNames("worker", "events", "changelog")
    return Ownership(Settings(data_dir=str(directory)), names, lambda *_: None, Inputs())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Fenced("another owner"), "fenced"),
        (OwnershipLost("no answer"), "unknown_outcome"),
        (StoreDamaged("a byte has changed"), "store_damaged"),
        (RequestTimedOutError(), "broker"),
    ],
)
def test_an_aborted_batch_is_counted_by_reason(error: BaseException, why: str, tmp_path: Path) -> None:
    """Rule: the partition is released at once, and each kind of loss has its own reason."""

    async def whole() -> None:
        mine, lost = ownership(tmp_path), Lost(error)
        mine.owned[3] = lost
        await mine._start(3)
        await lost.released.wait()
        assert (dict(mine.given_up), mine.owned) == ({why: 1}, {})

    asyncio.run(whole())


def test_every_assignment_is_counted(tmp_path: Path) -> None:
    """Rule: even an assignment without partitions counts."""

    async def whole() -> None:
        mine = ownership(tmp_path)
        for generation in (1, 2):
            await mine.assigned(set(), generation)
            await mine.revoked()
        assert mine.rebalances == 2

    asyncio.run(whole())


def test_worker_is_not_ready_while_the_group_leaves_partitions_unassigned(tmp_path: Path) -> None:
    """Rule: a leader with incomplete metadata assigns too little; a worker without partitions is not ready then."""

    async def whole() -> None:
        mine = ownership(tmp_path)
        mine.input.partitions = 4
        for total, ready in ((0, False), (3, False), (4, True), (None, True)):
            mine.note_total(total)
            await mine.assigned(set(), 1)
            assert mine.readiness()[0] is ready, total
            await mine.revoked()
        mine.note_total(3)
        await mine.assigned(set(), 2)
        assert mine.readiness() == (False, "the group has assigned 3 of 4 partitions")
        await mine.revoked()

    asyncio.run(whole())


def test_stop_abandons_a_batch_that_ignores_its_cancellation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a stop has limits of its own, and does not wait for the broker again when it did not answer."""
    monkeypatch.setattr("streams.engine.ownership.STOP_BATCH_S", 0.01)
    monkeypatch.setattr("streams.engine.ownership._CANCEL_S", 0.01)

    class Stubborn(Lost):
        async def run(self) -> None:
            while not self.released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.released.wait()

        def stop(self) -> None:
            """It waits for the broker."""

    async def whole() -> None:
        mine, stubborn = ownership(tmp_path), Stubborn(Fenced("unused"))
        mine.owned[3] = stubborn
        await mine._start(3)
        await asyncio.sleep(0)
        async with asyncio.timeout(1):
            await mine.stop()
        assert stubborn.released.is_set()

    asyncio.run(whole())
