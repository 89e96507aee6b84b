"""Batches that another process has encoded, sent in a transaction to topics of any compression."""

from __future__ import annotations

import json
from collections.abc import Callable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from harness import Run, scenario

from streams.record_batch import EncodedBatch, KeyValue, encode_batches
from streams.transactions import FencedProducer

RECORDS: list[KeyValue] = [(b"%d" % n, json.dumps({"n": n, "pad": "abc" * 1_700}).encode()) for n in range(600)]


def test_a_topic_that_packs_anew_takes_them_and_they_are_read_as_they_were(new_run: Callable[..., Run]) -> None:
    """Rule: a broker weighs a batch again after packing it anew; keys, values, tombstones and order stay."""
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
            await producer.commit([], batches=batches)
            assert await run.read(topic) == [(0, key, value) for key, value in records]
        await producer.close()
        await admin.close()

    scenario(new_run(), body)
