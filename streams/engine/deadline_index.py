"""The first of a partition's deadlines, in order and in memory: nearly every look at them needs no scan of the disk."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Final

# What a scan reads beyond what was asked: a scan costs as much as reading some hundred entries.
AHEAD: Final = 1_024
# Above this the latest half is forgotten, and read again when its time comes; some 120 bytes each.
FRONT_MAX: Final = 16_384


class Deadlines:
    """A copy of the first entries of an index in which entries stand in the order of their bytes.

    What is in the copy is all that the index has before a bound; whoever changes the index says so here.

    Args:
        scan: the index's entries from one on, in order.

    >>> deadlines = Deadlines(lambda start: iter([b"2", b"5", b"9"]))
    >>> deadlines.until(b"6", 10), deadlines.until(b"6", 1)
    ([b'2', b'5'], [b'2'])
    >>> deadlines.remove(b"2"), deadlines.add(b"3"), deadlines.until(b"4", 10)
    (None, None, [b'3'])
    """

    def __init__(self, scan: Callable[[bytes], Iterable[bytes]]) -> None:
        self._scan = scan
        self._front: list[bytes] = []
        self._bound: bytes | None = b""  # None: the copy is all of the index

    def until(self, end: bytes, limit: int) -> list[bytes]:
        """The first `limit` entries before `end`."""
        if self._bound is not None and self._bound < end and len(self._front) < limit:
            self._read(end, limit)
        return self._front[: min(bisect_left(self._front, end), limit)]

    def first(self) -> bytes | None:
        """The earliest entry of all."""
        if not self._front and self._bound is not None:
            self._read(self._bound, 1)
        return self._front[0] if self._front else None

    def add(self, entry: bytes) -> None:
        """The index has this entry now."""
        front = self._front
        if self._bound is not None and entry >= self._bound:
            return
        insort(front, entry)
        if len(front) > FRONT_MAX:
            half = len(front) // 2
            self._bound = front[half]
            del front[half:]

    def remove(self, entry: bytes) -> None:
        """The index has this entry no more."""
        place = bisect_left(self._front, entry)
        if place < len(self._front) and self._front[place] == entry:
            del self._front[place]

    def _read(self, end: bytes, limit: int) -> None:
        """Copy what is before `end`, or `limit` entries, and some more."""
        front, enough, ahead = self._front, limit + AHEAD, 0
        assert self._bound is not None
        # what left the index from the front is there as tombstones, which a scan from before the bound would walk over
        for entry in self._scan(self._bound):
            if len(front) >= enough or ahead >= AHEAD:
                self._bound = entry
                return
            front.append(entry)
            ahead += entry >= end
        self._bound = None
