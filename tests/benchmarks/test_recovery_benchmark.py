"""Pure parts of the recovery benchmark: the contents of the changelog, and the limits of the figures."""

from __future__ import annotations

from typing import Any

from benchmarks.recovery import figures
from benchmarks.recovery.changelog import keys_by_partition, rounds, sample_profiles
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.profile.codec import decode
from streams.kafka.partitioner import partition_of


def test_sample_profiles_are_written_by_the_fold() -> None:
    """Rule: every sample decodes as a profile with events, and no two profiles are equal."""
    profiles = sample_profiles(Model(SPACE).scorer(), customers=50, events=500)
    assert 40 <= len(profiles) <= 60
    assert len(set(profiles)) == len(profiles)
    assert all(decode(profile).newest_ms > 0 for profile in profiles)


def test_profiles_are_in_the_partition_of_their_events() -> None:
    """Rule: each key is in the changelog partition of its customer's events, and no customer is missing."""
    keys = keys_by_partition(300, 4)
    assert sum(map(len, keys)) == 300
    assert all(partition_of(key[1:], 4) == number for number, of_partition in enumerate(keys) for key in of_partition)


def test_every_customer_is_written_once_per_round() -> None:
    """Rule: five records per customer are five different profiles in five rounds, none in key order."""
    keys, profiles = [b"c%d" % number for number in range(12)], [b"p%d" % number for number in range(7)]
    turns = list(rounds(keys, profiles, 5))
    assert len(turns) == 5
    assert all(sorted(turn) == sorted(keys) and list(turn) != keys for turn in turns)
    assert len({turn[b"c3"] for turn in turns}) == 5


def _result(customers: int, **changes: float) -> dict[str, Any]:
    row = {"records": 1, "store": False, "ready_s": 20.0, "cpu_s": 18.0, "peak_mib": 500.0, "disk_mib": 900.0}
    rows = [row | changes, row | {"store": True, "ready_s": 4.0}]
    return {"customers": customers, "partitions": 4, "profile_bytes": 1_400.0, "rows": rows}


def test_limits_apply_to_a_million_customers() -> None:
    """Rule: 25 s from an empty disk, 5 s with the local store, 2 GiB; smaller runs always pass."""
    assert figures.passed(_result(1_000_000))
    assert not figures.passed(_result(1_000_000, ready_s=26.0))
    assert not figures.passed(_result(1_000_000, peak_mib=2_100.0))
    assert not figures.passed(_result(1_000_000, store=True, ready_s=6.0))
    assert figures.passed(_result(20_000, ready_s=26.0))
    assert "MISSED" in figures.render(_result(1_000_000, ready_s=26.0))
    assert "MISSED" not in figures.render(_result(20_000, ready_s=26.0))
