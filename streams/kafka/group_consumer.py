"""A member of a consumer group that keeps its position itself, as the trainer and `notify` are."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer

from streams.settings import Settings

# A request to join is answered when the group is complete: the rebalance timeout, and some time to say so.
_JOIN_HEADROOM_MS = 5_000


def group_consumer(settings: Settings, role: str, group: str) -> AIOKafkaConsumer:
    """Reads committed, commits only when it is told to, and has no position but the one it is given."""
    return AIOKafkaConsumer(
        **settings.connection(),
        client_id=settings.client_id(role),
        group_id=group,
        group_instance_id=settings.kafka_group_instance_id or None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=settings.kafka_max_partition_fetch_bytes,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
        max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
        request_timeout_ms=settings.kafka_rebalance_timeout_ms + _JOIN_HEADROOM_MS,
    )
