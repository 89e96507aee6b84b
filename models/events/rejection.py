"""Why an event is refused, in a small fixed set of reasons, and the limits behind some of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, final

import msgspec

MAX_EVENT_BYTES: Final = 262_144
"""Eight times what Segment's own API takes (32 KiB); the most that one event holds up its partition is some 10 ms."""

MAX_DEPTH: Final = 64
"""Objects and lists within each other. An order with products in a CloudEvent has five; a decoder gives up where
Python's stack of 1,000 ends, that is at a depth that depends on its caller, and what is accepted must not."""

MAX_PROPERTIES: Final = 1024
"""Names in `properties` or `traits`, the limit of the most generous analytics API (Amplitude)."""

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "The record has no value. Events are never deleted by key: do not send tombstones to this topic.",
        "too_large": f"Keep an event within {MAX_EVENT_BYTES:,} bytes: send references, not documents.",
        "too_deep": f"Nest objects and lists at most {MAX_DEPTH} deep.",
        "not_json": "Send JSON in UTF-8 (a schema-registry frame in front is fine, Avro and Protobuf are not).",
        "not_an_object": "Send one JSON object a record; split a batch into records.",
        "bad_envelope": "A CloudEvents message needs specversion 1.0, source, id and a Segment object as its data.",
        "unknown_type": "Set type to one of track, identify, page, screen, group, alias.",
        "missing_event_name": "A track call needs event, a text that is not empty.",
        "missing_customer": "Set userId, or anonymousId for a visitor who is not known yet.",
        "bad_customer": "userId (else anonymousId) must be a text or a number of 1 to 256 bytes in UTF-8.",
        "bad_id": "messageId, groupId and previousId must be a text or a number; a group call needs its groupId.",
        "no_time": "Set timestamp: neither the event nor its record says when it happened.",
        "bad_time": "Write times in RFC 3339 (2025-03-10T09:30:00.000Z) or as an epoch number, between 1990 and 2100.",
        "bad_properties": "properties, traits and context must be JSON objects with finite numbers.",
        "too_many_properties": f"Send at most {MAX_PROPERTIES:,} names in properties or traits.",
    }
)
"""Why an event is refused (the dead letter's `churn.reason`) and what its sender should change."""


@final
class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An event that cannot be used: a reason out of REASONS, and a message that tells its sender what to change."""

    reason: str
    message: str


def reject(reason: str, detail: str = "") -> Rejected:
    """Refuse with a reason's own sentence after the particulars of this case."""
    return Rejected(reason, f"{detail} {REASONS[reason]}" if detail else REASONS[reason])
