"""Decoding of records into events. Each docstring states the rule under test."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from models.events.coercion import MIN_TIME_MS
from models.events.event import MAX_NAME_CHARS, Event, decode
from models.events.rejection import MAX_DEPTH, MAX_EVENT_BYTES, MAX_PROPERTIES, REASONS, Rejected

NOON_MS = 1_741_608_000_000  # 2025-03-10T12:00:00Z
MINUTE_MS = 60_000
CALL: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "c-1",
    "messageId": "m-1",
    "timestamp": "2025-03-10T12:00:00.250Z",
    "properties": {"revenue": 19.9},
}
CLOUD = [("ce_specversion", b"1.0"), ("ce_source", b"/shop"), ("ce_id", b"e-1"), ("ce_type", b"com.example.order")]


def call(**changes: Any) -> bytes:
    """Encode `CALL` with changed members; None removes a member."""
    return json.dumps({name: value for name, value in (CALL | changes).items() if value is not None}).encode()


def event(value: bytes, headers: Any = (), timestamp_ms: int | None = None, received_ms: int | None = None) -> Event:
    decoded = decode(value, headers, timestamp_ms, received_ms)
    assert isinstance(decoded, Event), decoded
    return decoded


def reason(value: bytes | None, headers: Any = (), timestamp_ms: int | None = None) -> str:
    decoded = decode(value, headers, timestamp_ms)
    assert isinstance(decoded, Rejected), decoded
    assert decoded.message.endswith(REASONS[decoded.reason])
    return decoded.reason


# What happened


def test_track_call_becomes_an_event_under_its_own_name() -> None:
    """A track call is named by `event` and carries its properties."""
    decoded = event(call())
    assert decoded.customer == "c-1"
    assert decoded.name == "Order Completed"
    assert decoded.time_ms == NOON_MS + 250
    assert decoded.properties == {"revenue": 19.9}
    assert (decoded.automated, decoded.clamped, decoded.group) == (False, False, None)


@pytest.mark.parametrize("kind", ["page", "screen"])
def test_page_and_screen_are_named_by_their_type(kind: str) -> None:
    """The call type is the event name of a page or screen call; `name` becomes a property."""
    decoded = event(call(type=kind, name="Pricing"))
    assert decoded.name == kind
    assert decoded.properties == {"revenue": 19.9, "name": "Pricing"}


@pytest.mark.parametrize("kind", ["page", "screen"])
@pytest.mark.parametrize(
    ("properties", "read"),
    [
        (None, "Pricing"),
        ({}, "Pricing"),
        ({"name": ""}, "Pricing"),
        ({"name": None}, "Pricing"),
        ({"name": "Plans"}, "Plans"),
    ],
)
def test_name_of_a_page_stands_beside_its_properties_or_in_them(kind: str, properties: Any, read: str) -> None:
    """Server libraries send `name` beside `properties`, analytics.js in both. Properties win."""
    assert event(call(type=kind, name="Pricing", properties=properties)).properties["name"] == read
    assert "name" not in event(call(name="Pricing")).properties


def test_identify_and_group_carry_their_traits() -> None:
    """identify and group calls have traits instead of properties, and a group call names the account."""
    assert event(call(type="identify", traits={"plan": "pro"})).properties == {"plan": "pro"}
    decoded = event(call(type="group", groupId=77, traits={"seats": 5}))
    assert (decoded.name, decoded.group, decoded.properties) == ("group", "77", {"seats": 5})


def test_alias_carries_the_previous_id() -> None:
    """The only property of an alias is the customer's previous id, in canonical form."""
    assert event(call(type="alias", previousId=12)).properties == {"previousId": "12"}
    assert event(call(type="alias")).properties == {}


def test_unknown_event_name_is_valid() -> None:
    """A track call with any event name is activity of a customer."""
    assert event(call(event="Gärtnerei besucht 🌱")).name == "Gärtnerei besucht 🌱"


def test_long_event_name_is_cut() -> None:
    """A name above the limit is cut instead of rejected, since it is still activity."""
    assert event(call(event="n" * 5000)).name == "n" * MAX_NAME_CHARS


@pytest.mark.parametrize("name", [None, "", 7, ["Order Completed"]])
def test_track_call_needs_a_name(name: Any) -> None:
    """A track call is rejected unless `event` is a non-empty text."""
    assert reason(call(event=name)) == "missing_event_name"


@pytest.mark.parametrize("kind", [None, "", "Track", "delete", "batch", 3, {}])
def test_type_is_one_of_six(kind: Any) -> None:
    """A missing or unknown type is rejected, and so is a type in another case."""
    assert reason(call(type=kind)) == "unknown_type"


def test_missing_properties_are_empty() -> None:
    """Missing or null properties are read as an empty object."""
    assert event(call(properties=None)).properties == {}
    assert event(b'{"type":"page","userId":"a","timestamp":1741608000,"properties":null}').properties == {}


@pytest.mark.parametrize("field", ["properties", "traits", "context"])
@pytest.mark.parametrize("value", [[], "text", 5, True])
def test_properties_traits_and_context_are_objects(field: str, value: Any) -> None:
    """Properties, traits or context of another JSON type are rejected, and the message names the field."""
    decoded = decode(call(**{field: value}), [], None)
    assert isinstance(decoded, Rejected)
    assert decoded.reason == "bad_properties"
    assert decoded.message.startswith(field)


def test_property_values_of_odd_types_are_kept() -> None:
    """Decoding keeps property values of any type; the reader of a property checks it."""
    odd = {"revenue": ["x"], "plan": {"a": {"b": None}}, "n": 10**30, "t": True}
    assert event(call(properties=odd)).properties == odd


def test_number_out_of_double_range_is_rejected() -> None:
    """1e999 is valid JSON, but it cannot be encoded again."""
    assert reason(b'{"type":"page","userId":"a","timestamp":1741608000,"properties":{"x":1e999}}') == "bad_properties"


def test_number_out_of_range_in_an_unread_member_does_not_matter() -> None:
    """Members that are not read are skipped, whatever their value is."""
    assert event(b'{"type":"page","userId":"a","timestamp":1741608000,"integrations":{"x":1e999},"time":1e999}')


# Which customer


def test_user_id_takes_precedence_over_anonymous_id() -> None:
    """The customer is userId, or anonymousId without one; null counts as absent."""
    assert event(call(anonymousId="v-1")).customer == "c-1"
    assert event(call(userId=None, anonymousId="v-1")).customer == "v-1"
    assert event(b'{"type":"page","userId":null,"anonymousId":"v","timestamp":1741608000}').customer == "v"
    assert reason(call(userId=None)) == "missing_customer"


@pytest.mark.parametrize(
    ("literal", "customer"),
    [
        ("7", "7"),
        ("-7", "-7"),
        ("-10", "-10"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("1e22", "10000000000000000000000"),
        ("12345678901234567.25", "12345678901234567.25"),
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551616", "18446744073709551616"),
        ("1" * 200, "1" * 200),
        ("1e-3", "0.001"),
    ],
)
def test_numeric_customer_id_is_its_decimal_string(literal: str, customer: str) -> None:
    """A number becomes its exact decimal string, without an exponent and without trailing zeros."""
    assert event(f'{{"type":"page","userId":{literal},"timestamp":1741608000}}'.encode()).customer == customer


@pytest.mark.parametrize("literal", ["true", "false", "[]", "{}", "1" * 300, "1" * 5000, "1e300", "1e99999999999"])
def test_customer_id_of_another_type_is_rejected(literal: str) -> None:
    """An id is a text or a number of limited length; a userId of another type is wrong, not absent."""
    value = f'{{"type":"page","userId":{literal},"anonymousId":"v","timestamp":1741608000}}'.encode()
    assert reason(value) == "bad_customer"


def test_customer_id_is_limited_in_bytes() -> None:
    """The limit is 256 bytes in UTF-8, whatever the number of characters."""
    assert event(call(userId="a" * 256)).customer == "a" * 256
    assert reason(call(userId="a" * 257)) == "bad_customer"
    assert event(call(userId="🌱" * 64)).customer == "🌱" * 64
    assert reason(call(userId="🌱" * 65)) == "bad_customer"


def test_customer_id_is_kept_exactly() -> None:
    """Ids are not trimmed or folded: whitespace, case and control characters distinguish customers."""
    assert event(call(userId=" A\u0000b ")).customer == " A\x00b "


def test_lone_surrogate_is_not_json() -> None:
    """Half a surrogate pair is not a character and cannot be encoded in UTF-8."""
    assert reason(b'{"type":"page","userId":"\\ud800","timestamp":1741608000}') == "not_json"


def test_automated_activity_is_marked() -> None:
    """Only `context.active` false or `properties.automated` true mark an event as automated."""
    assert event(call(context={"active": False, "ip": "::1"})).automated
    assert event(call(properties={"automated": True})).automated
    for spelled in ("true", "TRUE", 1, "1", "yes"):
        assert event(call(properties={"automated": spelled})).automated
    for spelled in ("false", "False", 0, "0", "no"):
        assert event(call(context={"active": spelled})).automated
    for untouched in ({"active": True}, {"active": None}, {"active": 1}, {"active": "true"}, {}):
        assert not event(call(context=untouched, properties={"automated": "false"})).automated


def test_unreadable_flag_marks_nothing_and_is_noted() -> None:
    """A flag that is neither true nor false is missing."""
    decoded = event(call(context={"active": "partly"}, properties={"automated": "cron"}))
    assert (decoded.automated, decoded.unreadable) == (False, ["automated", "context.active"])
    assert event(call(context={"active": ""}, properties={"automated": ""})).unreadable is None


# When


def test_clock_of_the_sender_is_corrected() -> None:
    """With all three timestamps and no `timestamp`, the time is receivedAt - (sentAt - originalTimestamp)."""
    times = {
        "originalTimestamp": "2031-01-01T00:00:00Z",
        "sentAt": "2031-01-01T00:00:10Z",
        "receivedAt": "2025-03-10T12:00:00Z",
    }
    assert event(call(**times, timestamp=None)).time_ms == NOON_MS - 10_000


@pytest.mark.parametrize(
    "received", ["2025-06-01T08:00:01Z", "1969-01-01T00:00:00Z", None], ids=["late", "1969", "none"]
)
def test_an_explicit_timestamp_is_the_event_time(received: str | None) -> None:
    """`timestamp` is final, whatever the sender's and the receiver's clocks are: a backfill sets it years later."""
    clocks = {"originalTimestamp": "2025-06-01T08:00:00.1Z", "sentAt": "2025-06-01T08:00:01Z", "receivedAt": received}
    assert event(call(**clocks)).time_ms == NOON_MS + 250


def test_a_corrected_time_is_never_after_the_receipt() -> None:
    """A device that sends in 1970 what it saw in 2025 does not put the event into the year 2080."""
    times = {
        "originalTimestamp": "2025-03-10T11:00:00Z",
        "sentAt": "1970-01-01T00:00:10Z",
        "receivedAt": "2025-03-10T12:00:00Z",
    }
    assert event(call(**times, timestamp=None)).time_ms == NOON_MS


def test_clock_correction_needs_all_three() -> None:
    """Without the time of sending or of receipt, `originalTimestamp` is better than no time."""
    for present in ({}, {"sentAt": "2025-03-10T12:00:10Z"}, {"receivedAt": "2025-03-10T12:00:10Z"}):
        times = {"originalTimestamp": "2025-03-10T12:00:00Z", **present}
        assert event(call(**times, timestamp=None), (), NOON_MS + 60_000).time_ms == NOON_MS
    alone = {"sentAt": "2025-03-10T12:00:00Z", "receivedAt": "2025-03-10T12:00:00Z"}
    assert reason(call(**alone, timestamp=None)) == "no_time"


def test_record_time_replaces_a_missing_event_time() -> None:
    """An event without a time gets its record's; without either it is rejected."""
    assert event(call(timestamp=None), (), NOON_MS).time_ms == NOON_MS
    assert reason(call(timestamp=None)) == "no_time"


def test_record_without_a_timestamp_counts_from_its_receipt() -> None:
    """Kafka uses -1 for no timestamp: the time of receipt replaces it if it is known."""
    assert event(call(timestamp=None), (), -1, NOON_MS).time_ms == NOON_MS
    assert event(call(timestamp="2025-03-10T13:00:00Z"), (), -1, NOON_MS).time_ms == NOON_MS
    assert event(call(), (), -1).time_ms == NOON_MS + 250
    assert reason(call(timestamp=None), (), -1) == "no_time"


def test_time_far_in_the_future_is_clamped_to_the_record() -> None:
    """A time up to five minutes after the record's is accepted; a later one is replaced by the record's and marked."""
    record_ms = NOON_MS - 5 * MINUTE_MS + 250
    assert event(call(), (), record_ms).time_ms == NOON_MS + 250
    assert not event(call(), (), record_ms).clamped
    late = event(call(), (), record_ms - 1)
    assert (late.time_ms, late.clamped) == (record_ms - 1, True)
    year = event(call(timestamp="9999-12-31T23:59:59Z"), (), NOON_MS)
    assert (year.time_ms, year.clamped) == (NOON_MS, True)


def test_record_time_is_capped_at_receipt() -> None:
    """The time of receipt caps a record timestamp in the future."""
    day_ms = 24 * 60 * MINUTE_MS
    decoded = event(call(), (), NOON_MS + day_ms, NOON_MS - day_ms)
    assert (decoded.time_ms, decoded.clamped) == (NOON_MS - day_ms, True)
    decoded = event(call(timestamp=None), (), NOON_MS + day_ms, NOON_MS)
    assert (decoded.time_ms, decoded.clamped) == (NOON_MS, True)


def test_file_has_no_record_time_and_clamps_nothing() -> None:
    """Without a record timestamp the event's own time applies."""
    decoded = event(call(timestamp="2099-12-31T00:00:00Z"), (), None)
    assert not decoded.clamped
    assert reason(call(timestamp="2100-01-01T00:00:00Z")) == "bad_time"


def test_late_event_keeps_its_time() -> None:
    """Past times are never clamped, since old events may be replayed."""
    assert event(call(timestamp="1997-01-01T12:00:00Z"), (), NOON_MS).time_ms == 852_120_000_000


@pytest.mark.parametrize(
    "stated",
    [
        "2025-03-10T12:00:00Z",
        "2025-03-10T12:00:00.000Z",
        "2025-03-10T12:00:00.000000Z",
        "2025-03-10T12:00:00.0001Z",
        "2025-03-10t12:00:00z",
        "2025-03-10 12:00:00Z",
        "2025-03-10T13:30:00+01:30",
        "2025-03-10T13:30:00+0130",
        "2025-03-10T13:00:00+01",
        "2025-03-10T07:00:00-05:00",
        "2025-03-10T12:00:00-00:00",
        "2025-03-10T12:00:00",
        "2025-03-10T12:00Z",
        "2025-03-10 12:00:00 Z",
        "2025-03-10T11:59:60Z",
        1_741_608_000,
        1_741_608_000.0,
        1_741_608_000_000,
        1_741_608_000_000.4,
        "1741608000",
        "1741608000000",
    ],
)
def test_common_time_formats_are_read(stated: Any) -> None:
    """Common RFC 3339 variants and epoch seconds or milliseconds are read; a time without an offset is UTC."""
    assert event(call(timestamp=stated)).time_ms == NOON_MS


def test_date_is_midnight() -> None:
    """A date without a time is midnight in UTC."""
    assert event(call(timestamp="2025-03-10")).time_ms == NOON_MS - 12 * 60 * MINUTE_MS


@pytest.mark.parametrize(
    "stated",
    [
        "",
        "yesterday",
        "2025-02-29T00:00:00Z",
        "2025-13-01T00:00:00Z",
        "2025-03-10T24:00:00Z",
        "2025-03-10T12:60:00Z",
        "2025-03-10T12:00:00+24:00",
        "10/03/2025",
        "1989-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        0,
        -1,
        20250310,
        1_741_608_000_000_000,
        10**30,
        True,
        [2025, 3, 10],
        {"seconds": 1741608000},
    ],
)
def test_invalid_time_is_rejected(stated: Any) -> None:
    """An invalid time, or one outside 1990 to 2100, is rejected and not replaced by the record's time."""
    assert reason(call(timestamp=stated)) == "bad_time"
    assert reason(call(timestamp=stated), (), NOON_MS) == "bad_time"


def test_corrected_time_out_of_range_is_rejected() -> None:
    """If the sender's clock jumps decades between event and sending, no usable time is left."""
    times = {
        "originalTimestamp": "1970-01-01T00:00:00Z",
        "sentAt": "2025-03-10T12:00:00Z",
        "receivedAt": "2025-03-10T12:00:00Z",
    }
    assert reason(call(**times, timestamp=None)) == "bad_time"
    assert MIN_TIME_MS > 0


# Which id


def test_message_id_identifies_the_event() -> None:
    """Equal messageIds have equal hashes, whatever else differs; a number is its decimal string."""
    assert event(call()).id_hash == event(call(event="Other", userId="c-2")).id_hash != 0
    assert event(call()).id_hash != event(call(messageId="m-2")).id_hash
    assert event(call(messageId=5)).id_hash == event(call(messageId="5")).id_hash == event(call(messageId=5.0)).id_hash


@pytest.mark.parametrize("message", [None, ""])
def test_event_without_an_id_has_hash_zero(message: Any) -> None:
    """A missing or empty id has hash 0: the event is never a duplicate."""
    assert event(call(messageId=message)).id_hash == 0


@pytest.mark.parametrize("message", [True, [], {"id": 1}, 10**400])
def test_message_id_of_another_type_is_rejected(message: Any) -> None:
    """An id that cannot be compared is rejected, not treated as absent."""
    assert reason(call(messageId=message)) == "bad_id"


@pytest.mark.parametrize("group", [None, "", "g" * 257, False, 10**300])
def test_group_call_needs_a_usable_group_id(group: Any) -> None:
    """A group call names the account with an id of 1 to 256 bytes."""
    assert reason(call(type="group", groupId=group)) == "bad_id"


def test_previous_id_has_the_limits_of_a_customer_id() -> None:
    """previousId was a customer id, so the same limits apply."""
    assert reason(call(type="alias", previousId="")) == "bad_id"
    assert reason(call(type="alias", previousId="p" * 257)) == "bad_id"


def test_id_hashes_are_the_same_in_any_process() -> None:
    """Profiles store hashes, so every release and machine must compute the same ones."""
    assert event(call()).id_hash == 2_145_753_324_863_098_214
    assert event(call(messageId=None), CLOUD).id_hash == 9_508_816_887_282_526_876
    program = "import sys; from models.events.event import decode;print(decode(sys.argv[1].encode(), [], None).id_hash)"
    run = subprocess.run(
        [sys.executable, "-c", program, call().decode()], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(run.stdout) == event(call()).id_hash


# Envelopes


def structured(**changes: Any) -> bytes:
    envelope = {
        "specversion": "1.0",
        "source": "/shop",
        "id": "e-1",
        "type": "com.example.order",
        "data": CALL,
    } | changes
    return json.dumps({name: value for name, value in envelope.items() if value is not None}).encode()


def test_structured_cloud_event_holds_the_call_as_its_data() -> None:
    """A JSON object with `specversion` is a CloudEvent: its data is decoded like a plain call."""
    assert event(structured()) == event(call())


def test_binary_cloud_event_is_the_call_with_headers() -> None:
    """With `ce_` headers the value is the data."""
    assert event(call(), CLOUD) == event(call())


def test_cloud_event_is_identified_by_source_and_id_without_a_message_id() -> None:
    """Both modes give the same hash, each pair has its own, and messageId takes precedence."""
    data = {name: value for name, value in CALL.items() if name != "messageId"}
    by_cloud = event(structured(data=data)).id_hash
    assert by_cloud == event(call(messageId=None), CLOUD).id_hash
    assert by_cloud not in (0, event(call()).id_hash)
    assert by_cloud != event(structured(data=data, source="/shope", id="-1")).id_hash
    assert event(call(messageId="5 /shop e-1")).id_hash != by_cloud
    assert event(structured()).id_hash == event(call()).id_hash


def test_cloud_event_time_replaces_a_missing_timestamp() -> None:
    """The call's timestamp takes precedence over a CloudEvent's `time`, and that over the record's timestamp."""
    data = {name: value for name, value in CALL.items() if name != "timestamp"}
    assert event(structured(data=data, time="2025-03-10T12:00:00Z"), (), NOON_MS + MINUTE_MS).time_ms == NOON_MS
    headers = [*CLOUD, ("ce_time", b"2025-03-10T12:00:00Z")]
    assert event(call(timestamp=None), headers, NOON_MS + MINUTE_MS).time_ms == NOON_MS
    assert event(call(), headers).time_ms == NOON_MS + 250
    assert reason(structured(data=data, time="soon")) == "bad_time"


def test_data_in_base64_is_read() -> None:
    """A structured CloudEvent may encode its JSON data in base64."""
    assert event(structured(data=None, data_base64=b64encode(call()).decode())) == event(call())
    assert reason(structured(data=None, data_base64="%")) == "bad_envelope"


@pytest.mark.parametrize(
    "changes",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"source": None},
        {"data": None},
        {"data": "text"},
        {"data": [CALL]},
    ],
)
def test_invalid_cloud_event_is_rejected(changes: dict[str, Any]) -> None:
    """Version 1.x, source, id and an object as data are required."""
    assert reason(structured(**changes)) == "bad_envelope"


def test_binary_cloud_event_needs_its_headers() -> None:
    """Version, source and id are also required as headers; other headers do not make a CloudEvent."""
    for missing in range(3):
        assert reason(call(), [header for index, header in enumerate(CLOUD) if index != missing]) == "bad_envelope"
    assert reason(call(), [("ce_specversion", b"1.0"), ("ce_source", b"/a"), ("ce_id", None)]) == "bad_envelope"
    assert event(call(), [("traceparent", b"00-ab"), ("ce_type", b"x"), ("empty", None)]) == event(call())


def test_invalid_call_in_a_cloud_event_keeps_its_own_reason() -> None:
    """A rejection of the data has the reason of the call, not of the envelope."""
    assert reason(structured(data=CALL | {"type": "delete"})) == "unknown_type"
    assert reason(structured(data=CALL | {"userId": ""})) == "bad_customer"


def test_schema_registry_frame_is_skipped() -> None:
    """A zero byte and four bytes of schema id may precede the JSON text of a call or a CloudEvent."""
    assert event(b"\x00\x00\x00\x01\x07" + call()) == event(call())
    assert event(b"\x00\x00\x00\x00\x00" + structured()) == event(call())
    assert reason(b"\x00\x00\x00") == "not_json"
    assert reason(b"\x00\x00\x00\x00\x01\x02avro") == "not_json"


# Limits


@pytest.mark.parametrize("value", [None, b""])
def test_record_without_a_value_is_rejected(value: bytes | None) -> None:
    """A tombstone is not an event."""
    assert reason(value) == "empty"


@pytest.mark.parametrize(
    "value", [b"{", b"nonsense", b'{"a":NaN}', b"{} {}", b"\xff\xfe{", "\ufeff{}".encode(), b"'a'"]
)
def test_bytes_that_are_not_json_are_rejected(value: bytes) -> None:
    """A value is one JSON text in UTF-8, without a byte order mark and without trailing data."""
    assert reason(value) == "not_json"


@pytest.mark.parametrize("value", [b"[]", b"1", b"null", b'"x"', b"true", b"[{}]"])
def test_json_that_is_not_an_object_is_rejected(value: bytes) -> None:
    """A record holds one object; the sender splits batches."""
    assert reason(value) == "not_an_object"


def test_size_is_limited() -> None:
    """The limit counts the bytes of the JSON text."""
    padded = call(properties={"note": "x" * MAX_EVENT_BYTES})
    surplus = len(padded) - MAX_EVENT_BYTES
    assert event(call(properties={"note": "x" * (MAX_EVENT_BYTES - surplus)})).properties
    assert reason(call(properties={"note": "x" * (MAX_EVENT_BYTES - surplus + 1)})) == "too_large"


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("member", ["properties", "integrations"])
def test_depth_is_limited_in_every_member(member: str) -> None:
    """The depth limit applies to every member, read or not, so the result does not depend on the stack."""
    inside = MAX_DEPTH - 1
    assert event(call(**{member: {"x": nested(inside - 1)}}))
    assert reason(call(**{member: {"x": nested(inside)}})) == "too_deep"


def test_brackets_in_texts_do_not_count_as_depth() -> None:
    """Brackets inside strings and siblings in a list do not count as depth."""
    assert event(call(properties={"note": "[{" * 500 + '\\"[['})).properties["note"].startswith("[{")
    assert event(call(properties={"list": [{"x": [1]} for _ in range(500)]}))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 2000, 100_000])
def test_extreme_depth_is_rejected_without_recursion(depth: int) -> None:
    """Deep texts are rejected as too deep, closed or not, long before the stack is exhausted."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        value = opening * depth
        expected = "too_deep" if len(value) <= MAX_EVENT_BYTES else "too_large"
        assert reason(value) == expected
        assert reason(value + b"1" + closing * depth) in ("too_deep", "too_large")


def test_number_of_properties_is_limited() -> None:
    """An event has at most MAX_PROPERTIES properties."""
    assert event(call(properties={f"p{n}": n for n in range(MAX_PROPERTIES)}))
    assert reason(call(properties={f"p{n}": n for n in range(MAX_PROPERTIES + 1)})) == "too_many_properties"


def test_last_of_duplicate_members_applies() -> None:
    """JSON does not define duplicate names; the last one applies, whatever the types of the others."""
    assert event(b'{"type":"page","userId":"a","userId":"b","timestamp":1741608000}').customer == "b"
    assert event(b'{"type":"page","userId":true,"userId":"b","timestamp":1741608000}').customer == "b"


def test_careful_decoder_gives_the_same_event() -> None:
    """The careful decoder follows the same rules as the fast one."""
    plain = event(call(context={"active": False}, messageId="5"))
    assert event(call(context={"active": False}, messageId=5.0)) == plain
    unread = b'{"type":"page","userId":%s,"timestamp":1741608000,"context":{"x":1e999}}'
    assert event(unread % b"7") == event(unread % b"7.0")


def test_event_can_be_written_and_read_again() -> None:
    """An event can be encoded and decoded again."""
    decoded = event(call(type="group", groupId="g"))
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=Event) == decoded
