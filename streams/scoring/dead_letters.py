"""Dead letters: events that were refused, byte for byte as they came, with headers that say why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streams.engine.contract import Output, Record

# KIP-1034 names the headers of Kafka Streams' dead letters; tools know them.
EXCEPTION = "__streams.errors.exception"
MESSAGE = "__streams.errors.message"
TOPIC = "__streams.errors.topic"
PARTITION = "__streams.errors.partition"
OFFSET = "__streams.errors.offset"
REASON = "churn.reason"
# Of an alert event that a webhook did not take: which route gave it up.
ROUTE = "churn.route"

# Reasons besides those of `models.events.rejection.REASONS`.
MISROUTED = "misrouted"
PROCESSING_ERROR = "processing_error"

# A dead letter may be this much larger than its event (see `topics.DEAD_LETTER_HEADROOM_BYTES`).
_MESSAGE_CHARS = 2_000


def dead_letter(topic: str, record: Record, reason: str, message: str, exception: str) -> Output:
    """The record for the dead-letter topic, in the partition of the same number.

    Key, bytes, timestamp and headers are those of the record; our headers come after them.
    """
    why = (
        (EXCEPTION, exception),
        (MESSAGE, message[:_MESSAGE_CHARS]),
        (TOPIC, record.topic),
        (PARTITION, str(record.partition)),
        (OFFSET, str(record.offset)),
        (REASON, reason),
    )
    headers = [*record.headers, *((name, text.encode("utf-8", "replace")) for name, text in why)]
    return Output(topic, record.partition, record.key, record.value, headers, record.timestamp)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as read: where it lies, why it is there, and what it was.

    Attributes:
        timestamp_ms: of the event's own record; when it was refused is not kept.
        headers: the event's own.
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
        """From a record of the dead-letter topic; one that somebody else wrote there has no reason."""
        said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        ours = {EXCEPTION, MESSAGE, TOPIC, PARTITION, OFFSET, REASON, ROUTE}
        return cls(
            record.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(header for header in record.headers if header[0] not in ours),
            said.get(REASON, "unknown"),
            said.get(MESSAGE, ""),
            said.get(EXCEPTION, ""),
            f"{said.get(TOPIC, '?')}/{said.get(PARTITION, '?')}@{said.get(OFFSET, '?')}",
        )
