"""Expected against found: what is lost, double and extra, and how long a partition with input stood still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Tally:
    """One kind of output. A wrong value counts twice: the right one is lost, the wrong one extra."""

    expected: int
    lost: int
    double: int
    extra: int

    @classmethod
    def of(cls, expected: Counter[Hashable], found: Counter[Hashable]) -> Tally:
        """Count both ways.

        >>> Tally.of(Counter("aab"), Counter("aaac"))
        Tally(expected=3, lost=1, double=1, extra=1)
        """
        surplus = found - expected
        double = sum(count for what, count in surplus.items() if what in expected)
        return cls(expected.total(), (expected - found).total(), double, surplus.total() - double)


@dataclass
class Verdict:
    """What a run has shown.

    Attributes:
        times: how often harm was done.
        in_flight: how often that met work under way.
        at_commit: how often that was within 100 ms of a commit.
        outage_s: longest time without a new committed position while there was input.
        problems: whatever else must not be; a sentence each.
    """

    row: str
    fault: str
    seed: int
    times: int = 0
    in_flight: int = 0
    at_commit: int = 0
    events: int = 0
    outage_s: float = 0.0
    seconds: float = 0.0
    restarts: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

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
    def holds(self) -> bool:
        """Zeros everywhere, and something was tried."""
        return not (self.lost or self.double or self.extra or self.problems)


def longest_outage_s(
    commits: Mapping[int, Sequence[tuple[int, int]]], inputs: Mapping[int, Sequence[tuple[int, int]]]
) -> float:
    """From the later of a commit and the arrival of the next record to the next commit that went on; the longest.

    Args:
        commits: of each partition (ms, next offset), in order; what happened before the first is no outage.
        inputs: of each partition (offset, ms of arrival), in order.

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


def near_a_commit(at_ms: int, commits: Mapping[int, Sequence[tuple[int, int]]], within_ms: int = 100) -> bool:
    """Whether any partition committed just before or was about to: its record is written a moment before its commit."""
    return any(abs(at_ms - commit_ms) <= within_ms for mine in commits.values() for commit_ms, _ in mine)
