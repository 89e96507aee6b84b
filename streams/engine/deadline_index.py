"""Keep a partition's earliest deadlines in memory, in order, so that most queries need no disk scan.

Tested by tests/streams/engine/test_deadline_index.py.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Final

# Entries that a scan reads in addition: starting a scan costs as much as reading some hundred entries.
AHEAD: Final = 1_024
# Above this size the later half is dropped, and read again when it is needed; an entry takes some 120 bytes.
FRONT_MAX: Final = 16_384


class DeadlineIndex:
    """A copy of the first entries of an index that is ordered by their bytes.

    The copy holds every entry of the index before a bound. Every change of the index is reported with `add` or
    `remove`.

    Args:
        scan: returns the entries of the index from a given one on, in order.

    >>> deadlines = DeadlineIndex(lambda start: iter([b"2", b"5", b"9"]))
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
        """Return the first `limit` entries before `end`."""
        if self._bound is not None and self._bound < end and len(self._front) < limit:
            self._read(end, limit)
        return self._front[: min(bisect_left(self._front, end), limit)]

    def first(self) -> bytes | None:
        """Return the earliest entry, None if there is none."""
        if not self._front and self._bound is not None:
            self._read(self._bound, 1)
        return self._front[0] if self._front else None

    def add(self, entry: bytes) -> None:
        """Report that the index has this entry now."""
        front = self._front
        if self._bound is not None and entry >= self._bound:
            return
        insort(front, entry)
        if len(front) > FRONT_MAX:
            half = len(front) // 2
            self._bound = front[half]
            del front[half:]

    def remove(self, entry: bytes) -> None:
        """Report that the index no longer has this entry."""
        index = bisect_left(self._front, entry)
        if index < len(self._front) and self._front[index] == entry:
            del self._front[index]

    def _read(self, end: bytes, limit: int) -> None:
        """Copy the entries before `end`, or `limit` of them, and up to `AHEAD` more."""
        front, enough, ahead = self._front, limit + AHEAD, 0
        assert self._bound is not None
        # Removed entries remain on disk as tombstones, which a scan from the beginning would have to skip.
        for entry in self._scan(self._bound):
            if len(front) >= enough or ahead >= AHEAD:
                self._bound = entry
                return
            front.append(entry)
            ahead += entry >= end
        self._bound = None
