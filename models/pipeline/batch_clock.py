"""The partition's clock while it moves through one batch: the newest event time so far, never backwards."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from models.events.event import Event, meaning_of
from models.features.scoring_point import LogPosition, deadline_position
from models.labels.feed_outages import NOTED_MS, FeedOutages


class BatchClock(NamedTuple):
    """The values of the clock in a batch, each with the index of the event that advanced it."""

    raises: list[int]
    raised_by: list[int]

    def position_of(self, due_ms: int, order: int) -> LogPosition:
        """The log position of a deadline that became due in this batch."""
        return deadline_position(self.raised_by[bisect_left(self.raises, due_ms)], due_ms, order)


class ClockedBatch(NamedTuple):
    """The events of a batch by customer, with the clock as it was at each event.

    Attributes:
        clock: How the clock moved.
        end_ms: The clock after the batch.
        indices: For each customer, the indices of their events in the batch.
        clock_ms: The clock at each event, that event included.
    """

    clock: BatchClock
    end_ms: int
    indices: dict[str, list[int]]
    clock_ms: list[int]


def run_clock(events: Sequence[tuple[int, Event]], clock_ms: int, until_ms: int, feed: FeedOutages) -> ClockedBatch:
    """Advance the clock over a batch, and report engagement and its gaps to `feed`.

    Args:
        events: The batch in log order, each event with its offset.
        clock_ms: The clock before the batch.
        until_ms: The clock is at least here after the batch (the wall clock in live running, 0 in a replay).
        feed: Learns when any customer was last active.
    """
    indices: dict[str, list[int]] = {}
    clock, clocks, counted = clock_ms, [], 0
    newest = feed.newest_ms
    raises: list[int] = []
    raised_by: list[int] = []
    for index, (_, event) in enumerate(events):
        at, customer = event.time_ms, event.customer
        if at > newest and meaning_of(event).engaged and not event.automated:
            if at - newest >= NOTED_MS:
                feed.record_activity(newest, index - counted)
                feed.record_gap(at)
                counted = index
            newest = at
        if at > clock:
            clock = at
            raises.append(clock)
            raised_by.append(index)
        clocks.append(clock)
        if (mine := indices.get(customer)) is None:
            indices[customer] = [index]
        else:
            mine.append(index)
    feed.record_activity(newest, len(events) - counted)
    end = max(clock, until_ms)
    raises.append(end)
    raised_by.append(len(events))
    return ClockedBatch(BatchClock(raises, raised_by), end, indices, clocks)


__all__ = ["BatchClock", "ClockedBatch", "run_clock"]
