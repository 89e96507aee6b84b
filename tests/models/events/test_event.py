"""Scenarios of decoding: each test's docstring is the rule that it holds."""

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
    """The call above with members changed; None takes one out."""
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
    """The other types are named by the type; `name` and `event` of a page do not matter."""
    decoded = event(call(type=kind, name="Pricing"))
    assert decoded.name == kind
    assert decoded.properties == {"revenue": 19.9}


def test_identify_and_group_carry_their_traits() -> None:
    """identify and group have traits in place of properties, and a group call names the account."""
    assert event(call(type="identify", traits={"plan": "pro"})).properties == {"plan": "pro"}
    decoded = event(call(type="group", groupId=77, traits={"seats": 5}))
    assert (decoded.name, decoded.group, decoded.properties) == ("group", "77", {"seats": 5})


def test_alias_carries_the_previous_id() -> None:
    """An alias has the id that its customer had before as its only property, in the canonical form of ids."""
    assert event(call(type="alias", previousId=12)).properties == {"previousId": "12"}
    assert event(call(type="alias")).properties == {}


def test_unknown_event_name_is_valid() -> None:
    """Whatever a track call is named, it is something that a customer did."""
    assert event(call(event="Gärtnerei besucht 🌱")).name == "Gärtnerei besucht 🌱"


def test_long_event_name_is_cut() -> None:
    """A name over the cap is cut, not refused: it is still an activity."""
    assert event(call(event="n" * 5000)).name == "n" * MAX_NAME_CHARS


@pytest.mark.parametrize("name", [None, "", 7, ["Order Completed"]])
def test_track_call_needs_a_name(name: Any) -> None:
    """A track call without a text that is not empty in `event` is refused."""
    assert reason(call(event=name)) == "missing_event_name"


@pytest.mark.parametrize("kind", [None, "", "Track", "delete", "batch", 3, {}])
def test_type_is_one_of_six(kind: Any) -> None:
    """A missing or unknown type is refused, and so is one in another case."""
    assert reason(call(type=kind)) == "unknown_type"


def test_missing_properties_are_empty() -> None:
    """No properties, or null, read as none."""
    assert event(call(properties=None)).properties == {}
    assert event(b'{"type":"page","userId":"a","timestamp":1741608000,"properties":null}').properties == {}


@pytest.mark.parametrize("field", ["properties", "traits", "context"])
@pytest.mark.parametrize("value", [[], "text", 5, True])
def test_properties_traits_and_context_are_objects(field: str, value: Any) -> None:
    """Properties, traits and context of another JSON type are refused with the field's name in the message."""
    decoded = decode(call(**{field: value}), [], None)
    assert isinstance(decoded, Rejected)
    assert decoded.reason == "bad_properties"
    assert decoded.message.startswith(field)


def test_property_values_of_odd_types_are_kept() -> None:
    """What a property holds is its reader's business."""
    odd = {"revenue": ["x"], "plan": {"a": {"b": None}}, "n": 10**30, "t": True}
    assert event(call(properties=odd)).properties == odd


def test_number_that_no_double_holds_is_refused() -> None:
    """1e999 is JSON, but no number that could be written again."""
    assert reason(b'{"type":"page","userId":"a","timestamp":1741608000,"properties":{"x":1e999}}') == "bad_properties"


def test_number_out_of_range_in_an_unread_member_does_not_matter() -> None:
    """Members that are not read are skipped, whatever they hold."""
    assert event(b'{"type":"page","userId":"a","timestamp":1741608000,"integrations":{"x":1e999},"time":1e999}')


# Who


def test_user_id_goes_before_anonymous_id() -> None:
    """The customer is userId, else anonymousId; null counts as absent."""
    assert event(call(anonymousId="v-1")).customer == "c-1"
    assert event(call(userId=None, anonymousId="v-1")).customer == "v-1"
    assert event(b'{"type":"page","userId":null,"anonymousId":"v","timestamp":1741608000}').customer == "v"
    assert reason(call(userId=None)) == "missing_customer"


@pytest.mark.parametrize(
    ("literal", "customer"),
    [
        ("7", "7"),
        ("-7", "-7"),
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
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
    """A number is the decimal string that it denotes: no exponent, no trailing zeros, no loss of digits."""
    assert event(f'{{"type":"page","userId":{literal},"timestamp":1741608000}}'.encode()).customer == customer


@pytest.mark.parametrize(
    "literal", ["true", "false", "[]", "{}", '""', "1" * 300, "1" * 5000, "1e300", "1e99999999999"]
)
def test_customer_id_of_another_kind_is_refused(literal: str) -> None:
    """An id is a text or a number of reasonable length; an empty userId is wrong, not absent."""
    value = f'{{"type":"page","userId":{literal},"anonymousId":"v","timestamp":1741608000}}'.encode()
    assert reason(value) == "bad_customer"


def test_customer_id_is_limited_in_bytes() -> None:
    """256 bytes in UTF-8 are the most, however many characters they are."""
    assert event(call(userId="a" * 256)).customer == "a" * 256
    assert reason(call(userId="a" * 257)) == "bad_customer"
    assert event(call(userId="🌱" * 64)).customer == "🌱" * 64
    assert reason(call(userId="🌱" * 65)) == "bad_customer"


def test_customer_id_is_kept_exactly() -> None:
    """No trimming, no folding: blanks, case and control characters make different customers."""
    assert event(call(userId=" A\u0000b ")).customer == " A\x00b "


def test_lone_surrogate_is_not_json() -> None:
    """Half a surrogate pair is no character, and could not be written anywhere."""
    assert reason(b'{"type":"page","userId":"\\ud800","timestamp":1741608000}') == "not_json"


def test_automated_use_is_marked() -> None:
    """`context.active` false or `properties.automated` true mark what was not done by hand; nothing else does."""
    assert event(call(context={"active": False, "ip": "::1"})).automated
    assert event(call(properties={"automated": True})).automated
    for untouched in ({"active": True}, {"active": None}, {"active": 0}, {"active": "false"}, {}):
        assert not event(call(context=untouched, properties={"automated": "true"})).automated


# When


def test_clock_of_the_sender_is_corrected() -> None:
    """With all three timestamps the time is receivedAt - (sentAt - originalTimestamp), whatever `timestamp` says."""
    times = {
        "originalTimestamp": "2031-01-01T00:00:00Z",
        "sentAt": "2031-01-01T00:00:10Z",
        "receivedAt": "2025-03-10T12:00:00Z",
    }
    assert event(call(**times)).time_ms == NOON_MS - 10_000
    assert event(call(**times, timestamp=None)).time_ms == NOON_MS - 10_000


@pytest.mark.parametrize("missing", ["originalTimestamp", "sentAt", "receivedAt"])
def test_clock_correction_needs_all_three(missing: str) -> None:
    """With one of the three missing, `timestamp` counts."""
    times = dict.fromkeys(("originalTimestamp", "sentAt", "receivedAt"), "2024-01-01T00:00:00Z")
    assert event(call(**(times | {missing: None}))).time_ms == NOON_MS + 250


def test_record_time_stands_in_for_a_missing_one() -> None:
    """Without a time of its own an event has its record's; without either it is refused."""
    assert event(call(timestamp=None), (), NOON_MS).time_ms == NOON_MS
    assert reason(call(timestamp=None)) == "no_time"


def test_record_without_a_timestamp_counts_from_its_receipt() -> None:
    """Kafka gives -1 for no timestamp: the receipt stands in for it, and nothing does when that is unknown."""
    assert event(call(timestamp=None), (), -1, NOON_MS).time_ms == NOON_MS
    assert event(call(timestamp="2025-03-10T13:00:00Z"), (), -1, NOON_MS).time_ms == NOON_MS
    assert event(call(), (), -1).time_ms == NOON_MS + 250
    assert reason(call(timestamp=None), (), -1) == "no_time"


def test_time_far_in_the_future_is_clamped_to_the_record() -> None:
    """Up to five minutes past its record a time is believed; beyond, it is the record's and marked."""
    record_ms = NOON_MS - 5 * MINUTE_MS + 250
    assert event(call(), (), record_ms).time_ms == NOON_MS + 250
    assert not event(call(), (), record_ms).clamped
    late = event(call(), (), record_ms - 1)
    assert (late.time_ms, late.clamped) == (record_ms - 1, True)
    year = event(call(timestamp="9999-12-31T23:59:59Z"), (), NOON_MS)
    assert (year.time_ms, year.clamped) == (NOON_MS, True)


def test_record_time_is_capped_at_receipt() -> None:
    """A record stamped in the future proves nothing: the receipt does."""
    day_ms = 24 * 60 * MINUTE_MS
    decoded = event(call(), (), NOON_MS + day_ms, NOON_MS - day_ms)
    assert (decoded.time_ms, decoded.clamped) == (NOON_MS - day_ms, True)
    decoded = event(call(timestamp=None), (), NOON_MS + day_ms, NOON_MS)
    assert (decoded.time_ms, decoded.clamped) == (NOON_MS, True)


def test_file_has_no_record_time_and_clamps_nothing() -> None:
    """Without a record's timestamp the event's own time stands for it."""
    decoded = event(call(timestamp="2099-12-31T00:00:00Z"), (), None)
    assert not decoded.clamped
    assert reason(call(timestamp="2100-01-01T00:00:00Z")) == "bad_time"


def test_late_event_keeps_its_time() -> None:
    """The past is never clamped: events may be replayed from long ago."""
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
def test_times_of_the_usual_forms_are_read(stated: Any) -> None:
    """RFC 3339 in every usual spelling and epoch numbers in seconds or milliseconds; without an offset it is UTC."""
    assert event(call(timestamp=stated)).time_ms == NOON_MS


def test_date_is_its_first_moment() -> None:
    """A date alone is midnight in UTC."""
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
def test_time_without_one_meaning_is_refused(stated: Any) -> None:
    """What is no time, or lies outside 1990 to 2100, is refused rather than replaced by the record's time."""
    assert reason(call(timestamp=stated)) == "bad_time"
    assert reason(call(timestamp=stated), (), NOON_MS) == "bad_time"


def test_corrected_time_out_of_range_is_refused() -> None:
    """A clock that was set decades forward between event and sending leaves no usable time."""
    times = {
        "originalTimestamp": "1970-01-01T00:00:00Z",
        "sentAt": "2025-03-10T12:00:00Z",
        "receivedAt": "2025-03-10T12:00:00Z",
    }
    assert reason(call(**times)) == "bad_time"
    assert MIN_TIME_MS > 0


# Which one


def test_message_id_identifies_the_event() -> None:
    """The same messageId has the same hash whatever else differs; a number is its decimal string."""
    assert event(call()).id_hash == event(call(event="Other", userId="c-2")).id_hash != 0
    assert event(call()).id_hash != event(call(messageId="m-2")).id_hash
    assert event(call(messageId=5)).id_hash == event(call(messageId="5")).id_hash == event(call(messageId=5.0)).id_hash


@pytest.mark.parametrize("message", [None, ""])
def test_event_without_an_id_has_hash_zero(message: Any) -> None:
    """No id, or an empty one, is 0: such an event is never a duplicate."""
    assert event(call(messageId=message)).id_hash == 0


@pytest.mark.parametrize("message", [True, [], {"id": 1}, 10**400])
def test_id_of_another_kind_is_refused(message: Any) -> None:
    """An id that cannot be compared must not pass for none."""
    assert reason(call(messageId=message)) == "bad_id"


@pytest.mark.parametrize("group", [None, "", "g" * 257, False, 10**300])
def test_group_call_needs_a_usable_group_id(group: Any) -> None:
    """A group call says which account: 1 to 256 bytes, as of a customer."""
    assert reason(call(type="group", groupId=group)) == "bad_id"


def test_previous_id_has_the_limits_of_a_customer_id() -> None:
    """The id that an alias replaces was a customer's."""
    assert reason(call(type="alias", previousId="")) == "bad_id"
    assert reason(call(type="alias", previousId="p" * 257)) == "bad_id"


def test_id_hashes_are_the_same_in_any_process() -> None:
    """Profiles remember hashes: a new release or another machine must find them again."""
    assert event(call()).id_hash == 2_145_753_324_863_098_214
    assert event(call(messageId=None), CLOUD).id_hash == 9_508_816_887_282_526_876
    program = "import sys; from models.events.event import decode;print(decode(sys.argv[1].encode(), [], None).id_hash)"
    run = subprocess.run(
        [sys.executable, "-c", program, call().decode()], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(run.stdout) == event(call()).id_hash


# Envelopes


def structured(**changes: Any) -> bytes:
    outside = {
        "specversion": "1.0",
        "source": "/shop",
        "id": "e-1",
        "type": "com.example.order",
        "data": CALL,
    } | changes
    return json.dumps({name: value for name, value in outside.items() if value is not None}).encode()


def test_structured_cloud_event_holds_the_call_as_its_data() -> None:
    """A JSON object with `specversion` is a CloudEvent: its data is read as if it had come alone."""
    assert event(structured()) == event(call())


def test_binary_cloud_event_is_the_call_with_headers() -> None:
    """With `ce_` headers the value is the data."""
    assert event(call(), CLOUD) == event(call())


def test_cloud_event_is_identified_by_source_and_id_without_a_message_id() -> None:
    """Both modes give the same identity, no two pairs share one, and messageId goes before it."""
    data = {name: value for name, value in CALL.items() if name != "messageId"}
    by_cloud = event(structured(data=data)).id_hash
    assert by_cloud == event(call(messageId=None), CLOUD).id_hash
    assert by_cloud not in (0, event(call()).id_hash)
    assert by_cloud != event(structured(data=data, source="/shope", id="-1")).id_hash
    assert event(call(messageId="5 /shop e-1")).id_hash != by_cloud
    assert event(structured()).id_hash == event(call()).id_hash


def test_cloud_event_time_stands_in_for_a_missing_timestamp() -> None:
    """`time` of a CloudEvent goes before the record's timestamp, and after the call's own."""
    data = {name: value for name, value in CALL.items() if name != "timestamp"}
    assert event(structured(data=data, time="2025-03-10T12:00:00Z"), (), NOON_MS + MINUTE_MS).time_ms == NOON_MS
    headers = [*CLOUD, ("ce_time", b"2025-03-10T12:00:00Z")]
    assert event(call(timestamp=None), headers, NOON_MS + MINUTE_MS).time_ms == NOON_MS
    assert event(call(), headers).time_ms == NOON_MS + 250
    assert reason(structured(data=data, time="soon")) == "bad_time"


def test_data_in_base64_is_read() -> None:
    """A structured CloudEvent may carry its data as base64 of the JSON text."""
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
def test_cloud_event_that_breaks_its_specification_is_refused(changes: dict[str, Any]) -> None:
    """Version 1.x, source, id and an object as data are required."""
    assert reason(structured(**changes)) == "bad_envelope"


def test_binary_cloud_event_needs_its_headers() -> None:
    """Version, source and id are required in headers too; headers of other kinds make no CloudEvent."""
    for missing in range(3):
        assert reason(call(), [header for place, header in enumerate(CLOUD) if place != missing]) == "bad_envelope"
    assert reason(call(), [("ce_specversion", b"1.0"), ("ce_source", b"/a"), ("ce_id", None)]) == "bad_envelope"
    assert event(call(), [("traceparent", b"00-ab"), ("ce_type", b"x"), ("empty", None)]) == event(call())


def test_refusal_inside_a_cloud_event_is_the_call_s_own() -> None:
    """What is wrong with the data is said in the data's terms."""
    assert reason(structured(data=CALL | {"type": "delete"})) == "unknown_type"
    assert reason(structured(data=CALL | {"userId": ""})) == "bad_customer"


def test_schema_registry_frame_is_skipped() -> None:
    """A zero byte and four bytes of schema id may stand before the JSON text, and before a CloudEvent."""
    assert event(b"\x00\x00\x00\x01\x07" + call()) == event(call())
    assert event(b"\x00\x00\x00\x00\x00" + structured()) == event(call())
    assert reason(b"\x00\x00\x00") == "not_json"
    assert reason(b"\x00\x00\x00\x00\x01\x02avro") == "not_json"


# Limits


@pytest.mark.parametrize("value", [None, b""])
def test_record_without_a_value_is_refused(value: bytes | None) -> None:
    """A tombstone is no event."""
    assert reason(value) == "empty"


@pytest.mark.parametrize(
    "value", [b"{", b"nonsense", b'{"a":NaN}', b"{} {}", b"\xff\xfe{", "\ufeff{}".encode(), b"'a'"]
)
def test_bytes_that_are_no_json_are_refused(value: bytes) -> None:
    """One JSON text in UTF-8 without a byte order mark, and nothing after it."""
    assert reason(value) == "not_json"


@pytest.mark.parametrize("value", [b"[]", b"1", b"null", b'"x"', b"true", b"[{}]"])
def test_json_that_is_no_object_is_refused(value: bytes) -> None:
    """A record holds one object; batches are split by their sender."""
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
def test_depth_is_limited_wherever_it_is(member: str) -> None:
    """Depth counts in every member, read or not, so that the answer never hangs on the decoder's stack."""
    inside = MAX_DEPTH - 1
    assert event(call(**{member: {"x": nested(inside - 1)}}))
    assert reason(call(**{member: {"x": nested(inside)}})) == "too_deep"


def test_brackets_in_texts_are_no_depth() -> None:
    """Only what nests counts."""
    assert event(call(properties={"note": "[{" * 500 + '\\"[['})).properties["note"].startswith("[{")
    assert event(call(properties={"list": [{"x": [1]} for _ in range(500)]}))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 500, 2000, 100_000])
def test_hopeless_depth_is_refused_alike(depth: int) -> None:
    """Deep texts are refused as too deep, closed or not, long before any stack ends."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        value = opening * depth
        expected = "too_deep" if len(value) <= MAX_EVENT_BYTES else "too_large"
        assert reason(value) == expected
        assert reason(value + b"1" + closing * depth) in ("too_deep", "too_large")


def test_number_of_properties_is_limited() -> None:
    """A thousand names are a document, not an event."""
    assert event(call(properties={f"p{n}": n for n in range(MAX_PROPERTIES)}))
    assert reason(call(properties={f"p{n}": n for n in range(MAX_PROPERTIES + 1)})) == "too_many_properties"


def test_last_of_duplicate_members_counts() -> None:
    """JSON leaves duplicate names open; here the last one counts, whatever type the others have."""
    assert event(b'{"type":"page","userId":"a","userId":"b","timestamp":1741608000}').customer == "b"
    assert event(b'{"type":"page","userId":true,"userId":"b","timestamp":1741608000}').customer == "b"


def test_same_answer_with_unusual_types_elsewhere() -> None:
    """A call that needs the careful reader is read by the same rules as any other."""
    plain = event(call(context={"active": False}, messageId="5"))
    assert event(call(context={"active": False}, messageId=5.0)) == plain
    unread = b'{"type":"page","userId":%s,"timestamp":1741608000,"context":{"x":1e999}}'
    assert event(unread % b"7") == event(unread % b"7.0")


def test_event_can_be_written_and_read_again() -> None:
    """An event is plain data."""
    decoded = event(call(type="group", groupId="g"))
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=Event) == decoded
