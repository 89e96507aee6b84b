"""From the bytes of a record to one call in the Segment shape: frames, CloudEvents and the limits of size and depth.

Two decoders read the same bytes. The fast one knows the types that nearly every publisher sends and builds only what
is read. What it refuses goes to the careful one, which takes the object apart field by field, accepts what is unusual
and says precisely what is wrong with the rest.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Raw

from models.events.coercion import moment_ms
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, Rejected, reject


class CallContext(msgspec.Struct, gc=False):
    """The one member of `context` that is read."""

    active: Any = None


Id = str | int | None
Moment = datetime | int | float | None


class Call(msgspec.Struct, gc=False):
    """One call in the Segment shape, with the wire's own names; unknown members are skipped, not built."""

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
    # CloudEvents, structured: `specversion` makes it one
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
_STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # 1 and -1 as signed bytes
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_LIST: Final = ord("[")  # as an int: a search by memchr, five times as fast as for b"["
_NOTHING: Final = Raw()


def open_envelope(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> Call | Rejected:
    """Find the call in a record's value; one that came in a CloudEvent has `specversion`, with its source, id and time.

    1. A Confluent schema-registry frame is skipped.
    2. Size and depth are checked before anything is built.
    3. The value is read as a Segment object; `specversion` in it makes it a structured CloudEvent with the call as
       its data; else `ce_` headers make it a binary one.
    """
    if not value:
        return reject("empty")
    if not value[0]:
        value = value[5:]
    if len(value) > MAX_EVENT_BYTES:
        return reject("too_large", f"The event has {len(value):,} bytes.")
    if (_LIST in value or len(value) > 5 * MAX_DEPTH) and is_deep(value):  # a level of objects takes {"":} at least
        return reject("too_deep")
    try:
        call = _CALL.decode(value)
    except Exception as error:
        refused = _second_look(value, error)
        if type(refused) is Rejected:
            return refused
        call = refused
    if call.specversion is not None:
        return _structured(call)
    if headers:
        return _binary(call, headers)
    return call


def is_deep(value: bytes) -> bool:
    """Whether a JSON text nests deeper than MAX_DEPTH, without recursion: within 2 ms for the largest.

    Escapes and strings are cut out, every bracket becomes a step up or down, and the highest sum of steps is the
    depth. Up to the first error this is what a parser would go down, so it holds for broken texts too.

    >>> is_deep(b"[" * 64 + b"]" * 64), is_deep(b"[" * 65 + b"]" * 65), is_deep(b'"' + b"[" * 99 + b'"')
    (False, True, False)
    """
    if value.count(b"{") + value.count(b"[") <= MAX_DEPTH:
        return False
    outside = b"".join(value.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    steps = np.frombuffer(outside.translate(_STEPS, _NOT_BRACKETS), dtype=np.int8)
    return steps.size > MAX_DEPTH and int(steps.cumsum(dtype=np.int32).max()) > MAX_DEPTH


def _second_look(value: bytes, error: Exception) -> Call | Rejected:
    """Answer the fast decoder's refusal: unusual types are read carefully, what is no JSON is refused."""
    if isinstance(error, msgspec.ValidationError):
        return _read_carefully(value)
    if isinstance(error, RecursionError):  # only for a caller who stands at the end of the stack already
        return reject("too_deep")
    return reject("not_json", f"{error}.")


def _structured(outside: Call) -> Call | Rejected:
    """Take the call out of a CloudEvent in structured mode."""
    data = bytes(outside.data)
    if not data and type(outside.data_base64) is str:
        try:
            data = b64decode(outside.data_base64, validate=True)
        except ValueError:
            return reject("bad_envelope", "data_base64 is not base64.")
        if is_deep(data):
            return reject("too_deep")
    if not data or data == b"null":
        return reject("bad_envelope", "data is missing.")
    try:
        call = _CALL.decode(data)
    except Exception as error:
        refused = _second_look(data, error)
        if type(refused) is Rejected:
            return reject("bad_envelope", "data is not an object.") if refused.reason == "not_an_object" else refused
        call = refused
    return _in_cloud_event(call, outside.specversion, outside.source, outside.id, outside.time)


def _binary(call: Call, headers: Sequence[tuple[str, bytes]]) -> Call | Rejected:
    """Add the CloudEvents attributes of a binary-mode record; headers of other kinds mean nothing here."""
    words = {
        name: header.decode("utf-8", "replace")
        for name, header in headers
        if name in _CLOUD_HEADERS and type(header) is bytes
    }
    if not words:
        return call
    get = words.get
    return _in_cloud_event(call, get("ce_specversion"), get("ce_source"), get("ce_id"), get("ce_time"))


def _in_cloud_event(call: Call, version: object, source: object, id_: object, time: object) -> Call | Rejected:
    if type(version) is not str or not version.startswith("1."):
        return reject("bad_envelope", "specversion is not 1.0.")
    if type(source) is not str or not source or type(id_) is not str or not id_:
        return reject("bad_envelope", "source or id is missing.")
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
    """Read a call whose types are unusual: accept what has one meaning, and name the field that has none."""
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
                refused = _read_field(call, name, raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                refused = reject("not_json", f"{name}: {error}.")
            if refused is not None:
                return refused
    return call


def _read_field(call: Call, name: str, raw: Raw) -> Rejected | None:
    if name in _ID_FIELDS:
        identity = _read_id(bytes(raw))
        if identity is None:
            return reject(_ID_FIELDS[name], f"{name} is neither a text nor a number of reasonable length.")
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
        word = _any(raw)
        setattr(call, name, word if type(word) is str else "")
    return None


def _any(raw: Raw) -> Any:
    """Decode one value; a number that no double holds is not of any type that is asked for."""
    try:
        return _ANY.decode(raw)
    except msgspec.ValidationError:
        return _NOTHING


def _is_null(raw: Raw) -> bool:
    return bytes(raw) in (b"", b"null")


def _read_id(raw: bytes) -> str | None:
    """Read an id from its literal: a number becomes exactly the decimal string that it denotes, without an exponent.

    >>> _read_id(b"1.0"), _read_id(b"1e22"), _read_id(b"-0.50"), _read_id(b"true"), _read_id(b"1e999999")
    ('1', '10000000000000000000000', '-0.5', None, None)
    """
    if raw[:1] == b'"':
        return str(_ANY.decode(raw))
    if raw[:1] not in b"-0123456789" or len(raw) > 512:
        return None
    try:
        figure = Decimal(raw.decode())
    except (DecimalException, ValueError):
        return None
    if not figure:
        return "0"
    if not -300 <= figure.adjusted() <= 300:
        return None
    digits = format(figure, "f")
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
