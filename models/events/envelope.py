"""Unwrap the bytes of a record into one Segment call: schema-registry frame, CloudEvents, limits of size and depth.

Two decoders read the same bytes. The fast decoder knows the types that nearly every publisher sends, and builds only
the members that are read. A value that it rejects goes to the careful decoder. That one decodes field by field, accepts
unusual types and names the field that is wrong.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Raw

from models.events.coercion import moment_ms
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_EXTREME_NUMBERS, Rejected, reject


class CallContext(msgspec.Struct, gc=False):
    """The members of `context` that the decoder reads."""

    active: Any = None
    groupId: Any = None
    traits: Any = None


Id = str | int | None
Moment = datetime | int | float | None


class Call(msgspec.Struct, gc=False):
    """One Segment call under its wire names. The decoder skips unknown members without building them."""

    type: str | None = None
    event: str | None = None
    userId: Id = None
    anonymousId: Id = None
    messageId: Id = None
    timestamp: Moment = None
    originalTimestamp: Moment = None
    sentAt: Moment = None
    receivedAt: Moment = None
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: CallContext | None = None
    groupId: Id = None
    previousId: Id = None
    name: Any = None
    # CloudEvents in structured mode: `specversion` marks them
    specversion: Any = None
    source: Any = None
    id: Any = None
    time: Any = None
    data: Raw = Raw()
    data_base64: Any = None


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CALL: Final = msgspec.json.Decoder(Call)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_ANY: Final = msgspec.json.Decoder()
_OBJECT: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(dict[str, Any])
_CONTEXT: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(CallContext)
_BRACKET_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # 1 and -1 as signed bytes
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_LIST: Final = ord("[")  # an int is searched by memchr, five times as fast as b"["
_EXTREME: Final = re.compile(rb"[0-9][eE][+-]?[0-9]{3}")
_EXPONENTS_MIN_BYTES: Final = 5 * MAX_EXTREME_NUMBERS  # 1e300 is the shortest such number
_NOTHING: Final = Raw()


def open_envelope(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Call | Rejected:
    """Extract the Segment call from a record. A call from a CloudEvent also has its `specversion`, `source` and `id`.

    1. Skip a Confluent schema-registry frame.
    2. Check size and depth before anything is built.
    3. Decode the value as a Segment object. A `specversion` member makes it a structured CloudEvent, whose data is
       the call. Without it, `ce_` headers make it a binary-mode CloudEvent.
    """
    if not value:
        return reject("empty")
    if not value[0]:
        value = value[5:]
    if len(value) > MAX_EVENT_BYTES:
        return reject("too_large", f"The event has {len(value):,} bytes.")
    if (_LIST in value or len(value) > 5 * MAX_DEPTH) and is_deep(value):  # {"":} is the shortest level
        return reject("too_deep")
    if len(value) > _EXPONENTS_MIN_BYTES and (extreme := extreme_numbers(value)) > MAX_EXTREME_NUMBERS:
        return reject("too_many_extreme_numbers", f"The event has {extreme:,}.")
    try:
        call = _CALL.decode(value)
    except Exception as error:
        retried = _retry_carefully(value, error)
        if type(retried) is Rejected:
            return retried
        call = retried
    if call.specversion is not None:
        return _structured(call)
    if headers:
        return _binary(call, headers)
    return call


def is_deep(value: bytes) -> bool:
    """Check without recursion whether a JSON text nests deeper than MAX_DEPTH; at most 2 ms for the largest event.

    The function removes escapes and strings, and turns each bracket into a step up or down. The highest running sum of
    steps is the depth. Up to the first syntax error this equals a parser's depth, so it holds for malformed texts too.

    >>> is_deep(b"[" * 64 + b"]" * 64), is_deep(b"[" * 65 + b"]" * 65), is_deep(b'"' + b"[" * 99 + b'"')
    (False, True, False)
    """
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return False
    steps = np.frombuffer(_unquoted(value).translate(_BRACKET_STEPS, _NOT_BRACKETS), dtype=np.int8)
    return steps.size > MAX_DEPTH and int(steps.cumsum(dtype=np.int32).max()) > MAX_DEPTH


def extreme_numbers(value: bytes) -> int:
    """Count numbers with an exponent of three digits or more in a JSON text; at most 2 ms for the largest event.

    A double at the end of its range takes 20 us to decode, 200 times as long as any other number of its length.

    >>> extreme_numbers(b'[1e-320, 2.5E+100, "1e-320", 1e22]' * 400)
    800
    """
    if value.count(b"e") + value.count(b"E") <= MAX_EXTREME_NUMBERS:
        return 0
    return len(_EXTREME.findall(_unquoted(value)))


def _unquoted(value: bytes) -> bytes:
    """Return a JSON text without its strings. Up to the first syntax error this equals what a parser sees."""
    return b"".join(value.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def _retry_carefully(value: bytes, error: Exception) -> Call | Rejected:
    """Handle an error of the fast decoder: decode unusual types carefully, and reject what is not JSON."""
    if isinstance(error, msgspec.ValidationError):
        return _read_carefully(value)
    if isinstance(error, RecursionError):  # only if the caller's stack is nearly exhausted
        return reject("too_deep")
    return reject("not_json", f"{error}.")


def _structured(envelope: Call) -> Call | Rejected:
    """Extract the call from a CloudEvent in structured mode."""
    data = bytes(envelope.data)
    if not data and type(envelope.data_base64) is str:
        try:
            data = b64decode(envelope.data_base64, validate=True)
        except ValueError:
            return reject("bad_envelope", "data_base64 is not valid base64.")
        if is_deep(data):
            return reject("too_deep")
        if (extreme := extreme_numbers(data)) > MAX_EXTREME_NUMBERS:
            return reject("too_many_extreme_numbers", f"The event has {extreme:,}.")
    if not data or data == b"null":
        return reject("bad_envelope", "data is missing.")
    try:
        call = _CALL.decode(data)
    except Exception as error:
        retried = _retry_carefully(data, error)
        if type(retried) is Rejected:
            return reject("bad_envelope", "data is not an object.") if retried.reason == "not_an_object" else retried
        call = retried
    return _with_attributes(call, envelope.specversion, envelope.source, envelope.id, envelope.time)


def _binary(call: Call, headers: Sequence[tuple[str, bytes]]) -> Call | Rejected:
    """Add the CloudEvents attributes of a binary-mode record. Other headers are ignored."""
    attributes = {
        name: header.decode("utf-8", "replace")
        for name, header in headers
        if name in _CLOUD_HEADERS and type(header) is bytes
    }
    if not attributes:
        return call
    get = attributes.get
    return _with_attributes(call, get("ce_specversion"), get("ce_source"), get("ce_id"), get("ce_time"))


def _with_attributes(call: Call, version: object, source: object, id_: object, time: object) -> Call | Rejected:
    if type(version) is not str or not version.startswith("1."):
        return reject("bad_envelope", "specversion is not 1.x.")
    if type(source) is not str or not source or type(id_) is not str or not id_:
        return reject("bad_envelope", "source or id is missing, empty or not a text.")
    call.specversion, call.source, call.id, call.time = version, source, id_, time
    return call


_CLOUD_HEADERS: Final = frozenset(("ce_specversion", "ce_source", "ce_id", "ce_time"))
_CLOUD_FIELDS: Final = ("specversion", "source", "id", "time", "data_base64")
_ID_FIELDS: Final = {
    "userId": "bad_customer",
    "anonymousId": "bad_customer",
    "messageId": "bad_id",
    "groupId": "bad_id",
    "previousId": "bad_id",
}
_MOMENT_FIELDS: Final = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")


def _read_carefully(value: bytes) -> Call | Rejected:
    """Decode a call field by field: accept unusual types that have one meaning, name the field of any other."""
    try:
        fields = _FIELDS.decode(value)
        call = Call()
        if not _is_null(fields.get("specversion", _NOTHING)):
            for name in _CLOUD_FIELDS:
                if name in fields:
                    setattr(call, name, _any(fields[name]))
            call.data = fields.get("data", _NOTHING)
            return call
    except msgspec.ValidationError as error:
        return reject("not_an_object", f"{error}.")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return reject("not_json", f"{error}.")
    for name, raw in fields.items():
        if name in Call.__struct_fields__ and not _is_null(raw):
            try:
                rejected = _read_field(call, name, raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                rejected = reject("not_json", f"{name}: {error}.")
            if rejected is not None:
                return rejected
    return call


def _read_field(call: Call, name: str, raw: Raw) -> Rejected | None:
    if name in _ID_FIELDS:
        identity = _read_id(bytes(raw))
        if identity is None:
            return reject(_ID_FIELDS[name], f"{name} is neither a text nor a number, or the number is too long.")
        setattr(call, name, identity)
    elif name in _MOMENT_FIELDS:
        moment = _read_moment(raw)
        if moment is None:
            return reject("bad_time", f"{name} is not a time.")
        setattr(call, name, moment)
    elif name in ("properties", "traits", "context"):
        try:
            setattr(call, name, (_CONTEXT if name == "context" else _OBJECT).decode(raw))
        except msgspec.ValidationError as error:
            return reject("bad_properties", f"{name}: {error}.")
    elif name in ("type", "event"):
        value = _any(raw)
        setattr(call, name, value if type(value) is str else "")
    elif name == "name":
        call.name = _any(raw)
    return None


def _any(raw: Raw) -> Any:
    """Decode one value. A number outside the range of a double becomes a `Raw`, a type that no caller accepts."""
    try:
        return _ANY.decode(raw)
    except msgspec.ValidationError:
        return _NOTHING


def _is_null(raw: Raw) -> bool:
    return bytes(raw) in (b"", b"null")


def _read_id(raw: bytes) -> str | None:
    """Read an id from its JSON literal. A number becomes its exact decimal string, without an exponent.

    >>> _read_id(b"1.0"), _read_id(b"1e22"), _read_id(b"-0.50"), _read_id(b"true"), _read_id(b"1e999999")
    ('1', '10000000000000000000000', '-0.5', None, None)
    """
    if raw[:1] == b'"':
        return str(_ANY.decode(raw))
    if raw[:1] not in b"-0123456789" or len(raw) > 512:
        return None
    try:
        number = Decimal(raw.decode())
    except (DecimalException, ValueError):
        return None
    if not number:
        return "0"
    if not -300 <= number.adjusted() <= 300:
        return None
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def _read_moment(raw: Raw) -> Moment:
    value = _any(raw)
    if type(value) is int or type(value) is float:
        return value
    moment = moment_ms(value)
    if moment is None:
        return None
    try:
        return EPOCH + timedelta(milliseconds=moment)
    except OverflowError:
        return None
