"""Laws of decoding and of tolerant value parsing, for random bytes, mutated events and extremes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.events.coercion import MAX_TIME_MS, MIN_TIME_MS, as_number, text, time_ms
from models.events.envelope import is_deep
from models.events.event import MAX_ID_BYTES, MAX_NAME_CHARS, Event, Rejected, decode
from models.events.money import MAX_MINOR_UNITS, minor_units
from models.events.rejection import MAX_DEPTH, MAX_PROPERTIES, REASONS

BASE = 1_741_608_000_000
IDS = ("userId", "anonymousId", "messageId", "groupId", "previousId")
TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt", "time")
CLOUD = ("specversion", "source", "id", "data", "data_base64")
FIELDS = (*IDS, *TIMES, *CLOUD, "type", "event", "properties", "traits", "context", "integrations")
TYPES = ("track", "identify", "page", "screen", "group", "alias")

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "1", "1e3", "2025-03-10T12:00:00Z", "2025-03-10", "9999-12-31T23:59:59Z", "track", "1.0", "a" * 300]
    )
    | st.sampled_from([0, -1, 1e22, 1e308, 2**63, 2**64, 10**400, BASE, BASE // 1000, BASE * 1000])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
calls = st.fixed_dictionaries(
    {
        "type": st.sampled_from(TYPES),
        "event": st.text(min_size=1, max_size=200),
        "userId": st.text(min_size=1, max_size=80) | st.integers() | st.floats(-1e9, 1e9),
        "timestamp": st.datetimes().map(lambda moment: moment.isoformat() + "Z")
        | st.integers(MIN_TIME_MS, MAX_TIME_MS - 1),
    },
    optional={
        "messageId": st.text(max_size=20) | st.integers(),
        "properties": st.dictionaries(st.text(max_size=8), values, max_size=5),
        "traits": st.dictionaries(st.text(max_size=8), values, max_size=5),
        "context": st.fixed_dictionaries({}, optional={"active": values, "ip": values}),
        "groupId": st.text(min_size=1, max_size=20) | st.integers(),
        "previousId": st.text(min_size=1, max_size=20),
    },
)
cloud = st.fixed_dictionaries(
    {"specversion": st.just("1.0"), "source": st.text(min_size=1), "id": st.text(min_size=1), "data": calls},
    optional={"time": scalars, "type": st.text()},
)
numbers_written = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,12})?", fullmatch=True)
headers = st.lists(
    st.tuples(
        st.sampled_from(["ce_specversion", "ce_source", "ce_id", "ce_time", "ce_type", "traceparent"]),
        st.binary(max_size=12) | st.sampled_from([b"1.0", b"/a", b"2025-03-10T12:00:00Z"]) | st.none(),
    ),
    max_size=6,
)
clocks = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(BASE - 10**6, BASE + 10**6)


def check(value: bytes | None, head: Any = (), timestamp_ms: int | None = None, received_ms: int | None = None) -> Any:
    """Check the invariants of decoding any input."""
    decoded = decode(value, head, timestamp_ms, received_ms)
    assert decode(value, head, timestamp_ms, received_ms) == decoded
    if isinstance(decoded, Rejected):
        assert decoded.message.endswith(REASONS[decoded.reason])
        assert len(decoded.message) < 1000
        return decoded
    assert type(decoded) is Event
    assert 1 <= len(decoded.customer.encode()) <= MAX_ID_BYTES
    assert 1 <= len(decoded.name) <= MAX_NAME_CHARS
    assert decoded.name.encode()
    assert type(decoded.time_ms) is int
    assert MIN_TIME_MS <= decoded.time_ms < MAX_TIME_MS
    assert type(decoded.id_hash) is int
    assert 0 <= decoded.id_hash < 2**64
    assert type(decoded.properties) is dict
    assert len(decoded.properties) <= MAX_PROPERTIES
    assert decoded.group is None or 1 <= len(decoded.group.encode()) <= MAX_ID_BYTES
    assert type(decoded.automated) is type(decoded.clamped) is bool
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=Event) == decoded
    if timestamp_ms is None:
        assert not decoded.clamped
    return decoded


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=200), headers, clocks, clocks)
def test_random_bytes_never_raise(value: bytes, head: Any, timestamp_ms: int | None, received_ms: int | None) -> None:
    """Rule: random bytes are rejected with a reason, alone and inside an object."""
    for candidate in (value, b"{" + value + b"}", b'{"type":"page","userId":' + value + b"}", b"\x00" + value):
        check(candidate, head, timestamp_ms, received_ms)


@settings(max_examples=250, deadline=None)
@given(calls, headers, clocks, clocks)
def test_valid_calls_satisfy_the_invariants(
    sent: Any, head: Any, timestamp_ms: int | None, received_ms: int | None
) -> None:
    """Rule: decoded events of all six types are bounded and can be encoded again."""
    decoded = check(json.dumps(sent).encode(), head, timestamp_ms, received_ms)
    if isinstance(decoded, Event) and sent["type"] in ("track", "page", "screen"):
        assert decoded.properties == sent.get("properties", {})
    if isinstance(decoded, Event) and isinstance(sent["userId"], str):
        assert decoded.customer == sent["userId"]


@settings(max_examples=200, deadline=None)
@given(cloud, clocks)
def test_cloud_events_are_equal_in_both_modes(sent: Any, timestamp_ms: int | None) -> None:
    """Rule: structured, binary and framed CloudEvents decode to the same event, as does the plain call with an id."""
    as_headers = [(f"ce_{name}", sent[name].encode()) for name in ("specversion", "source", "id")]
    if isinstance(sent.get("time"), str):
        as_headers.append(("ce_time", sent["time"].encode()))
    elif sent.get("time") is not None:
        del sent["time"]
    outside, inside = json.dumps(sent).encode(), json.dumps(sent["data"]).encode()
    decoded = check(outside, (), timestamp_ms)
    assert check(inside, as_headers, timestamp_ms) == decoded
    assert check(b"\x00\x00\x00\x00\x09" + outside, (), timestamp_ms) == decoded
    if isinstance(decoded, Event):
        assert decoded.id_hash != 0
        if sent["data"].get("messageId", "") != "":
            assert check(inside, (), timestamp_ms) == decoded


@settings(max_examples=250, deadline=None)
@given(calls | cloud, st.lists(st.tuples(st.sampled_from(FIELDS), values), max_size=3), clocks)
def test_fields_of_any_type_never_raise(sent: Any, changes: list[tuple[str, Any]], timestamp_ms: int | None) -> None:
    """Rule: any field may have any value."""
    check(json.dumps(sent | dict(changes)).encode(), (), timestamp_ms)


@settings(max_examples=250, deadline=None)
@given(calls | cloud, st.data())
def test_mutated_bytes_never_raise(sent: Any, data: st.DataObject) -> None:
    """Rule: bytes that are changed, removed or inserted anywhere are decoded or rejected."""
    value = bytearray(json.dumps(sent, ensure_ascii=data.draw(st.booleans())).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(value)))
        end = min(len(value), start + data.draw(st.integers(0, 8)))
        value[start:end] = data.draw(
            st.binary(max_size=4)
            | st.sampled_from([b'"', b"{", b"}", b"\\", b"\\u", b"\\ud800", b"1e999", b"null", b","])
        )
    check(bytes(value))


@settings(max_examples=200, deadline=None)
@given(numbers_written, st.sampled_from(FIELDS))
@example("1e999999999999", "userId")
@example("-0.0", "userId")
@example("1" * 4300, "messageId")
def test_numbers_of_any_size_never_raise(literal: str, field: str) -> None:
    """Rule: any field may have a number of any size; as a customer id it becomes its decimal text."""
    members = {"type": '"page"', "userId": '"u"', "timestamp": "1741608000", field: literal}
    decoded = check(("{" + ",".join(f'"{name}":{member}' for name, member in members.items()) + "}").encode())
    if isinstance(decoded, Event) and field == "userId":
        assert Decimal(decoded.customer) == Decimal(literal)
        assert "e" not in decoded.customer.lower()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"[", b'{"a":', b"]", b"}", b'"', b"\\", b"1", b","]), max_size=200), st.integers(0, 3000)
)
def test_depth_never_raises_or_depends_on_the_stack(pieces: list[bytes], depth: int) -> None:
    """Rule: nesting of any depth gives the same result at any stack depth."""
    nested = b"[" * depth + b"".join(pieces) + b"]" * depth
    value = b'{"type":"page","userId":"u","timestamp":1741608000,"integrations":' + nested + b"}"
    decoded = check(value)
    assert deep_in_the_stack(200, value) == decoded
    if depth >= MAX_DEPTH:
        assert decoded.reason == "too_deep"


@settings(max_examples=200, deadline=None)
@given(values, st.lists(st.sampled_from(["[", '"]', "\\", '\\"', "{"]), min_size=1, max_size=5), st.integers(55, 75))
def test_depth_in_the_text_equals_depth_of_the_value(value: Any, keys: list[str], levels: int) -> None:
    """Rule: brackets, quotes and backslashes within strings do not count."""
    for level in range(levels):
        value = {keys[level % len(keys)] * 2: value, "beside": keys} if level % 3 else [keys, value]
    assert is_deep(json.dumps(value).encode()) == (depth_of(value) > MAX_DEPTH)


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


def deep_in_the_stack(frames: int, value: bytes) -> Any:
    return decode(value, (), None) if frames == 0 else deep_in_the_stack(frames - 1, value)


@settings(max_examples=200, deadline=None)
@given(values | st.floats() | st.binary() | st.integers(-(10**500), 10**500), values, st.integers(0, 50))
def test_parsing_never_raises_and_is_bounded(value: Any, currency: Any, limit: int) -> None:
    """Rule: parsing any value gives a bounded result or None."""
    figure = as_number(value)
    assert figure is None or figure - figure == 0
    units = minor_units(value, currency)
    assert units is None or (type(units) is int and abs(units) <= MAX_MINOR_UNITS)
    word = text(value, limit)
    assert word is None or (1 <= len(word) <= limit and word.encode() and word == word.strip())
    moment = time_ms(value)
    assert moment is None or (type(moment) is int and MIN_TIME_MS <= moment < MAX_TIME_MS)


@settings(max_examples=200, deadline=None)
@given(
    st.decimals(-(10**9), 10**9, places=4) | st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9),
    st.sampled_from([0, 2, 3, 4]),
)
def test_money_is_rounded_like_decimals(amount: Any, decimals: int) -> None:
    """Rule: minor units are the decimal text times ten to the power of the decimals, rounded half to even."""
    currency = {0: "JPY", 2: "USD", 3: "KWD", 4: "CLF"}[decimals]
    sent = str(amount) if isinstance(amount, Decimal) else amount
    exact = Decimal(str(amount)).scaleb(decimals).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert minor_units(sent, currency) == int(exact)


@settings(max_examples=200, deadline=None)
@given(st.integers(MIN_TIME_MS, MAX_TIME_MS - 1), st.integers(-23 * 60 - 59, 23 * 60 + 59), st.sampled_from("Tt "))
def test_time_is_parsed_in_every_format(moment: int, offset_minutes: int, separator: str) -> None:
    """Rule: a time in any UTC offset, as text or number, gives the same millisecond."""
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)).astimezone(
        timezone(timedelta(minutes=offset_minutes))
    )
    formatted = local.isoformat(sep=separator, timespec="milliseconds")
    for representation in (
        formatted,
        formatted.replace(".", ","),
        local.isoformat(),
        moment,
        str(moment),
        float(moment),
    ):
        assert time_ms(representation) == moment
        value = json.dumps({"type": "page", "userId": 1, "timestamp": representation}).encode()
        assert check(value).time_ms == moment
