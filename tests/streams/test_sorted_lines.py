"""Sorting the lines of a file: the order of equal times, lines that are no events, and chunks on disk."""

from __future__ import annotations

import json
import random

import pytest

from streams.sorted_lines import sorted_lines


def line(second: int, customer: str) -> bytes:
    return json.dumps({"type": "page", "userId": customer, "timestamp": 1_700_000_000 + second}).encode()


@pytest.mark.parametrize("chunk_bytes", [1, 2_000, 10**9])
def test_a_shuffled_file_is_sorted_with_any_amount_of_memory(chunk_bytes: int) -> None:
    ordered = [line(second // 3, f"c{second}") for second in range(60)]
    shuffled = list(enumerate(ordered))
    random.Random(1).shuffle(shuffled)
    found = list(sorted_lines((text for _, text in shuffled), chunk_bytes))
    assert [number for number, _ in found] == sorted(
        range(1, 61), key=lambda number: (shuffled[number - 1][0] // 3, number)
    )
    assert all(text == shuffled[number - 1][1] for number, text in found)


def test_equal_times_keep_their_order_and_a_line_without_a_time_stays_behind_the_line_before() -> None:
    lines = [line(9, "a"), b"no event", line(5, "b"), b"", line(9, "c"), line(5, "d")]
    assert [number for number, _ in sorted_lines(lines, 1)] == [3, 4, 6, 1, 2, 5]
