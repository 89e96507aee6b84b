"""Report that a partition receives history after live events: workers learn no label from it."""

from __future__ import annotations

from typing import Final

from models.duration import DAY_MS, rfc3339

# Phones deliver single events days later; a batch of which half is late is an import.
LATE_SHARE: Final = 0.5
LATE_MIN: Final = 20
LOG_EVERY_MS: Final = 10 * 60_000


class LateEventsLog:
    """Decides when a partition reports late events: at once, then every ten minutes, with their number since.

    Args:
        lateness_ms: how far behind the clock an event is still learned from (`label.grace`).
    """

    def __init__(self, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        self._late = 0
        self._report_ms = 0

    def observe(self, late: int, events: int, clock_ms: int, now_ms: int) -> str | None:
        """Return the sentence to log now, if any.

        Args:
            late: how many events of a batch were late.
            events: all of its events.
            clock_ms: the partition's clock.
            now_ms: the wall clock.
        """
        if late < max(LATE_MIN, LATE_SHARE * events):
            return None
        self._late += late
        if 0 <= self._report_ms - now_ms <= LOG_EVERY_MS:
            return None
        self._report_ms, number, self._late = now_ms + LOG_EVERY_MS, self._late, 0
        return (
            f"{number:,} events are more than {self._lateness_ms / DAY_MS:g} d behind the clock of the partition"
            f" ({rfc3339(clock_ms)}). They change profiles, but no label is learned from them: publish history"
            " before live traffic (docs/events.md, Replaying history)"
        )


__all__ = ["LATE_MIN", "LATE_SHARE", "LOG_EVERY_MS", "LateEventsLog"]
