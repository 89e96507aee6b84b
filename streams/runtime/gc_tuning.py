"""Python's cycle collector, set for a process that makes many objects and few cycles."""

from __future__ import annotations

import gc
from typing import Final

# Allocations before the youngest generation is looked at, and how many of its looks make one of the next. A batch
# makes some 100,000 objects and no cycle: with Python's own 700 the collector walks them a hundred times for nothing,
# which cost 20 of 60 us an event. Clients and errors do make cycles, so full collections stay, every few minutes.
THRESHOLDS: Final = (100_000, 20, 100)


def collect_rarely() -> None:
    """Leaves what is loaded by now out of every collection, and collects seldom from here on; for a process's start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
