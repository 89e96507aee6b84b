"""A row may have any JSON value in any place: it becomes events or a reason, and never stops an import."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest

from models.imports import SOURCES
from models.imports.conversion import converted
from models.imports.import_report import ImportReport, reason_sentence
from tests.models.imports.test_samples import SAMPLES

VALUES: Final[tuple[Any, ...]] = (None, 7, -1.5e300, "x", "", [3], {"a": 1}, True)


def mutations(value: Any) -> Iterator[Any]:
    """Yield the value with one part replaced, for every part and every replacement."""
    yield from VALUES
    if isinstance(value, dict):
        for name, part in value.items():
            for changed in mutations(part):
                yield {**value, name: changed}
    elif isinstance(value, list):
        for place, part in enumerate(value):
            for changed in mutations(part):
                yield [*value[:place], changed, *value[place + 1 :]]


def samples(source: str) -> Iterator[dict[str, Any]]:
    """One row per name of an event."""
    rows = [orjson.loads(line) for line in (SAMPLES / f"{source}.jsonl").read_bytes().splitlines()]
    if source == "stripe":
        rows += orjson.loads((SAMPLES / "stripe_list.json").read_bytes())["data"]
    yield from {SOURCES[source].event_name(row): row for row in rows}.values()


@pytest.mark.parametrize("source", SOURCES)
def test_any_value_in_any_place_gives_events_or_a_reason(source: str) -> None:
    report, found = ImportReport(), SOURCES[source]
    rows = (row for sample in samples(source) for row in mutations(sample) if isinstance(row, dict))
    lines = sum(
        1 for _ in converted(enumerate(rows, 1), lambda row, _: found.convert(row), found.event_name, report, {})
    )
    assert lines == report.events > 0
    assert report.rows > 300
    assert all(reason_sentence(reason) for reason in (*report.rejected, *report.left_out))
