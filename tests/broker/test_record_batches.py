"""Batches that another process has encoded, sent in a transaction to topics of any compression."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.engine.contract import Output
from streams.engine.record_batch import EncodedBatch, KeyValue, encode_batches
from streams.engine.transactions import DeferredBatches, FencedProducer
from streams.errors import DeferredOutputsLost
from tests.crash.harness import Run, scenario

RECORDS: list[KeyValue] = [(b"%d" % n, json.dumps({"n": n, "pad": "abc" * 1_700}).encode()) for n in range(600)]


async def _encoded(batches: list[EncodedBatch]) -> list[EncodedBatch]:
    await asyncio.sleep(0.01)
    return batches


async def _lost() -> list[EncodedBatch]:
    await asyncio.sleep(0.01)
    raise DeferredOutputsLost("gone")


def test_topic_that_recompresses_accepts_them_and_they_are_read_unchanged(new_run: Callable[..., Run]) -> None:
    """Rule: a broker checks the size of a batch again after recompression; keys, values, tombstones and order stay."""
    records = [*RECORDS, (b"gone", None)]

    async def body(run: Run) -> None:
        admin = AIOKafkaAdminClient(**run.settings.connection())
        await admin.start()
        producer = await FencedProducer.open(run.settings, f"{run.settings.kafka_group_id}/batches")
        for compression in ("uncompressed", "gzip", "producer"):
            topic = f"{run.settings.kafka_group_id}-{compression}"
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"compression.type": compression})])
            batches = [EncodedBatch(topic, 0, count, data) for count, data in encode_batches(records, "zstd")]
            assert len(batches) > 2
            await producer.commit([], late=DeferredBatches(topic, 0, _encoded(batches)))
            assert await run.read(topic) == [(0, key, value) for key, value in records]
        await producer.close()
        await admin.close()

    scenario(new_run(), body)


def test_a_transaction_whose_last_part_is_lost_leaves_nothing_and_the_next_one_goes_through(
    new_run: Callable[..., Run],
) -> None:
    """Rule: what is encoded elsewhere is waited for inside the transaction; without it nothing of it is to be seen."""

    async def body(run: Run) -> None:
        producer = await FencedProducer.open(run.settings, f"{run.settings.kafka_group_id}/late")
        alerts, scores = (run.settings.topic_alerts, run.settings.topic_scores)
        [(count, data)] = encode_batches([(b"k", b"score")], None)
        for value, late in ((b"first", _lost()), (b"second", _encoded([EncodedBatch(scores, 0, count, data)]))):
            try:
                offset = await producer.commit(
                    [Output(alerts, 0, b"k", value)], (alerts, 1), {b"k": value}, DeferredBatches(scores, 0, late)
                )
            except DeferredOutputsLost:
                assert value == b"first"
        assert sorted(await run.read(alerts)) == [(0, b"k", b"second"), (1, b"k", b"second")]
        assert await run.read(scores) == [(0, b"k", b"score")]
        assert offset == 3  # after what was aborted and its marker
        await producer.close()

    scenario(new_run(), body)
