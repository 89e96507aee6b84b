"""Compare expected with found outputs: lost, double and extra records, and the longest outage."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

# Shorter outages are slow batches. Input of the last half second may still be in flight.
_OUTAGE_MS, _UNDER_WAY_MS = 2_000, 500


@dataclass
class Tally:
    """Counts of one kind of output. A wrong value counts twice: the right one is lost, the wrong one is extra."""

    expected: int
    lost: int
    double: int
    extra: int

    @classmethod
    def of(cls, expected: Counter[Hashable], found: Counter[Hashable]) -> Tally:
        """Count the differences in both directions.

        >>> Tally.of(Counter("aab"), Counter("aaac"))
        Tally(expected=3, lost=1, double=1, extra=1)
        """
        surplus = found - expected
        double = sum(count for what, count in surplus.items() if what in expected)
        return cls(expected.total(), (expected - found).total(), double, surplus.total() - double)


@dataclass
class Verdict:
    """The result of a run.

    Attributes:
        times: Number of injected faults.
        in_flight: Number of faults that hit work in flight.
        at_commit: Number of faults within 100 ms of a commit.
        outage_s: Longest time without a new committed position while there was input.
        takeover_s: from kill -9 of one of two workers to the first new output in every partition that waited for it;
            None if none was killed.
        unready_s: longest time from not ready to ready of any process.
        problems: whatever else must not be; a sentence each.
        slow: time limits that were exceeded, a sentence each: what a busy machine can cause by itself.
    """

    row: str
    fault: str
    seed: int
    times: int = 0
    in_flight: int = 0
    at_commit: int = 0
    events: int = 0
    outage_s: float = 0.0
    takeover_s: float | None = None
    unready_s: float = 0.0
    seconds: float = 0.0
    restarts: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        return sum(tally.lost for tally in self.tallies.values())

    @property
    def double(self) -> int:
        return sum(tally.double for tally in self.tallies.values())

    @property
    def extra(self) -> int:
        return sum(tally.extra for tally in self.tallies.values())

    @property
    def exact(self) -> bool:
        """Whether all counts are zero and faults were injected."""
        return not (self.lost or self.double or self.extra or self.problems)

    @property
    def holds(self) -> bool:
        """It is exact, and within every time limit."""
        return self.exact and not self.slow


def longest_outage_s(
    commits: Mapping[int, Sequence[tuple[int, int]]], inputs: Mapping[int, Sequence[tuple[int, int]]]
) -> float:
    """Return the longest time without progress: from the later of a commit and the arrival of the next record to the
    next commit with a new position.

    Args:
        commits: For each partition, (ms, next offset) in order. The time before the first commit does not count.
        inputs: For each partition, (offset, ms of arrival) in order.

    >>> longest_outage_s({0: [(1_000, 1), (1_100, 1), (5_000, 3)]}, {0: [(0, 900), (1, 2_000), (2, 3_000)]})
    3.0
    """
    longest = 0
    for number, mine in commits.items():
        waiting = iter(inputs.get(number, ()))
        (at_ms, next_offset), arrival = mine[0], next(waiting, None)
        for later_ms, later_offset in mine[1:]:
            if later_offset == next_offset:
                continue
            while arrival is not None and arrival[0] < next_offset:
                arrival = next(waiting, None)
            if arrival is not None:
                longest = max(longest, later_ms - max(at_ms, arrival[1]))
            at_ms, next_offset = later_ms, later_offset
    return longest / 1000


def takeover_s(
    killed_ms: int,
    commits: Mapping[int, Sequence[tuple[int, int]]],
    inputs: Mapping[int, Sequence[tuple[int, int]]],
) -> float:
    """Return the time from kill -9 of a worker to the next commit with a new position, for the slowest partition with
    waiting input; 0 if no input had to wait. The arguments are as above.

    >>> waited, served = [(0, 0), (9_000, 2)], [(0, 0), (9_900, 2)]
    >>> takeover_s(2_000, {0: waited, 1: served, 2: [(1_000, 1)]}, {0: [(0, 1), (1, 2_500)], 1: [(0, 9_700)]})
    7.0
    """
    longest = 0
    for number, mine in commits.items():
        reached = max((next_offset for at_ms, next_offset in mine if at_ms <= killed_ms), default=0)
        on_ms = next((at_ms for at_ms, next_offset in mine if next_offset > reached), killed_ms)
        arrived_ms = next((ms for offset, ms in inputs.get(number, ()) if offset >= reached), on_ms)
        if on_ms - arrived_ms > _UNDER_WAY_MS:
            longest = max(longest, on_ms - killed_ms)
    return longest / 1000


def slow_to_catch_up(
    commits: Mapping[int, Sequence[tuple[int, int]]], inputs: Mapping[int, Sequence[tuple[int, int]]]
) -> list[str]:
    """Partitions whose lag was not zero again within twice the outage (later outages not
    counted), a sentence each; arguments as above.

    >>> inputs = {0: [(0, 0), (1, 1_000), (2, 1_000), (3, 9_000)]}
    >>> slow_to_catch_up({0: [(0, 1), (4_000, 3)]}, inputs)
    []
    >>> slow_to_catch_up({0: [(0, 1), (4_000, 2), (11_000, 4)]}, inputs)
    []
    >>> steps = [(4_000 + 1_000 * n, 2) for n in range(7)]
    >>> slow_to_catch_up({0: [(0, 1), *steps, (11_000, 4)]}, inputs)
    ['partition 0: after 3.0 s without a commit the lag was zero after 7.0 s more']
    """
    slow = []
    for number, mine in commits.items():
        arrivals = inputs.get(number, ())
        for place in range(1, len(mine)):
            (before_ms, next_offset), (at_ms, _) = mine[place - 1], mine[place]
            waited_since = next((ms for offset, ms in arrivals if offset >= next_offset), at_ms)
            outage_ms = at_ms - max(before_ms, waited_since)
            if outage_ms < _OUTAGE_MS:
                continue
            level_ms = next((t for t, done in mine[place:] if _level(arrivals, t, done)), None)
            end_ms = level_ms if level_ms is not None else mine[-1][0]
            times = [t for t, _ in mine[place:] if t <= end_ms]
            gaps = [b - a for a, b in itertools.pairwise(times)]
            took_ms = sum(gap for gap in gaps if gap < _OUTAGE_MS)  # excludes later outages
            if level_ms is None or took_ms > 2 * outage_ms:
                outage = f"partition {number}: after {outage_ms / 1000:.1f} s without a commit the lag was zero after"
                slow.append(f"{outage} {took_ms / 1000:.1f} s more")
    return slow


def _level(arrivals: Sequence[tuple[int, int]], at_ms: int, next_offset: int) -> bool:
    """Whether all input was applied, except what arrived during the last batch."""
    return all(offset < next_offset for offset, ms in arrivals if ms <= at_ms - _UNDER_WAY_MS)


def near_a_commit(at_ms: int, commits: Mapping[int, Sequence[tuple[int, int]]], within_ms: int = 100) -> bool:
    """Whether any partition committed just before or after. A position record is written shortly before its commit."""
    return any(abs(at_ms - commit_ms) <= within_ms for mine in commits.values() for commit_ms, _ in mine)
