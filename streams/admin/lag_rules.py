"""What the positions of a group over a window mean: Burrow's rules, as a pure function of the samples.

The rules are those of LinkedIn's Burrow: the wiki page "Consumer Lag Evaluation Rules", and for what it leaves open the
evaluator itself (core/internal/evaluator/caching.go, with rewinds as of its pull request 716). They need no threshold
that somebody would have to choose. Two things differ, because a sample here is a look at the group and not a commit
that was overheard:

- Burrow takes the time since the last commit for a sign that nobody is there. Here the group itself says who owns a
  partition; the comparison of times is Burrow's.
- A position outside of what the topic holds is REWIND, whatever the lag: the topic was made anew, or events were
  deleted before they were applied. Workers refuse to go on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

# As many as Burrow keeps by default ("intervals").
SAMPLES = 10


class Verdict(StrEnum):
    """What a window of samples says about one partition, best first."""

    UNKNOWN = "UNKNOWN"  # fewer samples than the rules need
    OK = "OK"
    WARN = "WARN"  # events are applied, and yet the lag never shrinks
    STALL = "STALL"  # there is an owner, and nothing is applied
    STOP = "STOP"  # there is no owner, and events wait
    REWIND = "REWIND"  # the position went back, or stands outside of what the topic holds


@dataclass(frozen=True, slots=True)
class LagSample:
    """One partition at one moment.

    Attributes:
        at_ms: wall time.
        position: the group's committed offset; None if it never committed one.
        first, end: what the topic holds is [first, end).
        alive: a member of the group owns the partition, or the group is about to say who will.
    """

    at_ms: int
    position: int | None
    first: int
    end: int
    alive: bool

    @property
    def next(self) -> int:
        """The offset from which on nothing is applied."""
        return max(self.first, self.position or 0)

    @property
    def lag(self) -> int:
        """Offsets still to be applied, transaction markers included."""
        return max(0, self.end - self.next)

    @property
    def held(self) -> bool:
        """Whether the topic holds what comes next."""
        return self.position is None or self.first <= self.position <= self.end


def verdict(samples: Sequence[LagSample], least: int = SAMPLES) -> Verdict:
    """What the samples of one partition say, oldest first. In this order:

    1. Fewer than `least` samples: UNKNOWN.
    2. A position that the topic does not hold: REWIND (not Burrow's).
    3. No lag now: OK.
    4. Without an owner for longer than before with one, and with lag all the while (Burrow's rule 3 and its look at
       recent ends of the log): STOP.
    5. The position went back and has not come to where it was again (rule 2): REWIND.
    6. No lag at some time in the window (rule 1): OK.
    7. The position is always the same (rule 4): STALL.
    8. The position moves, and the lag is never less than in the sample before (rule 5): WARN.
    9. Else OK, however large the lag is: it shrinks.

    >>> def window(*positions, end=100, alive=True):
    ...     return [LagSample(1_000 * n, position, 0, end + n, alive) for n, position in enumerate(positions)]
    >>> [str(verdict(window(*positions), least=3)) for positions in ((5, 5, 5), (5, 6, 7), (5, 9, 20), (50, 5, 6))]
    ['STALL', 'WARN', 'OK', 'REWIND']
    >>> str(verdict(window(5, 5, 5, alive=False), least=3)), str(verdict(window(5, 5, 5)))
    ('STOP', 'UNKNOWN')
    """
    if len(samples) < max(1, least):
        return Verdict.UNKNOWN
    now = samples[-1]
    if not now.held:
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
    shrinks = any(later.lag < earlier.lag for earlier, later in pairwise(samples))
    return Verdict.OK if shrinks else Verdict.WARN


def _is_abandoned(samples: Sequence[LagSample]) -> bool:
    """Whether the last sign of an owner is longer ago than the signs before it reach back."""
    signs = [sample.at_ms for sample in samples if sample.alive]
    return not signs or samples[-1].at_ms - signs[-1] > signs[-1] - samples[0].at_ms
