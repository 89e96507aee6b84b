"""The deadlines in memory match the index after any change, and the index is rarely scanned."""

from __future__ import annotations

import doctest
import random
from bisect import bisect_left
from collections.abc import Iterator

import pytest

from streams.engine import deadline_index as deadlines
from streams.engine.deadline_index import DeadlineIndex


class Index:
    """A sorted list that counts its scans."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.scans = 0

    def scan(self, start: bytes) -> Iterator[bytes]:
        self.scans += 1
        return iter(self.entries[bisect_left(self.entries, start) :])


def entry(number: int) -> bytes:
    return number.to_bytes(4, "big")


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(deadlines).failed == 0


@pytest.mark.parametrize(("ahead", "most"), [(1, 4), (3, 8), (50, 500)])
def test_due_entries_are_those_of_the_index(monkeypatch: pytest.MonkeyPatch, ahead: int, most: int) -> None:
    """Rule: after any additions and removals, queries with any end and limit return what the index has."""
    monkeypatch.setattr(deadlines, "AHEAD", ahead)
    monkeypatch.setattr(deadlines, "FRONT_MAX", most)
    rng, index = random.Random(ahead), Index()
    found = DeadlineIndex(index.scan)
    for _ in range(3_000):
        one = entry(rng.randrange(200))
        place = bisect_left(index.entries, one)
        there = place < len(index.entries) and index.entries[place] == one
        if there and rng.random() < 0.6:
            del index.entries[place]
            found.remove(one)
        elif not there:
            index.entries.insert(place, one)
            found.add(one)
        end, limit = entry(rng.randrange(200)), rng.choice([1, 2, 5, 1 << 30])
        if rng.random() < 0.5:
            assert found.until(end, limit) == index.entries[: bisect_left(index.entries, end)][:limit]
        if rng.random() < 0.5:
            assert found.first() == (index.entries[0] if index.entries else None)


def test_the_index_is_rarely_scanned() -> None:
    """Rule: removing deadlines at the front and adding them far behind it, as a log does, costs a scan per thousand."""
    index = Index()
    index.entries = [entry(number) for number in range(20_000)]
    found = DeadlineIndex(index.scan)
    for number in range(10_000):
        assert found.until(entry(number + 1), 10) == [entry(number)]
        index.entries.remove(entry(number))
        found.remove(entry(number))
        index.entries.append(entry(30_000 + number))
        found.add(entry(30_000 + number))
    assert 1 <= index.scans <= 11
