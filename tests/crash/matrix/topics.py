"""Misconfigured topics, before the first start and between two starts. Each error names the topic and the repair."""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.topics import ALERTS, CHANGELOG, EVENTS, SCORES, TOMBSTONE_RETENTION_MS, create_topics, name_of
from tests.broker.oracle import read
from tests.crash.matrix import log
from tests.crash.matrix.scene import Scene

# Partition whose input is deleted.
_BEREFT = 2
DOWNTIME_S = 3.0, 4.0


async def topics_wrong(scene: Scene) -> None:
    """Missing topics, wrong partition counts, wrong changelog cleanup; then input that retention deleted."""
    settings = scene.run.settings
    scores, alerts, changelog = (name_of(topic, settings) for topic in (SCORES, ALERTS, CHANGELOG))
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        # 1. Before the first start, when nothing is written yet
        await _delete(admin, scores)
        await scene.refused("w0", 2, f"topic {scores} does not exist; create it with: churn-signals topics create")
        await create_topics(settings)
        await _delete(admin, alerts)
        await admin.create_topics([NewTopic(alerts, 3, 1, topic_configs={"cleanup.policy": "delete"})])
        count = log.PARTITIONS
        await scene.refused("w0", 2, f"has 3 partitions and must have {count}: .*--topic {alerts} --partitions {count}")
        await admin.create_partitions({alerts: NewPartitions(total_count=count)})
        await scene.worker("w0")
        scene.feed.next_share()
        # 2. Between two starts
        for key, wrong, right in (
            ("cleanup.policy", "delete", "compact"),
            ("delete.retention.ms", "1000", str(TOMBSTONE_RETENTION_MS)),
        ):
            await scene.commit()
            scene.kill("w0")
            await _configure(admin, changelog, {key: wrong})
            await scene.refused("w0", 2, f"must have {right}: kafka-configs.sh .*--add-config {key}={right}")
            await _configure(admin, changelog, {key: right})
            await scene.worker("w0")
            scene.feed.next_share()
        # 3. Retention passes the position of a stopped group
        while not await scene.position(_BEREFT):  # a partition without a position starts at the first available offset
            await scene.commit()
        scene.kill("w0")
        scene.feed.next_share()
        await scene.a_while(*DOWNTIME_S)
        position = await scene.position(_BEREFT)
        scene.archive = await read(scene.run, name_of(EVENTS, settings))
        first = [r.offset for r in scene.archive if r.partition == _BEREFT][-5]
        scene.lost = {_BEREFT: (position, first)}
        if first <= position:
            scene.problems.append("nothing was there to be lost: the test proved nothing")
        tp = TopicPartition(name_of(EVENTS, settings), _BEREFT)
        await admin.delete_records({tp: RecordsToDelete(before_offset=first)})
        gone = rf"events {position} to {first - 1} were deleted by retention .*\({first - position:,} offsets\)"
        await scene.refused("w0", 1, f"{gone}.*CHURN_ACCEPT_LOST_INPUT=true")
        await scene.worker("w0", CHURN_ACCEPT_LOST_INPUT="true")
        await scene.logged("w0", gone)
        scene.feed.next_share()
    finally:
        await admin.close()


async def _delete(admin: AIOKafkaAdminClient, topic: str) -> None:
    await admin.delete_topics([topic])
    while topic in await admin.list_topics():
        pass


async def _configure(admin: AIOKafkaAdminClient, topic: str, changed: dict[str, str]) -> None:
    """Change one topic setting. `alter_configs` replaces all of them, so the others are repeated."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    [answer] = await admin.describe_configs([resource])
    own: dict[str, Any] = {
        entry["config_names"]: entry["config_value"]
        for entry in answer.to_object()["resources"][0]["config_entries"]
        if entry.get("config_source") == 1  # set for this topic
    }
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {**own, **changed})])
