"""What the rest of the program sees of an event, and the one way from a record to it: `decode`.

A record is refused or understood by its bytes, its headers and its two times alone; the same input gives the same
answer in any process. Nothing that bytes can be raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_intdigest

from models.events.coercion import MAX_TIME_MS, MIN_TIME_MS, moment_ms
from models.events.envelope import EPOCH, Call, open_envelope
from models.events.rejection import MAX_PROPERTIES, REASONS, Rejected, reject

MAX_ID_BYTES: Final = 256
"""Longest id of a customer or account in UTF-8: a key of topics and of the store; e-mail addresses end at 254."""

MAX_NAME_CHARS: Final = 128
"""An event's name is cut after this many characters: the names that mean something are far shorter, and a longer one
is still an activity of its customer."""

MAX_AHEAD_MS: Final = 5 * 60_000
"""How far past its record a time may lie: clocks that are set by NTP are within seconds, those of phones in minutes."""


class Event(msgspec.Struct, gc=False):
    """One thing a customer did (or had done to them), at the time that counts."""

    customer: str
    """Canonical customer id, 1 to 256 bytes in UTF-8, exactly as sent."""
    name: str
    """The family table's key: a track call's `event`, else the type's own name ("page", "identify" ...)."""
    time_ms: int
    """Applied event time, after clock correction and future clamp."""
    id_hash: int
    """64-bit hash of messageId or source and id; 0 means no id, and such an event is never a duplicate."""
    properties: dict[str, Any]
    """Properties of track, page and screen; traits of identify and group; `previousId` alone of alias."""
    automated: bool
    """Not by the customer's hand: `context.active` is false or `properties.automated` is true."""
    clamped: bool
    """The time was too far in the future and was set to the record's."""
    group: str | None = None
    """`groupId` of a group call: the account."""
    anonymous: bool = False
    """The customer id is an `anonymousId`: a visitor who is not known yet."""


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    timestamp_ms: int | None,
    received_ms: int | None = None,
) -> Event | Rejected:
    """Understand one record, or say why not.

    `timestamp_ms` is the record's own timestamp and caps the event's time, itself capped at `received_ms`, the time
    of receipt; a timestamp that Kafka gives as -1 is not one. None stands for a file: the event's own time is the
    record's, and nothing is clamped.

    >>> call = b'{"type":"page","userId":7,"messageId":"m1","timestamp":"2025-03-10T09:30:00Z"}'
    >>> event = decode(call, [], None)
    >>> event.customer, event.name, event.time_ms, f"{event.id_hash:016x}"
    ('7', 'page', 1741599000000, 'f4edaab5e5c1529d')
    >>> decode(b'{"type":"page"}', [], None).reason
    'missing_customer'
    """
    call = open_envelope(value, headers)
    if type(call) is Rejected:
        return call

    # 1. What happened
    kind = call.type
    name = kind or ""
    properties = call.properties
    automated = properties is not None and properties.get("automated") is True
    group = None
    if kind == "track":
        name = call.event or ""
        if not name:
            return reject("missing_event_name")
        if len(name) > MAX_NAME_CHARS:
            name = name[:MAX_NAME_CHARS]
    elif kind == "identify":
        properties = call.traits
    elif kind == "group":
        properties, group = call.traits, _id(call.groupId)
        if group is None:
            return reject("bad_id", "groupId is missing, empty or too long.")
    elif kind == "alias":
        properties = None
        if call.previousId is not None:
            previous = _id(call.previousId)
            if previous is None:
                return reject("bad_id", "previousId is empty or too long.")
            properties = {"previousId": previous}
    elif kind != "page" and kind != "screen":
        return reject("unknown_type", f"type is {kind[:40]!r}." if kind else "type is missing.")
    if properties is None:
        properties = {}
    elif len(properties) > MAX_PROPERTIES:
        return reject("too_many_properties", f"There are {len(properties):,}.")
    if call.context is not None and call.context.active is False:
        automated = True

    # 2. To whom
    stated = call.userId
    if stated is None:
        stated = call.anonymousId
        if stated is None:
            return reject("missing_customer")
    customer = _id(stated)
    if customer is None:
        return reject("bad_customer", "The customer id is empty or too long.")

    # 3. When
    time_ms = _own_time(call)
    if type(time_ms) is Rejected:
        return time_ms
    clamped = False
    if timestamp_ms is not None:
        time_ms, clamped = _capped(time_ms, timestamp_ms, received_ms)
    if time_ms is None:
        return reject("no_time")
    if not MIN_TIME_MS <= time_ms < MAX_TIME_MS:
        return reject("bad_time", f"The time of the event is {time_ms} in epoch milliseconds.")

    # 4. Which one
    id_hash = _id_hash(call)
    if id_hash is None:
        return reject("bad_id", "messageId is too long.")
    return Event(customer, name, time_ms, id_hash, properties, automated, clamped, group, call.userId is None)


def _id(value: str | int | None) -> str | None:
    """Read an id of 1 to 256 bytes in UTF-8 exactly as sent, a number as a decimal string."""
    if type(value) is str:
        if 0 < len(value) <= MAX_ID_BYTES // 4 or 0 < len(value.encode()) <= MAX_ID_BYTES:
            return value
        return None
    if type(value) is int and value.bit_length() <= 3 * MAX_ID_BYTES:  # ten bits are three digits and a bit
        return str(value)
    return None


def _id_hash(call: Call) -> int | None:
    """Hash what identifies the event. A CloudEvent's pair has a seed of its own: no messageId can take its place."""
    message = call.messageId
    if message is not None and message != "":
        if type(message) is int and message.bit_length() > 3 * MAX_ID_BYTES:
            return None
        return xxh3_64_intdigest(str(message).encode()) or 1
    if call.specversion is None:
        return 0
    return xxh3_64_intdigest(f"{len(call.source)} {call.source} {call.id}".encode(), seed=1) or 1


def _capped(own_ms: int | None, timestamp_ms: int, received_ms: int | None) -> tuple[int | None, bool]:
    """Hold a time against its record's, and that against the receipt: (time to apply, whether it was clamped)."""
    cap_ms = timestamp_ms
    if received_ms is not None and not MIN_TIME_MS <= timestamp_ms < received_ms:
        cap_ms = received_ms  # a record from the future, or one without a timestamp (-1)
    if cap_ms < MIN_TIME_MS:
        return own_ms, False
    if own_ms is None:
        own_ms = timestamp_ms if timestamp_ms >= MIN_TIME_MS else cap_ms
    return (cap_ms, True) if own_ms > cap_ms + MAX_AHEAD_MS else (own_ms, False)


def _own_time(call: Call) -> int | Rejected | None:
    """The time that the event itself states: corrected by three timestamps, else the call's, else the CloudEvent's."""
    if call.receivedAt is not None and call.sentAt is not None and call.originalTimestamp is not None:
        received, sent, original = _moment(call.receivedAt), _moment(call.sentAt), _moment(call.originalTimestamp)
        if received is None or sent is None or original is None:
            return reject("bad_time", "receivedAt, sentAt or originalTimestamp is out of range.")
        return received - (sent - original)
    stated: Any = call.timestamp
    if stated is None:
        if call.specversion is None:
            return None
        stated = call.time
        if stated is None:
            return None
    moment = _moment(stated)
    return moment if moment is not None else reject("bad_time", "timestamp is out of range.")


def _moment(value: Any) -> int | None:
    if type(value) is datetime and value.tzinfo is UTC:
        since = value - EPOCH
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    return moment_ms(value)


__all__ = ["REASONS", "Event", "Rejected", "decode"]
