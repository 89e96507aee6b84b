"""Kinds of records that no program of ours writes, derived from a good record of any topic with JSON values.

`foreign_records` yields every kind for one good record. No reader may use any of them; each is to be skipped, counted
and reported once. `odd_metadata` yields good values with strange timestamps and headers, which every reader must bear.
"""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
import orjson

Headers = list[tuple[str, bytes | None]]

DEPTH: Final = 50_000


class ForeignRecord(NamedTuple):
    """One kind of foreign record."""

    kind: str
    key: bytes | None
    value: bytes | None
    headers: Headers = []  # noqa: RUF012  # never changed
    timestamp_ms: int | None = None


class Raw(str):
    """JSON text that replaces a value as it is."""

    __slots__ = ()


def foreign_records(key: bytes, value: bytes, headers: Headers | None = None) -> list[ForeignRecord]:
    """Return about 45 kinds, each with the key and the headers of the good record where the kind is about its value."""
    kept = headers or []
    records = [ForeignRecord(kind, key, broken, kept) for kind, broken in _broken_values(value)]
    document = orjson.loads(value)
    records += [ForeignRecord(kind, key, changed, kept) for kind, changed in _changed_documents(document)]
    records += [ForeignRecord(kind, other, value, kept) for kind, other in _other_keys(key)]
    return records


def odd_metadata(key: bytes, value: bytes, headers: Headers | None = None) -> list[ForeignRecord]:
    """Return good records with strange timestamps and headers."""
    kept = headers or []
    return [
        ForeignRecord("timestamp 0", key, value, kept, 0),
        ForeignRecord("header value null", key, value, [*kept, ("x", None)]),
        ForeignRecord("header value not UTF-8", key, value, [*kept, ("x", b"\xff\xfe")]),
        ForeignRecord("header twice", key, value, [*kept, ("x", b"1"), ("x", b"2")]),
        ForeignRecord("header name with controls", key, value, [*kept, ("\r\nx\x1b[2J", b"1")]),
        ForeignRecord("500 headers", key, value, [*kept, *((f"h{i}", b"v") for i in range(500))]),
    ]


def _broken_values(value: bytes) -> Iterator[tuple[str, bytes]]:
    """Values that are no JSON object."""
    yield "not JSON", b"not json"
    yield "empty value", b""
    yield "spaces", b" " * 100
    yield "zero bytes", bytes(100)
    yield "not UTF-8", b"\xff\xfe\x00\x80"
    yield "UTF-16", "\ufeff{}".encode("utf-16")
    yield "truncated", value[: len(value) // 2]
    yield "trailing data", value + b"}"
    yield "two documents", value + b"\n" + value
    yield "gzip", gzip.compress(value)
    yield "pickle", pickle.dumps({"a": 1})
    yield "MessagePack", msgspec.msgpack.encode({"a": 1})
    yield "Avro with a schema id", b"\x00\x00\x00\x00\x01" + b"\x02" * 20
    yield "HTML", b"<html><script>alert(1)</script></html>"
    yield "terminal controls", b"\x1b[2J\x1b]0;owned\x07"
    yield "JSON null", b"null"
    yield "JSON number", b"7"
    yield "JSON text", b'"text"'
    yield "JSON true", b"true"
    yield "JSON list", b"[]"
    yield "list of the value", b"[" + value + b"]"
    yield "empty object", b"{}"
    yield "other object", b'{"a":{"b":[1,2,3]}}'
    yield "deep lists", b"[" * DEPTH + b"]" * DEPTH
    yield "deep objects", b'{"a":' * DEPTH + b"1" + b"}" * DEPTH
    yield "deep list in an unknown field", b'{"unknown":' + b"[" * DEPTH + b"]" * DEPTH + b"," + value[1:]
    yield "lone surrogate", b'{"\\ud800":"\\ud800",' + value[1:]


def _changed_documents(document: Any) -> Iterator[tuple[str, bytes]]:
    """The good value with one class of its parts changed."""
    for kind, change in _CHANGES.items():
        changed = _mapped(document, change)
        if changed != document:
            yield kind, _json(changed)


def _other_keys(key: bytes) -> Iterator[tuple[str, bytes | None]]:
    yield "no key", None
    yield "empty key", b""
    yield "key not UTF-8", b"\xff\xfe" + key
    yield "key of another customer", key + b"-other"
    yield "huge key", key * (10_000 // max(len(key), 1) + 1)
    yield "key with controls", key + b"\r\n\x1b[2J"


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Apply a change to every part, from the leaves up."""
    if isinstance(value, dict):
        return change({name: _mapped(part, change) for name, part in value.items()})
    if isinstance(value, list):
        return change([_mapped(part, change) for part in value])
    return change(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(replacement: Any) -> Callable[[Any], Any]:
    return lambda value: replacement if _is_number(value) else value


def _texts(replacement: Any) -> Callable[[Any], Any]:
    return lambda value: replacement if isinstance(value, str) and not isinstance(value, Raw) else value


_CHANGES: Final[dict[str, Callable[[Any], Any]]] = {
    "numbers null": _numbers(None),
    "numbers as text": lambda value: str(value) if _is_number(value) else value,
    "numbers nan as text": _numbers("nan"),
    "numbers true": _numbers(True),
    "numbers NaN": _numbers(Raw("NaN")),
    "numbers Infinity": _numbers(Raw("Infinity")),
    "numbers 1e400": _numbers(Raw("1e400")),
    "numbers 1e308": _numbers(Raw("1e308")),
    "numbers 2^63": _numbers(Raw(str(2**63))),
    "numbers 2^200": _numbers(Raw(str(2**200))),
    "numbers with 1,000 digits": _numbers(Raw("9" * 1_000)),
    "numbers negative": _numbers(Raw("-1000000000000000000")),
    "texts null": _texts(None),
    "texts numbers": _texts(7),
    "texts lists": _texts([]),
    "texts huge": _texts("x" * 3_000),
    "objects lists": lambda value: list(value.values()) if isinstance(value, dict) else value,
    "lists objects": lambda value: {"0": value} if isinstance(value, list) else value,
}


def _json(value: Any) -> bytes:
    """Encode JSON in which `Raw` texts stand as they are."""
    if isinstance(value, Raw):
        return value.encode()
    if isinstance(value, dict):
        return b"{" + b",".join(_json(name) + b":" + _json(part) for name, part in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_json, value)) + b"]"
    return orjson.dumps(value)
