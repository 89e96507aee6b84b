"""Assignment of partitions to members."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from streams.engine import assignment, group_assignor
from streams.engine.assignment import assign_partitions

CLAIMS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.dictionaries(st.integers(0, 12), st.integers(0, 99)), min_size=1
)


def test_examples_in_the_documentation_are_true() -> None:
    assert doctest.testmod(assignment).failed == doctest.testmod(group_assignor).failed == 0


@given(st.integers(0, 13), CLAIMS)
def test_every_partition_has_one_owner_and_counts_differ_by_at_most_one(
    count: int, claims: dict[str, dict[int, int]]
) -> None:
    """Rule: all partitions are assigned once, evenly, whatever members claim (even partitions that do not exist)."""
    shares = assign_partitions(range(count), claims)
    assert sorted(number for numbers in shares.values() for number in numbers) == list(range(count))
    sizes = [len(numbers) for numbers in shares.values()]
    assert max(sizes) - min(sizes) <= 1
    assert shares.keys() == claims.keys()


@given(st.integers(1, 13), st.integers(1, 5))
def test_unchanged_members_keep_their_partitions(count: int, members: int) -> None:
    """Rule: claims that are an even assignment result in that assignment."""
    names = [f"m{number}" for number in range(members)]
    before = assign_partitions(range(count), {name: {} for name in names})
    claims = {name: dict.fromkeys(numbers, 7) for name, numbers in before.items()}
    assert assign_partitions(range(count), claims) == before


@given(st.integers(1, 13), st.integers(1, 5), st.booleans())
def test_a_rebalance_moves_as_few_partitions_as_possible(count: int, members: int, joins: bool) -> None:
    """Rule: when a member joins or leaves, only its share moves."""
    names = [f"m{number}" for number in range(members + 1)]
    first, then = (names[:-1], names) if joins else (names, names[:-1])
    before = assign_partitions(range(count), {name: {} for name in first})
    claims = {name: dict.fromkeys(before.get(name, []), 7) for name in then}
    after = assign_partitions(range(count), claims)
    moved = sum(number not in before.get(name, []) for name, numbers in after.items() for number in numbers)
    assert moved == len(after[names[-1]] if joins else before[names[-1]])


def test_a_returning_worker_gets_the_partitions_on_its_disk() -> None:
    """Rule: a stale store is better than none."""
    claims = {"stayed": dict.fromkeys(range(6), 500), "back": {2: 0, 3: 0, 5: 0}}
    assert assign_partitions(range(6), claims) == {"stayed": [0, 1, 4], "back": [2, 3, 5]}
