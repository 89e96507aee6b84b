"""Peer means: decayed means over snapshots."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.peer_means import PeerMeans
from models.profile.mergeable import DAY_MS


def test_peer_mean_is_the_decayed_mean_of_snapshots() -> None:
    """A snapshot of one half-life ago has half the weight."""
    population = PeerMeans(1, half_life_ms=7 * DAY_MS)
    rng = np.random.default_rng(1)
    days, values = np.sort(rng.integers(0, 60, 200)), rng.normal(size=200)
    for day, value in zip(days, values, strict=True):
        population.update(np.array([value]), DAY_MS * (20_000 + int(day)))
    weights = 0.5 ** ((days[-1] - days) / 7)
    assert population.mean()[0] == pytest.approx(np.average(values, weights=weights))


def test_peer_mean_is_missing_before_the_first_value() -> None:
    """Before the first snapshot, and after snapshots with a missing value."""
    population = PeerMeans(2, half_life_ms=1000)
    assert np.isnan(population.mean()).all()
    population.update(np.array([np.nan, 3.0]), 5)
    assert np.isnan(population.mean()[0])
    assert population.mean()[1] == 3.0


def test_missing_value_does_not_change_the_peer_mean() -> None:
    """For any number of missing values."""
    population = PeerMeans(1, half_life_ms=1000)
    population.update(np.array([4.0]), 1000)
    for at in range(1000, 90_000, 500):
        population.update(np.array([np.nan]), at)
    assert population.mean()[0] == pytest.approx(4.0)


def test_snapshot_reads_the_peer_mean_before_updating_it() -> None:
    """No customer is compared with itself."""
    population = PeerMeans(1, half_life_ms=1000)
    levels = population.levels(np.array([[2.0], [6.0], [100.0], [7.0]]), [10, 10, None, None])
    assert np.isnan(levels[0, 0])
    assert levels[1:, 0].tolist() == [2.0, 4.0, 4.0]


def test_batch_boundaries_change_no_bit() -> None:
    """Points one by one and together give the same bits."""
    rng = np.random.default_rng(3)
    x = np.where(rng.random((300, 4)) < 0.1, np.nan, rng.normal(size=(300, 4)))
    at = [int(t) if rng.random() < 0.6 else None for t in np.cumsum(rng.integers(0, 10**7, 300)) + 10**12]
    together = PeerMeans(4, half_life_ms=1e9)
    whole = together.levels(x, at)
    alone = PeerMeans(4, half_life_ms=1e9)
    single = np.concatenate([alone.levels(x[i : i + 1], at[i : i + 1]) for i in range(300)])
    assert whole.tobytes() == single.tobytes()
    assert together.state() == alone.state()


def test_late_snapshot_does_not_move_time_back() -> None:
    """It counts with full weight."""
    population = PeerMeans(1, half_life_ms=1000)
    population.update(np.array([0.0]), 5000)
    population.update(np.array([1.0]), 1000)
    assert population.mean()[0] == pytest.approx(0.5)


def test_restored_state_has_the_same_bits() -> None:
    """Includes later updates; a state of another size is ignored."""
    first, second = PeerMeans(3, half_life_ms=1e8), PeerMeans(3, half_life_ms=1e8)
    rng = np.random.default_rng(2)
    for i in range(50):
        first.update(rng.normal(size=3), 10**12 + i * 10**7)
    second.restore(first.state())
    for population in (first, second):
        population.update(np.array([1.0, np.nan, 2.0]), 10**12 + 10**9)
    assert first.state() == second.state()
    assert first.mean().tobytes() == second.mean().tobytes()
    other = PeerMeans(4, half_life_ms=1e8)
    other.restore(first.state())
    assert np.isnan(other.mean()).all()


def test_peer_mean_stays_finite_after_a_century_without_snapshots() -> None:
    """Sums that decayed to 0 are not divided into noise."""
    population = PeerMeans(1, half_life_ms=DAY_MS)
    population.update(np.array([3.0]), 20_000 * DAY_MS)
    population.update(np.array([np.nan]), 60_000 * DAY_MS)
    assert np.isnan(population.mean()[0]) or population.mean()[0] == pytest.approx(3.0)
    population.update(np.array([5.0]), 60_000 * DAY_MS)
    assert population.mean()[0] == pytest.approx(5.0)
