"""The recovery benchmark's pure parts: what is written to the changelog, and what is made of the figures."""

from __future__ import annotations

from typing import Any

from benchmarks.recovery import figures
from benchmarks.recovery.changelog import dealt, rounds, sample_profiles
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.profile.codec import decode
from streams.kafka.partitioner import partition_of


def test_sample_profiles_are_what_the_fold_writes() -> None:
    """Rule: every sample decodes as a profile that has seen events, and no two customers are alike."""
    profiles = sample_profiles(Model(SPACE).scorer(), customers=50, events=500)
    assert 40 <= len(profiles) <= 60
    assert len(set(profiles)) == len(profiles)
    assert all(decode(profile).newest_ms > 0 for profile in profiles)


def test_customers_lie_where_their_events_would() -> None:
    """Rule: a key stands in the changelog partition of its customer's events; nobody is left out."""
    keys = dealt(300, 4)
    assert sum(map(len, keys)) == 300
    assert all(partition_of(key[1:], 4) == number for number, here in enumerate(keys) for key in here)


def test_every_customer_is_written_so_many_times() -> None:
    """Rule: five records a customer are five different ones, in five turns, none in the order of the keys."""
    keys, profiles = [b"c%d" % number for number in range(12)], [b"p%d" % number for number in range(7)]
    turns = list(rounds(keys, profiles, 5))
    assert len(turns) == 5
    assert all(sorted(turn) == sorted(keys) and list(turn) != keys for turn in turns)
    assert len({turn[b"c3"] for turn in turns}) == 5


def _result(customers: int, **changes: float) -> dict[str, Any]:
    row = {"records": 1, "store": False, "ready_s": 20.0, "cpu_s": 18.0, "peak_mib": 500.0, "disk_mib": 900.0}
    rows = [row | changes, row | {"store": True, "ready_s": 4.0}]
    return {"customers": customers, "partitions": 4, "profile_bytes": 1_400.0, "rows": rows}


def test_a_million_customers_decide() -> None:
    """Rule: 25 s from nothing, 5 s with the store, 2 GiB; a small run decides nothing."""
    assert figures.passed(_result(1_000_000))
    assert not figures.passed(_result(1_000_000, ready_s=26.0))
    assert not figures.passed(_result(1_000_000, peak_mib=2_100.0))
    assert not figures.passed(_result(1_000_000, store=True, ready_s=6.0))
    assert figures.passed(_result(20_000, ready_s=26.0))
    assert "MISSED" in figures.render(_result(1_000_000, ready_s=26.0))
    assert "MISSED" not in figures.render(_result(20_000, ready_s=26.0))
