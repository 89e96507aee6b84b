"""Dead letters: rejected events, byte for byte as they were published, with headers that give the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streams.engine.contract import Output, Record
from streams.kafka.control_signature import UNAUTHORIZED_CONTROL

# The headers of Kafka Streams' dead letters (KIP-1034), which tools recognise.
EXCEPTION = "__streams.errors.exception"
MESSAGE = "__streams.errors.message"
TOPIC = "__streams.errors.topic"
PARTITION = "__streams.errors.partition"
OFFSET = "__streams.errors.offset"
REASON = "churn.reason"
# Of an undelivered alert event: the route that gave up.
ROUTE = "churn.route"

# Reasons in addition to `models.events.rejection.REASONS`.
MISROUTED = "misrouted"
PROCESSING_ERROR = "processing_error"
ROUTING_REASONS = (MISROUTED, PROCESSING_ERROR, UNAUTHORIZED_CONTROL)

# Part of what makes a dead letter larger than its event (see `topics.DEAD_LETTER_HEADROOM_BYTES`).
_MESSAGE_CHARS = 2_000


def dead_letter(topic: str, record: Record, reason: str, message: str, exception: str) -> Output:
    """Return the record for the dead-letter topic, in the partition of the same number.

    Key, value, timestamp and headers are those of the record; our headers follow.
    """
    added = (
        (EXCEPTION, exception),
        (MESSAGE, message[:_MESSAGE_CHARS]),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(record.offset)),
        (REASON, reason),
    )
    headers = [*record.headers, *((name, text.encode("utf-8", "replace")) for name, text in added)]
    return Output(topic, record.partition, record.key, record.value, headers, record.timestamp)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as read: its position, its reason, and the event.

    Attributes:
        partition, offset: of the dead letter.
        timestamp_ms: of the event's record; the time of rejection is not kept.
        headers: of the event's record.
        reason: why it was rejected; "unknown" in a record that another program wrote.
        source: topic/partition@offset of the event.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    reason: str
    message: str
    exception: str
    source: str

    @classmethod
    def of(cls, record: Any) -> DeadLetter:
        """Decode a record of the dead-letter topic."""
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        own = {EXCEPTION, MESSAGE, TOPIC, PARTITION, OFFSET, REASON, ROUTE}
        source = f"{headers.get(TOPIC, '?')}/{headers.get(PARTITION, '?')}@{headers.get(OFFSET, '?')}"
        return cls(
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=tuple(header for header in record.headers if header[0] not in own),
            reason=headers.get(REASON, "unknown"),
            message=headers.get(MESSAGE, ""),
            exception=headers.get(EXCEPTION, ""),
            source=source,
        )
