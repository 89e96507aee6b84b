"""CSV: fields from columns and constants, times, made IDs, and one sentence for each wrong mapping."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from models.events.event import Event, decode
from models.imports.csv_mapping import CsvMapping, MappingError
from models.imports.source import NoEvent

BASIC = ("userId=Customer", "event=Type", "timestamp=Date")
ROW = {"Customer": "c-1", "Type": "Order Completed", "Date": "2025-01-31", "Amount": "59,90", "Auto": "yes", "Id": ""}


def call_of(entries: Sequence[str], row: dict[str, Any] = ROW, line: int = 2, **options: Any) -> dict[str, Any]:
    outcome = CsvMapping(entries, options.get("formats", ()), options.get("zone", UTC)).convert(row, line)
    assert isinstance(outcome, list), outcome
    return outcome[0]


def test_columns_and_constants_fill_the_fields_of_a_call() -> None:
    nested = ("properties.revenue=Amount", "properties.quantity:=2", "properties.currency:=EUR", "context.active=Auto")
    call = call_of((*BASIC, *nested, "messageId=Id"))
    assert call["properties"] == {"revenue": "59,90", "quantity": 2, "currency": "EUR"}
    assert call["context"] == {"active": True}
    assert (call["type"], call["event"], call["timestamp"]) == ("track", "Order Completed", "2025-01-31T00:00:00Z")
    constant = call_of(("userId=Customer", "timestamp=Date", "type:=identify", "traits.plan=Type"))
    assert constant["traits"] == {"plan": "Order Completed"}


def test_an_id_is_exactly_as_sent_and_another_cell_is_stripped() -> None:
    call = call_of(BASIC, {**ROW, "Customer": " c-1", "Type": " Signed Up "})
    assert (call["userId"], call["event"]) == (" c-1", "Signed Up")


def test_a_made_id_is_the_same_for_the_same_row_and_no_other() -> None:
    ids = [call_of(BASIC, line=line)["messageId"] for line in (2, 2, 3)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("stated", "formats", "zone", "expected"),
    [
        ("31.01.2025 10:00", ["%d.%m.%Y", "%d.%m.%Y %H:%M"], "Europe/Berlin", "2025-01-31T09:00:00Z"),
        ("2025-07-31 10:00:00", [], "Europe/Berlin", "2025-07-31T08:00:00Z"),
        ("2025-07-31T10:00:00Z", [], "Europe/Berlin", "2025-07-31T10:00:00Z"),
        ("1738317600", [], "Europe/Berlin", "2025-01-31T10:00:00Z"),
        ("01/31/2025", ["%m/%d/%Y"], "UTC", "2025-01-31T00:00:00Z"),
        ("31.01.2025", [], "UTC", "bad_time"),
        ("2025-01-31", ["%d.%m.%Y"], "UTC", "bad_date"),
        ("", [], "UTC", "missing_time"),
    ],
)
def test_times_have_the_stated_forms(stated: str, formats: list[str], zone: str, expected: str) -> None:
    outcome = CsvMapping(BASIC, formats, ZoneInfo(zone)).convert({**ROW, "Date": stated}, 2)
    assert (outcome.reason if isinstance(outcome, NoEvent) else outcome[0]["timestamp"]) == expected


@pytest.mark.parametrize(
    ("changed", "reason"), [({"Customer": " "}, "missing_customer"), ({"Type": ""}, "missing_event_name")]
)
def test_a_row_without_customer_or_name_is_rejected(changed: dict[str, str], reason: str) -> None:
    assert CsvMapping(BASIC, (), UTC).convert({**ROW, **changed}, 2) == NoEvent(reason)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (("userId=Customer", "event=Type"), "No column is mapped to timestamp"),
        (("timestamp=Date", "event=Type"), "No column is mapped to userId or anonymousId"),
        (("userId=Customer", "timestamp=Date"), "Neither event nor type is mapped"),
        ((*BASIC, "event:=x"), "event is mapped twice"),
        ((*BASIC, "user=x"), "'user' is no field of an event"),
        ((*BASIC, "properties.=x"), "is no field of an event"),
        ((*BASIC, "nonsense"), "'nonsense' is no mapping"),
    ],
)
def test_a_wrong_mapping_is_named(entries: tuple[str, ...], message: str) -> None:
    with pytest.raises(MappingError, match=message):
        CsvMapping(entries, (), UTC)


def test_a_column_that_the_header_lacks_or_repeats_is_named() -> None:
    mapping = CsvMapping(BASIC, (), UTC)
    with pytest.raises(MappingError, match=r"no column 'Type'. Its columns: Customer, Date\."):
        mapping.check_header(["Customer", "Date"])
    with pytest.raises(MappingError, match="'Date' more than once"):
        mapping.check_header(["Customer", "Date", "Type", "Date"])


def test_the_decoder_accepts_the_call() -> None:
    event = decode(orjson.dumps(call_of((*BASIC, "properties.revenue=Amount"))), (), None)
    assert isinstance(event, Event)
    assert event.customer == "c-1"
