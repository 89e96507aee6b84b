"""When a worker reports that it receives history after live events."""

from __future__ import annotations

from models.duration import DAY_MS
from streams.scoring.late_events import LATE_MIN, LOG_EVERY_MS, LateEventsLog

CLOCK_MS = 20_000 * DAY_MS


def test_an_import_is_reported_at_once_and_then_every_ten_minutes() -> None:
    """Rule: the sentence has the number since the last one, the lateness and the clock."""
    log = LateEventsLog(2 * DAY_MS)
    first = log.observe(500, 500, CLOCK_MS, 1_000_000)
    assert first is not None
    assert first.startswith("500 events are more than 2 d behind the clock of the partition (2024-10-04T")
    assert log.observe(500, 500, CLOCK_MS, 1_000_000 + LOG_EVERY_MS // 2) is None
    again = log.observe(500, 500, CLOCK_MS, 1_000_001 + LOG_EVERY_MS)
    assert again is not None
    assert again.startswith("1,000 events")


def test_single_late_events_are_not_reported() -> None:
    """Rule: phones deliver some events days later; they are counted only."""
    log = LateEventsLog(2 * DAY_MS)
    assert log.observe(LATE_MIN - 1, LATE_MIN - 1, CLOCK_MS, 0) is None
    assert log.observe(200, 5_000, CLOCK_MS, 0) is None
