"""What an import source is: a function from a row of an export to calls, and the names that it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

Row = dict[str, Any]
"""One decoded row of an export: a JSON object, or the cells of a CSV record by column."""

REJECTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_json": "The line is not JSON.",
        "not_an_object": "The row is not a JSON object.",
        "unknown_row": "The row does not have the fields of this source. Check --from.",
        "missing_customer": "The row names no customer. An ID is never made up.",
        "missing_event_name": "The row names no event.",
        "missing_time": "The row has no time.",
        "bad_time": "The time cannot be read, or is not between 1990 and 2100.",
        "wrong_columns": "The row has another number of columns than the header.",
        "unknown_customer": "The customer is not in the file of --customer-ids.",
        "bad_date": "The time has none of the forms of --date-format.",
    }
)
"""Rows that state something and cannot be used, with what is wrong. The event decoder adds its own reasons."""

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_about_a_customer": "Products, prices, payouts and other objects without a customer.",
        "nothing_changed": "An update that changes neither price, status nor cancellation.",
        "no_money_moved": "An invoice of 0, or a payment that is still pending.",
        "reported_elsewhere": "Another row of the export reports the same fact.",
        "not_started": "A subscription that has not started yet.",
    }
)
"""Rows that rightly become no event, with the reason."""


class NoEvent(NamedTuple):
    """The outcome for a row without an event."""

    reason: str
    """A key of REJECTED or LEFT_OUT."""

    @property
    def is_rejection(self) -> bool:
        """Whether the row states something that is lost."""
        return self.reason not in LEFT_OUT


Mapped = list[Row] | NoEvent
"""The calls of a row, at least one; or why there is none."""


NumberedRow = tuple[int, Row | str]
"""Line of the export, and its row; a reason of REJECTED where the line has none."""


class NameMapping(NamedTuple):
    """One line of a source's table of names: what becomes of the source's event."""

    source_name: str
    event: str
    note: str = ""


class FieldMapping(NamedTuple):
    """One line of a source's table of fields."""

    source_field: str
    field: str


class ImportSource(NamedTuple):
    """A product whose exports can be imported."""

    name: str
    """As `--from` takes it."""
    title: str
    convert: Callable[[Row], Mapped]
    event_name: Callable[[Row], str]
    """The source's own name of the row's event, for the report; "" if it has none."""
    names: tuple[NameMapping, ...]
    fields: tuple[FieldMapping, ...]
    wrappers: tuple[str, ...] = ()
    """Keys under which a page of an API's answer has its rows."""
    prepare: Callable[[Iterable[NumberedRow]], Iterator[NumberedRow]] | None = None
    """Completes rows from other rows of the export. Their order is free, because the events are sorted."""
    unwrap: str = ""
    """The key of each element of a page that has the row; "" if the element is the row."""


__all__ = [
    "LEFT_OUT",
    "REJECTED",
    "FieldMapping",
    "ImportSource",
    "Mapped",
    "NameMapping",
    "NoEvent",
    "NumberedRow",
    "Row",
]
