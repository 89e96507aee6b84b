"""Lag rules: a verdict about a partition from samples over a time window, as a pure function.

The rules are those of LinkedIn's Burrow: the wiki page "Consumer Lag Evaluation Rules" and, where it is not specific,
the evaluator (core/internal/evaluator/caching.go, with rewinds as of its pull request 716). They need no threshold.
Two rules differ, because a sample here is a reading of the group, while Burrow samples observed commits:

- Burrow infers from the time since the last commit that there is no owner. Here the group coordinator reports the
  owner. The comparison of times is Burrow's.
- A position outside the topic is REWIND, whatever the lag: the topic was recreated, or events were deleted before they
  were applied. Workers do not resume from there.

Tested by tests/laws/test_lag_laws.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

# Burrow's default ("intervals").
SAMPLES = 10


class Verdict(StrEnum):
    """Verdict about one partition, in ascending severity."""

    UNKNOWN = "UNKNOWN"  # not enough samples
    OK = "OK"
    WARN = "WARN"  # events are applied, but the lag never decreases
    STALL = "STALL"  # the partition has an owner, but no event is applied
    STOP = "STOP"  # the partition has no owner, and events wait
    REWIND = "REWIND"  # the position moved backwards, or is outside the topic


@dataclass(frozen=True, slots=True)
class LagSample:
    """One partition at one time.

    Attributes:
        at_ms: wall time.
        position: the group's committed offset; None if it never committed.
        first, end: the topic contains offsets in [first, end).
        alive: the partition has an owner, or the group is in a rebalance.
    """

    at_ms: int
    position: int | None
    first: int
    end: int
    alive: bool

    @property
    def next(self) -> int:
        """The first offset that is not applied."""
        return max(self.first, self.position or 0)

    @property
    def lag(self) -> int:
        """Offsets that are not applied, including transaction markers."""
        return max(0, self.end - self.next)

    @property
    def in_topic(self) -> bool:
        """Whether the position is within the topic."""
        return self.position is None or self.first <= self.position <= self.end


def verdict(samples: Sequence[LagSample], minimum: int = SAMPLES) -> Verdict:
    """Evaluate the samples of one partition, oldest first. The first rule that applies decides:

    1. There are fewer than `minimum` samples: UNKNOWN.
    2. The position is outside the topic: REWIND (not in Burrow).
    3. There is no lag now: OK.
    4. The partition has had no owner for longer than it had one before in this window, and there was lag throughout
       (Burrow's rule 3 and its check of recent end offsets): STOP.
    5. The position moved backwards and has not recovered (rule 2): REWIND.
    6. There was no lag at some time in the window (rule 1): OK.
    7. The position never changes (rule 4): STALL.
    8. The position changes, and the lag never decreases from one sample to the next (rule 5): WARN.
    9. Otherwise OK, however large the lag is: it decreases.

    >>> def window(*positions, end=100, alive=True):
    ...     return [LagSample(1_000 * n, position, 0, end + n, alive) for n, position in enumerate(positions)]
    >>> [str(verdict(window(*positions), minimum=3)) for positions in ((5, 5, 5), (5, 6, 7), (5, 9, 20), (50, 5, 6))]
    ['STALL', 'WARN', 'OK', 'REWIND']
    >>> str(verdict(window(5, 5, 5, alive=False), minimum=3)), str(verdict(window(5, 5, 5)))
    ('STOP', 'UNKNOWN')
    """
    if len(samples) < max(1, minimum):
        return Verdict.UNKNOWN
    now = samples[-1]
    if not now.in_topic:
        return Verdict.REWIND
    if not now.lag:
        return Verdict.OK
    if _is_abandoned(samples) and not any(sample.end <= now.next for sample in samples):
        return Verdict.STOP
    positions = [-1 if sample.position is None else sample.position for sample in samples]
    if positions[-1] < max(positions):
        return Verdict.REWIND
    if any(not sample.lag for sample in samples):
        return Verdict.OK
    if len(set(positions)) == 1:
        return Verdict.STALL
    decreases = any(later.lag < earlier.lag for earlier, later in pairwise(samples))
    return Verdict.OK if decreases else Verdict.WARN


def _is_abandoned(samples: Sequence[LagSample]) -> bool:
    """Return whether the time since the last owner exceeds the time from the first sample to the last owner."""
    owned_ms = [sample.at_ms for sample in samples if sample.alive]
    return not owned_ms or samples[-1].at_ms - owned_ms[-1] > owned_ms[-1] - samples[0].at_ms
