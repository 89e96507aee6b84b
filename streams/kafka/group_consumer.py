"""Create a member of a consumer group that keeps its position itself."""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer

from streams.kafka.aiokafka_internals import read_passwords_at_login
from streams.settings import Settings

# Prevents a JoinGroup request from timing out: it is answered when the whole group has joined, so after the rebalance
# timeout at the latest. This is the time left for the answer.
JOIN_HEADROOM_MS: Final = 5_000


# Added partitions, and topics that were missing, are noticed within this time. aiokafka's default is 5 minutes. A
# request costs process and broker less than a millisecond.
_METADATA_MAX_AGE_MS: Final = 5_000


def group_consumer(settings: Settings, role: str, group: str, **options: Any) -> AIOKafkaConsumer:
    """Create a consumer that reads committed records, never commits by itself, and starts only where it is sought.

    Args:
        settings: of the process.
        role: part of the client id.
        group: its id.
        options: more arguments of `AIOKafkaConsumer`.
    """
    read_passwords_at_login()
    return AIOKafkaConsumer(
        **settings.connection(),
        client_id=settings.client_id(role),
        group_id=group,
        group_instance_id=settings.kafka_group_instance_id or None,
        enable_auto_commit=False,
        auto_offset_reset="none",  # a position that the broker no longer has is an error, never a jump
        metadata_max_age_ms=_METADATA_MAX_AGE_MS,
        isolation_level="read_committed",  # records are written in transactions
        max_partition_fetch_bytes=settings.kafka_max_partition_fetch_bytes,
        session_timeout_ms=settings.kafka_session_timeout_ms,
        heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
        rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
        max_poll_interval_ms=settings.kafka_max_poll_interval_ms,
        request_timeout_ms=settings.kafka_rebalance_timeout_ms + JOIN_HEADROOM_MS,
        **options,
    )
