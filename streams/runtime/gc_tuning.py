"""Tune Python's cycle collector for a process that creates many objects and few reference cycles."""

from __future__ import annotations

import gc
from typing import Final

# Allocations before the youngest generation is collected, and collections of a generation before the next one is
# collected. A batch creates some 100,000 objects and no cycles: with Python's default of 700 the collector scans them a
# hundred times in vain, which took 20 of 60 us an event. Clients and errors create cycles, so full collections remain,
# every few minutes.
THRESHOLDS: Final = (100_000, 20, 100)


def collect_rarely() -> None:
    """Exclude everything loaded so far from collections, and collect rarely from now on. Call it once, at the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
