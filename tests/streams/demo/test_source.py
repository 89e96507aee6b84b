"""The demo refuses a file that is not a log of events, and reads one with some invalid lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.demo.source import LogSource
from streams.errors import ConfigurationError

EVENT = b'{"type":"page","userId":"c1","timestamp":"2025-03-10T09:30:00Z"}\n'


@pytest.mark.parametrize(("content", "why"), [(b"customer,date,amount\n" * 200, "JSON"), (b"", "which is empty")])
def test_a_file_that_is_no_log_of_events_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"orders\.csv is not a log of events") as refused:
        LogSource(path)
    assert why in str(refused.value)
    assert "churn-signals import" in str(refused.value)


def test_a_log_with_invalid_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"no event\n" * 50 + EVENT)
    assert [item.customer for item in LogSource(path).items()].count("c1") == 1
