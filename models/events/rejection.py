"""The fixed set of reasons for rejecting an event, and the limits behind some of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, final

import msgspec

MAX_EVENT_BYTES: Final = 262_144
"""Eight times the limit of Segment's own API (32 KiB). One event of this size delays its partition by some 10 ms."""

MAX_DEPTH: Final = 64
"""Nesting of objects and lists. An order with products in a CloudEvent has five levels. Without this limit a decoder
fails where Python's stack of 1,000 frames ends: at a depth that depends on the caller."""

MAX_EXTREME_NUMBERS: Final = 512
"""Numbers with an exponent of three digits, such as 1e-320. Each takes up to 20 us to decode, so these take 10 ms."""

MAX_PROPERTIES: Final = 1024
"""Keys in `properties` or `traits`: the limit of the most generous analytics API (Amplitude)."""

REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "The record has no value. Do not send tombstones to this topic: events are never deleted by key.",
        "too_large": f"Keep an event within {MAX_EVENT_BYTES:,} bytes: send references instead of documents.",
        "too_deep": f"Nest objects and lists at most {MAX_DEPTH} levels deep.",
        "too_many_extreme_numbers": f"Send at most {MAX_EXTREME_NUMBERS} numbers with an exponent of three digits.",
        "not_json": "Send JSON in UTF-8. A schema-registry frame before it is accepted; Avro and Protobuf are not.",
        "not_an_object": "Send one JSON object per record. Split a batch into records.",
        "bad_envelope": "A CloudEvent needs specversion 1.0, source, id and a Segment call as its data.",
        "unknown_type": "Set type to track, identify, page, screen, group or alias.",
        "missing_event_name": "Set event of a track call to a non-empty string.",
        "missing_customer": "Set userId, or anonymousId for a visitor who is not identified yet.",
        "bad_customer": "Send userId (or anonymousId) as a string or a number of 1 to 256 bytes in UTF-8.",
        "blocked_customer": "Send no event for a missing user: null, undefined, 0 and the like identify no customer.",
        "bad_id": "Send messageId, groupId and previousId as a string or a number. A group call needs groupId.",
        "no_time": "Set timestamp: neither the event nor its record has a time.",
        "bad_time": "Send times between 1990 and 2100, in RFC 3339 (2025-03-10T09:30:00.000Z) or as an epoch number.",
        "bad_properties": "Send properties, traits and context as JSON objects with finite numbers.",
        "too_many_properties": f"Send at most {MAX_PROPERTIES:,} keys in properties or traits.",
    }
)
"""Reason code (the dead letter's `churn.reason`) to what the sender must change."""


@final
class Rejected(msgspec.Struct, frozen=True, gc=False):
    """An event that cannot be used: a reason code of `REASONS`, and a message that names what to change."""

    reason: str
    message: str


def reject(reason: str, detail: str = "") -> Rejected:
    """Build a rejection. The message is the detail of this case, followed by the reason's sentence."""
    return Rejected(reason, f"{detail} {REASONS[reason]}" if detail else REASONS[reason])
