"""The outcomes of an import: counts, customers, time span, and rows without an event by reason."""

from __future__ import annotations

from collections import Counter
from typing import Final

from xxhash import xxh3_64_intdigest

from models.events.event import Event
from models.events.rejection import REASONS
from models.imports.source import LEFT_OUT, REJECTED

MAX_NAMES: Final = 10_000
"""Pairs of names that are counted one by one. A name that contains an ID would otherwise fill the memory."""

OTHER_NAMES: Final = ("other names", "")


def reason_sentence(reason: str) -> str:
    """Return what is wrong with the rows of a reason, of the import or of the event format."""
    return REJECTED.get(reason) or LEFT_OUT.get(reason) or REASONS[reason]


class ReasonLines:
    """How many rows have a reason, and the first line."""

    __slots__ = ("first_line", "rows")

    def __init__(self, first_line: int) -> None:
        self.rows, self.first_line = 0, first_line


class ImportReport:
    """Counts rows and events while they pass.

    Attributes:
        rows: Rows of the export.
        events: Events made of them.
        first_ms: Earliest event time, 0 without events.
        last_ms: Latest event time.
        rejected: Rows that state something and could not be used, by reason.
        left_out: Rows that rightly become no event, by reason.
        names: Events by the source's name and the event's name.
    """

    def __init__(self) -> None:
        self.rows = self.events = self.first_ms = self.last_ms = 0
        self.rejected: dict[str, ReasonLines] = {}
        self.left_out: dict[str, ReasonLines] = {}
        self.names: Counter[tuple[str, str]] = Counter()
        self._customers: set[int] = set()

    @property
    def customers(self) -> int:
        """Number of different customers."""
        return len(self._customers)

    @property
    def rejected_rows(self) -> int:
        """Number of rejected rows."""
        return sum(found.rows for found in self.rejected.values())

    def add_without_event(self, reason: str, line: int) -> None:
        """Count a row without an event."""
        lines = self.left_out if reason in LEFT_OUT else self.rejected
        lines.setdefault(reason, ReasonLines(line)).rows += 1

    def add_event(self, event: Event, source_name: str) -> None:
        """Count an event, by the name that it has in the source."""
        self.first_ms = min(self.first_ms, event.time_ms) if self.events else event.time_ms
        self.last_ms = max(self.last_ms, event.time_ms)
        self.events += 1
        self._customers.add(xxh3_64_intdigest(event.customer.encode("utf-8", "replace")))
        names = (source_name, event.name)
        self.names[names if names in self.names or len(self.names) < MAX_NAMES else OTHER_NAMES] += 1

    def rename_one(self, before: str, event: str) -> None:
        """Count an event that was added as `before` by its final name."""
        for source_name, name in self.names:
            if name == before and self.names[source_name, name]:
                self.names[source_name, name] -= 1
                self.names[source_name, event] += 1
                return


__all__ = ["MAX_NAMES", "OTHER_NAMES", "ImportReport", "ReasonLines", "reason_sentence"]
