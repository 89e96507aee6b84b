"""Assign partitions evenly, and to the members that have their state, so that a rebalance moves as few as possible.

Tested by tests/streams/engine/test_assignment.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Claims = Mapping[int, int]
"""Partition -> changelog offset that a member's local state of it has reached (0 for a store of unknown age)."""


def assign_partitions(partitions: Iterable[int], claims: Mapping[str, Claims]) -> dict[str, list[int]]:
    """Return the partitions of each member: a pure function, whose counts differ by at most one.

    1. Each partition goes to the member whose state of it reaches furthest, while that member has room. Partitions
       that only one member has state of go first, so that a member that joins gets those that it has state of.
    2. The others go to the members with the fewest partitions, preferring members that have state of them.

    >>> assign_partitions(range(4), {"a": {0: 9, 1: 9, 2: 9, 3: 9}, "b": {1: 0, 2: 0}})
    {'a': [0, 3], 'b': [1, 2]}
    >>> assign_partitions(range(3), {"new": {}})
    {'new': [0, 1, 2]}
    """
    members = sorted(claims)
    numbers = sorted(partitions)
    if not members:
        return {}
    least, larger = divmod(len(numbers), len(members))
    shares: dict[str, list[int]] = {member: [] for member in members}

    def has_room(member: str) -> bool:
        size = len(shares[member])
        if size < least:
            return True
        return size == least and sum(len(assigned) > least for assigned in shares.values()) < larger

    def claimants(number: int) -> list[str]:
        return sorted((m for m in members if number in claims[m]), key=lambda m: (-claims[m][number], m))

    left = []
    for number in sorted(numbers, key=lambda number: (len(claimants(number)) > 1, number)):
        owner = next((member for member in claimants(number)[:1] if has_room(member)), None)
        if owner is None:
            left.append(number)
        else:
            shares[owner].append(number)
    for number in left:
        known = [member for member in claimants(number) if has_room(member)]
        fewest = sorted(filter(has_room, members), key=lambda member: (len(shares[member]), member))
        shares[(known or fewest)[0]].append(number)
    return {member: sorted(assigned) for member, assigned in shares.items()}
