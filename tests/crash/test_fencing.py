"""Repeated loss of ownership while batches are in flight: the owner recovers, and results are unaffected."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from streams.engine.transactions import FencedProducer
from streams.topics import EVENTS, name_of
from tests.crash.harness import Run, scenario


def test_owner_fenced_during_processing_recovers(new_run: Callable[..., Run]) -> None:
    """Rule: after a loss, the partition is recovered and its position restored; earlier fetches are not applied."""

    async def body(run: Run) -> None:
        rng = random.Random(3)
        # With small fetches, some are always in flight.
        publishing = asyncio.create_task(run.publish(600_000, per_second=2_000))
        run.start("w0")
        await run.progress(500)
        fenced = 0
        while run.log_of("w0").count("is fenced") < 10:
            assert fenced < 100, run.log_of("w0")
            identity = f"{run.settings.kafka_group_id}/worker/{name_of(EVENTS, run.settings)}/{rng.randrange(4)}"
            await (await FencedProducer.open(run.settings, identity)).close()
            fenced += 1
            await asyncio.sleep(rng.uniform(0.1, 0.5))
        assert not publishing.done(), "fenced after the work: the test proved nothing"
        run.enough()
        await publishing
        await run.verdict()
        assert run.stop("w0") == 0

    scenario(new_run(kafka_max_poll_records=200), body)
