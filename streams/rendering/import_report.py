"""Render the report of an import as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from models.duration import rfc3339
from streams.rendering.formats import count_text, minute_text
from streams.rendering.terminal import printable

if TYPE_CHECKING:
    from models.imports.import_report import ImportReport, ReasonLines

_NAMES_SHOWN: Final = 30


def import_lines(report: ImportReport) -> Iterator[str]:
    """Yield the lines of the report."""
    counts = (
        count_text(report.rows, "row"),
        count_text(report.events, "event"),
        count_text(report.customers, "customer"),
    )
    yield ", ".join(counts)
    if report.events:
        first, last = (minute_text(rfc3339(at)) for at in (report.first_ms, report.last_ms))
        yield f"event times from {first} to {last}"
    yield from _reasons("rejected", report.rejected)
    yield from _reasons("without an event", report.left_out)
    counted = [(*names, count) for names, count in report.names.most_common() if count]
    yield from _names("renamed", [(f"{old} -> {new}", count) for old, new, count in counted if old != new])
    yield from _names("passed on unchanged", [(old, count) for old, new, count in counted if old == new])


def _reasons(heading: str, reasons: Mapping[str, ReasonLines]) -> Iterator[str]:
    from models.imports.import_report import reason_sentence

    if not reasons:
        return
    yield f"{heading}: {count_text(sum(found.rows for found in reasons.values()), 'row')}"
    for reason, found in sorted(reasons.items(), key=lambda item: -item[1].rows):
        yield f"  {reason} {found.rows:,}, first in line {found.first_line:,}. {reason_sentence(reason)}"


def _names(heading: str, names: list[tuple[str, int]]) -> Iterator[str]:
    if not names:
        return
    yield f"names {heading}: {len(names):,}"
    for name, count in names[:_NAMES_SHOWN]:
        yield f"  {printable(name)} {count:,}"
    if len(names) > _NAMES_SHOWN:
        yield f"  and {len(names) - _NAMES_SHOWN:,} more"


__all__ = ["import_lines"]
