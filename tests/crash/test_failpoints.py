"""kill -9 at every failpoint of a batch: the next worker continues exactly."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable

import pytest

from streams.failpoints import NAMES
from tests.crash.harness import Run, scenario
from tests.waiting import WAIT_S

# The trainer has a separate test.
PLACES = [name for name in NAMES if name not in ("mid-snapshot", "mid-recovery", "before-notify-commit")]
RATE = 2_500.0


def test_kill_at_any_step_of_a_batch_loses_and_duplicates_nothing(new_run: Callable[..., Run]) -> None:
    """Rule: the process can die between any two steps of a batch. Each restart dies at the next failpoint, when it
    reaches it for the fifth time, and the last restart finishes."""

    async def body(run: Run) -> None:
        publishing = asyncio.create_task(run.publish(600_000, per_second=RATE))
        for place in PLACES:
            hits = 1 if place == "before-group-commit" else 5
            worker = run.start(place, CHURN_FAILPOINT=f"{place}:{hits}", CHURN_KAFKA_GROUP_INSTANCE_ID="w")
            assert await asyncio.to_thread(worker.wait, WAIT_S) == -9, run.log_of(place)
        run.start("last", CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        run.enough()
        await publishing
        await run.verdict()

    scenario(new_run(), body)


@pytest.mark.parametrize("local_store", ["kept", "deleted"])
def test_kill_during_recovery_is_recovered(new_run: Callable[..., Run], local_store: str) -> None:
    """Rule: a partly recovered store is not trusted, and counts are the same with or without a local store."""

    async def body(run: Run) -> None:
        await run.publish(5_000, per_second=50_000)
        run.start("first", CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        await run.drained()
        run.kill("first")
        if local_store == "deleted":
            shutil.rmtree(run.settings.store_dir)
        worker = run.start("second", CHURN_FAILPOINT="mid-recovery:2", CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        assert await asyncio.to_thread(worker.wait, WAIT_S) == -9, run.log_of("second")
        await run.publish(2_000, per_second=50_000, seed=2)
        run.start("third", CHURN_KAFKA_GROUP_INSTANCE_ID="w")
        await run.verdict()

    scenario(new_run(), body)
