"""Sizing rules: from measured figures to workers, partitions, bytes and disk space."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import sizing

THROUGHPUT: dict[str, Any] = {
    "runs": [
        {
            "rows": [{"letter": "c", "cpu_us_per_event": 60.0, "broker_cpu_us_per_event": 10.0}],
            "stages": {
                "bytes_per_event": {"scores": 1_000.0, "profiles-changelog": 500.0},
                "records_per_event": {"scores": 0.4, "labels": 0.05},
            },
            "trainer": {"cpu_us_per_label": 100.0},
        }
    ]
}
GROWTH = {"rows": [{"customers": 10, "store_mib": 9.0}, {"customers": 1_000_000, "store_mib": 400.0}]}
RECOVERY = {
    "customers": 1_000_000,
    "profile_bytes": 1_500.0,
    "rows": [
        {"records": 1, "store": True, "cpu_s": 1.0},
        {"records": 1, "store": False, "cpu_s": 10.0},
        {"records": 5, "store": False, "cpu_s": 30.0},
    ],
}


def test_sizing_follows_from_event_rate_and_customers() -> None:
    """Rule: 60 us at 60% busy is 100 us of a worker; partitions follow from workers or customers, whichever is more."""
    found = sizing.costs(THROUGHPUT, GROWTH, RECOVERY)
    small, large = sizing.size(1_000, found), sizing.size(100_000, found)
    assert (small.workers, small.partitions) == (1, 4)
    assert (large.workers, large.partitions) == (10, 173)  # 86,400,000 customers, 500,000 in each
    assert small.customers == 864_000
    assert small.changelog_mb_s == 0.5
    assert small.written_mb_s == 1.5
    assert small.store_gb == pytest.approx(864_000 * 400 * 2**20 / 1e6 / 1e9)
    assert small.recovery_s == pytest.approx(8.64)
    assert large.trainer_processors == pytest.approx(0.5)
    assert sizing.size(1_000, found, 1.0).partitions == 173


def test_table_shows_the_first_scaling_limit() -> None:
    """Rule: there is one trainer, so 5 us per event limit the rate to 200,000 events/s."""
    found = sizing.costs(THROUGHPUT, GROWTH, RECOVERY)
    shown = sizing.render([sizing.size(rate, found) for rate in sizing.RATES], found, sizing.A_DAY)
    assert "| events/s | 1,000 | 100,000 | 10,000,000 |" in shown
    assert "| workers with one CPU | 1 | 10 | 1,000 |" in shown
    assert "fully used at 200,000 events/s" in shown


@pytest.mark.parametrize("run", [THROUGHPUT["runs"][0] | {"rows": []}, {**THROUGHPUT["runs"][0], "trainer": None}])
def test_incomplete_figures_are_rejected(run: dict[str, Any]) -> None:
    """Rule: the error names the missing rows and the command that measures them."""
    found = {name: value for name, value in run.items() if value is not None}
    with pytest.raises(SystemExit, match="--full"):
        sizing.costs({"runs": [found]}, GROWTH, RECOVERY)
