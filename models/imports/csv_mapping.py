"""Turn a row of a CSV file into a call, by a mapping from columns to fields of the event format."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

import msgspec
from xxhash import xxh3_64_hexdigest

from models.imports.calls import identifier, timestamp_of
from models.imports.source import Mapped, NoEvent, Row

TARGETS: Final = ("type", "event", "userId", "anonymousId", "messageId", "timestamp", "groupId", "previousId")
"""Fields of a call that a column can fill. `properties.NAME`, `traits.NAME` and `context.active` besides."""

_NESTED: Final = ("properties", "traits", "context")
_IDS: Final = ("userId", "anonymousId", "groupId", "previousId", "messageId")
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class MappingError(ValueError):
    """The mapping is wrong. The message is a sentence that names the field or the column."""


class _Entry(msgspec.Struct, frozen=True):
    target: str
    column: str
    """Empty for a constant."""
    constant: object = None


class CsvMapping:
    """How to read the rows of one CSV file.

    Args:
        entries: `FIELD=COLUMN`, or `FIELD:=CONSTANT`.
        date_formats: Forms of the time that `strptime` understands, tried in order; none for RFC 3339 and epoch
            numbers.
        zone: The time zone of times that state none.

    Raises:
        MappingError: an entry is wrong, or the event's name, customer or time is not mapped.

    >>> from datetime import UTC
    >>> mapping = CsvMapping(["userId=Customer", "event:=Order Completed", "timestamp=Day"], ["%d.%m.%Y"], UTC)
    >>> mapping.convert({"Customer": "c-1", "Day": "31.01.2025"}, 2)[0]["timestamp"]
    '2025-01-31T00:00:00Z'
    """

    def __init__(self, entries: Sequence[str], date_formats: Sequence[str], zone: tzinfo) -> None:
        self._entries = [_parsed(entry) for entry in entries]
        self._date_formats, self._zone = tuple(date_formats), zone
        targets = [entry.target for entry in self._entries]
        if twice := next((target for target in targets if targets.count(target) > 1), None):
            raise MappingError(f"{twice} is mapped twice.")
        if not {"userId", "anonymousId"} & set(targets):
            raise MappingError("No column is mapped to userId or anonymousId: an event needs its customer.")
        if "timestamp" not in targets:
            raise MappingError("No column is mapped to timestamp: an event needs its time.")
        if not {"event", "type"} & set(targets):
            raise MappingError("Neither event nor type is mapped. Map a column, or a constant: event:=Order Completed.")

    def check_header(self, header: Sequence[str]) -> None:
        """Check that the header has every mapped column once.

        Raises:
            MappingError: it does not; the message names the column.
        """
        for entry in self._entries:
            if entry.column and entry.column not in header:
                columns = ", ".join(header[:40])
                raise MappingError(f"The header has no column {entry.column!r}. Its columns: {columns}.")
            if entry.column and header.count(entry.column) > 1:
                raise MappingError(f"The header has the column {entry.column!r} more than once.")

    def event_name(self, row: Row) -> str:
        """Return the cell that names the event, "" where a constant does."""
        column = next((entry.column for entry in self._entries if entry.target == "event"), "")
        return str(row.get(column, "")).strip()

    def convert(self, row: Row, number: int) -> Mapped:
        """Return the call of a row.

        Args:
            row: Cells by column.
            number: The row's place in the file. It is part of the made `messageId` if none is mapped.
        """
        call: Row = {}
        for entry in self._entries:
            value = row[entry.column] if entry.column else entry.constant
            if isinstance(value, str) and entry.column:
                if not value.strip() or (entry.target in _IDS and identifier(value) is None):
                    continue
                if entry.target not in _IDS:  # an ID is exactly as sent
                    value = value.strip()
            _put(call, entry.target, value)
        if "userId" not in call and "anonymousId" not in call:
            return NoEvent("missing_customer")
        call.setdefault("type", "track")
        if call["type"] == "track" and not call.get("event"):
            return NoEvent("missing_event_name")
        timestamp = self._timestamp(call.get("timestamp"))
        if isinstance(timestamp, NoEvent):
            return timestamp
        call["timestamp"] = timestamp
        if "messageId" not in call:
            call["messageId"] = "csv-" + xxh3_64_hexdigest(msgspec.json.encode([number, call]))
        return [call]

    def _timestamp(self, stated: object) -> str | NoEvent:
        if not isinstance(stated, str):
            return timestamp_of(stated)
        found = _read(stated, self._date_formats)
        if found is None:
            return NoEvent("bad_date") if self._date_formats else timestamp_of(stated)
        return timestamp_of((found if found.tzinfo else found.replace(tzinfo=self._zone)).isoformat())


def _read(stated: str, date_formats: Sequence[str]) -> datetime | None:
    for form in date_formats:
        try:
            return datetime.strptime(stated, form)
        except ValueError:
            continue
    if date_formats:
        return None
    try:
        return None if stated.isdigit() else datetime.fromisoformat(stated)
    except ValueError:
        return None


def _parsed(entry: str) -> _Entry:
    target, separator, column = entry.partition("=")
    if not separator or not target or not column:
        raise MappingError(f"{entry!r} is no mapping. Write FIELD=COLUMN, or FIELD:=CONSTANT.")
    constant = target.endswith(":")
    target = target.removesuffix(":").strip()
    outer, _, inner = target.partition(".")
    if target not in TARGETS and not (outer in _NESTED and inner):
        fields = ", ".join((*TARGETS, "properties.NAME", "traits.NAME", "context.active"))
        raise MappingError(f"{target!r} is no field of an event. The fields: {fields}.")
    if not constant:
        return _Entry(target, column)
    return _Entry(target, "", _constant(column) if outer in _NESTED else column)


def _constant(text: str) -> object:
    """Read a number or a boolean as such; anything else is a text."""
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _put(call: Row, target: str, value: object) -> None:
    outer, _, inner = target.partition(".")
    if not inner:
        call[target] = value
        return
    if outer == "context":
        value = _TRUTHS.get(value.lower(), value) if isinstance(value, str) else value
    call.setdefault(outer, {})[inner] = value


__all__ = ["TARGETS", "CsvMapping", "MappingError"]
