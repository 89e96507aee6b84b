"""Turn the rows of an export into lines of the event format, and count what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import orjson

from models.events.event import decode
from models.events.rejection import Rejected
from models.imports.import_report import ImportReport
from models.imports.plan_changes import PlanChanges
from models.imports.source import Mapped, NoEvent, NumberedRow, Row

_PRICED: Final = b'"mrr"'


def converted(
    rows: Iterable[NumberedRow],
    convert: Callable[[Row, int], Mapped],
    event_name: Callable[[Row], str],
    report: ImportReport,
    renames: Mapping[str, str],
    customer_ids: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Yield one line per event, in the order of the rows.

    Args:
        rows: The rows with their lines.
        convert: Returns the calls of a row.
        event_name: Returns the source's own name of a row's event.
        report: Counts what becomes of the rows.
        renames: The user's names of events, by the source's or the event's name.
        customer_ids: Customer IDs by the source's; a user that it does not have is rejected.
    """
    for line, row in rows:
        report.rows += 1
        mapped = NoEvent(row) if isinstance(row, str) else convert(row, line)
        if isinstance(mapped, NoEvent):
            report.add_without_event(mapped.reason, line)
            continue
        name = event_name(row) if isinstance(row, dict) else ""
        for call in mapped:
            _rename(call, name, renames)
            if customer_ids is not None and not _identify(call, customer_ids):
                report.add_without_event("unknown_customer", line)
                continue
            value = orjson.dumps(call)
            event = decode(value, (), None)
            if isinstance(event, Rejected):
                report.add_without_event(event.reason, line)
                continue
            report.add_event(event, name or event.name)
            yield value


def _rename(call: Row, name: str, renames: Mapping[str, str]) -> None:
    chosen = renames.get(name) or renames.get(call.get("event", ""))
    if chosen is not None:
        call["type"], call["event"] = "track", chosen
        call.pop("context", None)


def _identify(call: Row, customer_ids: Mapping[str, str]) -> bool:
    """Replace the source's ID of a user. A visitor has none."""
    if "userId" not in call:
        return True
    known = customer_ids.get(str(call["userId"]))
    if known is not None:
        call["userId"] = known
    return known is not None


def with_plan_changes(lines: Iterable[bytes], report: ImportReport) -> Iterator[bytes]:
    """Name the updates of subscriptions by their change of price. The lines must be in order of time."""
    changes = PlanChanges()
    for line in lines:
        if _PRICED not in line:
            yield line
            continue
        call = orjson.loads(line)
        resolved = changes.resolved(call)
        if resolved is call:
            yield line
        else:
            report.rename_one(call["event"], resolved["event"])
            yield orjson.dumps(resolved)


__all__ = ["converted", "with_plan_changes"]
