"""The input topic is the one that the group's offsets belong to, in starting and in running workers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streams.kafka.topic_identity import read_identity
from streams.topics import EVENTS, name_of
from tests.broker.recreated import recreate
from tests.crash.harness import Run, scenario
from tests.waiting import until

SENTENCE = "was deleted and created again, so the applied offsets are those of another topic"


async def gone(run: Run, name: str) -> int:
    process = run.workers[name]
    await until(f"the end of {name}", lambda: process.poll() is not None, context=lambda: run.log_of(name))
    return int(process.returncode)


def test_topic_that_was_created_again_is_recognised_by_its_id(new_run: Callable[..., Run]) -> None:
    """Setup: 400 events are applied, the topic is deleted and created again, and gets 1,200 others, so that every
    applied offset exists in it. A running worker stops within seconds, and so does the next one, which would skip 400
    events. With CHURN_ACCEPT_LOST_INPUT, a worker continues at the beginning of the new topic and skips nothing."""

    async def body(run: Run) -> None:
        await run.publish(400, per_second=4_000)
        run.start("running")
        await run.drained()
        before = await run.profiles()
        await recreate(run.settings, name_of(EVENTS, run.settings), 1)
        began = time.monotonic()
        await run.publish(1_200, per_second=20_000, seed=2)
        assert await gone(run, "running") == 1
        assert SENTENCE in run.log_of("running")
        assert time.monotonic() - began < 10

        run.start("next")
        assert await gone(run, "next") == 1
        assert SENTENCE in run.log_of("next")
        assert "churn-signals reset" in run.log_of("next")

        applied = sum(profile["count"] for profile in (await run.profiles()).values())
        run.start("accepting", CHURN_ACCEPT_LOST_INPUT="true")
        # What the running worker may have applied of the new topic is applied once more: it is another input.
        await run.progress(applied + 1_200, every_s=0.2)
        after = await run.profiles()
        assert all(after[key]["count"] >= profile["count"] for key, profile in before.items())
        assert run.stop("accepting") == 0

        run.start("last")
        await run.took_over("last")
        assert run.stop("last") == 0

    scenario(new_run(partitions=1), body)


def test_added_partitions_stop_a_worker_within_seconds(new_run: Callable[..., Run]) -> None:
    """Rule: customers move with the number of partitions, and their profiles do not."""

    async def body(run: Run) -> None:
        run.start("w0")
        await run.took_over("w0")
        admin = AIOKafkaAdminClient(**run.settings.connection())
        await admin.start()
        began = time.monotonic()
        await admin.create_partitions({name_of(EVENTS, run.settings): NewPartitions(total_count=3)})
        await admin.close()
        assert await gone(run, "w0") == 2
        assert "has 3 partitions, and had 2 at the start: customers have moved" in run.log_of("w0")
        assert time.monotonic() - began < 10

    scenario(new_run(partitions=2), body)


def test_identity_is_that_of_the_broker(new_run: Callable[..., Run]) -> None:
    """Rule: every topic has another id of 16 bytes; a topic that does not exist is not created."""

    async def body(run: Run) -> None:
        async with AIOKafkaConsumer(**run.settings.connection()) as consumer:
            first = await read_identity(consumer, run.settings.topic_events)
            second = await read_identity(consumer, run.settings.topic_labels)
            assert first is not None
            assert second is not None
            assert (first.partitions, second.partitions) == (4, 1)
            assert len(first.id) == len(second.id) == 16
            assert first.id != second.id
            for _ in range(2):
                assert await read_identity(consumer, f"{run.settings.topic_events}-missing") is None
                await asyncio.sleep(0.2)

    scenario(new_run(), body)
