"""Decode a record into an `Event`, the only form of an event that the rest of the program sees.

The result depends only on the record's bytes, headers and two times, so every process decodes the same record alike.
`decode` never raises, whatever the bytes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from xxhash import xxh3_64_intdigest

from models.events.coercion import MAX_TIME_MS, MIN_TIME_MS, moment_ms
from models.events.envelope import EPOCH, Call, open_envelope
from models.events.event_names import LISTED, EventNames
from models.events.property_source import fill
from models.events.rejection import MAX_PROPERTIES, REASONS, Rejected, reject
from models.events.taxonomy import CONTROL_EVENTS, Meaning, meaning

MAX_ID_BYTES: Final = 256
"""Longest customer or account id in UTF-8. Ids are keys of topics and of the store. E-mail addresses have up to 254."""

MAX_NAME_CHARS: Final = 128
"""Longer event names are cut to this many characters. Names in the taxonomy are far shorter, and a longer name is still
a valid event of its customer."""

MAX_AHEAD_MS: Final = 5 * 60_000
"""How far an event's time may lie after its record's. NTP keeps clocks within seconds, phones within minutes."""


class Event(msgspec.Struct, gc=False):
    """One thing that a customer did, or that was done to them, at its applied time."""

    customer: str
    """Canonical customer id, 1 to 256 bytes in UTF-8, exactly as sent."""
    name: str
    """The canonical name: a track call's `event` in the spelling of the taxonomy or of churn.toml, as it was sent if
    it is in neither; or the call type of any other call ("page", "identify" ...)."""
    time_ms: int
    """Applied event time, after clock correction and future clamp."""
    id_hash: int
    """64-bit hash of messageId, or of source and id. 0 means no id; an event without one is never a duplicate."""
    properties: dict[str, Any]
    """Properties of track, page and screen; traits of identify and group; only `previousId` of alias."""
    automated: bool
    """True if the customer did not do it by hand: `context.active` is false or `properties.automated` is true."""
    clamped: bool
    """True if the time was too far in the future and was replaced by the record's."""
    group: str | None = None
    """`groupId` of a group call: the account."""
    anonymous: bool = False
    """True if the customer id is an `anonymousId`: the visitor is not identified yet."""
    meaning: Meaning | None = None
    """What `decode` found for the name; None for an event that was not decoded. Read it with `meaning_of`."""
    unreadable: list[str] | None = None
    """Properties that are present and cannot be used, see `models.events.unreadable`. None while there is none."""

    @property
    def is_control(self) -> bool:
        """Whether the event acts on the customer or an alert, so that it needs a signature."""
        return self.name in CONTROL_EVENTS


def meaning_of(event: Event) -> Meaning:
    """Return the row of the taxonomy for an event, which `[events]` of churn.toml may have changed.

    >>> meaning_of(Event("c-1", "Ticket Created", 0, 0, {}, False, False)).family
    'support'
    """
    return event.meaning or meaning(event.name)


def decode(
    value: bytes | None,
    headers: Sequence[tuple[str, bytes]],
    timestamp_ms: int | None,
    received_ms: int | None = None,
    names: EventNames = LISTED,
) -> Event | Rejected:
    """Decode one record, or return the reason for rejecting it.

    Args:
        value: The record's value.
        headers: The record's headers.
        timestamp_ms: The record's timestamp, which caps the event's time. Kafka uses -1 for "no timestamp". None means
            that the event comes from a file: its own time applies, and nothing is clamped.
        received_ms: The time of receipt, which caps the record's timestamp.
        names: The event names of a churn.toml. They change neither whether an event is valid, nor its customer, its
            time, or whether it is a control event.

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
        rule = names.cached.get(name) or names.resolve(name)
        name = rule.name
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
        return reject("too_many_properties", f"The call has {len(properties):,}.")
    if kind != "track":
        rule = names.cached[name]
    elif rule.sources:
        fill(properties, rule.sources)
    if call.context is not None and call.context.active is False:
        automated = True

    # 2. Which customer
    sent_id = call.userId
    if sent_id is None:
        sent_id = call.anonymousId
        if sent_id is None:
            return reject("missing_customer")
    customer = _id(sent_id)
    if customer is None:
        return reject("bad_customer", "The customer id is empty or too long.")

    # 3. When
    time_ms = _stated_time(call)
    if type(time_ms) is Rejected:
        return time_ms
    clamped = False
    if timestamp_ms is not None:
        time_ms, clamped = _clamp(time_ms, timestamp_ms, received_ms)
    if time_ms is None:
        return reject("no_time")
    if not MIN_TIME_MS <= time_ms < MAX_TIME_MS:
        return reject("bad_time", f"The event's time is {time_ms} in epoch milliseconds.")

    # 4. Which id
    id_hash = _id_hash(call)
    if id_hash is None:
        return reject("bad_id", "messageId is too long.")
    return Event(
        customer, name, time_ms, id_hash, properties, automated, clamped, group, call.userId is None, rule.meaning
    )


def _id(value: str | int | None) -> str | None:
    """Read an id of 1 to 256 bytes in UTF-8 exactly as sent; a number becomes its decimal string."""
    if type(value) is str:
        if 0 < len(value) <= MAX_ID_BYTES // 4 or 0 < len(value.encode()) <= MAX_ID_BYTES:
            return value
        return None
    if type(value) is int and value.bit_length() <= 3 * MAX_ID_BYTES:  # 3 bits are less than one decimal digit
        return str(value)
    return None


def _id_hash(call: Call) -> int | None:
    """Hash the event's id. A CloudEvent's source and id have their own seed, so no messageId collides with them."""
    message_id = call.messageId
    if message_id is not None and message_id != "":
        if type(message_id) is int and message_id.bit_length() > 3 * MAX_ID_BYTES:
            return None
        return xxh3_64_intdigest(str(message_id).encode()) or 1
    if call.specversion is None:
        return 0
    return xxh3_64_intdigest(f"{len(call.source)} {call.source} {call.id}".encode(), seed=1) or 1


def _clamp(stated_ms: int | None, timestamp_ms: int, received_ms: int | None) -> tuple[int | None, bool]:
    """Cap an event's time at its record's timestamp, and that at the receipt: (time to apply, whether clamped)."""
    cap_ms = timestamp_ms
    if received_ms is not None and not MIN_TIME_MS <= timestamp_ms < received_ms:
        cap_ms = received_ms  # a record from the future, or one without a timestamp (-1)
    if cap_ms < MIN_TIME_MS:
        return stated_ms, False
    if stated_ms is None:
        stated_ms = timestamp_ms if timestamp_ms >= MIN_TIME_MS else cap_ms
    return (cap_ms, True) if stated_ms > cap_ms + MAX_AHEAD_MS else (stated_ms, False)


def _stated_time(call: Call) -> int | Rejected | None:
    """Return the time that the event states: corrected by three timestamps, or the call's, or the CloudEvent's."""
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
    return moment if moment is not None else reject("bad_time", "timestamp is not a time, or out of range.")


def _moment(value: Any) -> int | None:
    if type(value) is datetime and value.tzinfo is UTC:
        elapsed = value - EPOCH
        return (elapsed.days * 86_400 + elapsed.seconds) * 1000 + elapsed.microseconds // 1000
    return moment_ms(value)


__all__ = ["REASONS", "Event", "Rejected", "decode", "meaning_of"]
