"""Parts of the soak without a broker: verdicts on synthetic series, resources, latencies, and ended processes."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import figures
from benchmarks.soak.__main__ import exit_code, problems_of
from benchmarks.soak.drift import LIMITS, MIB, Series, after_warm_up, judge, slope
from benchmarks.soak.processes import Processes
from benchmarks.soak.run import Soak
from benchmarks.soak.traffic import Latencies
from benchmarks.soak.usage import disk_use, usage_of
from benchmarks.throughput import kafka
from streams.devbroker.embedded_broker import EmbeddedBroker

# The event rate of the soak, and the length of the shortest run that counts, after the warm-up.
RATE, HOURS = 200, 0.75 * 0.75
MEMORY = 300 * MIB


def memory(per_event: float, *, hours: float = HOURS, noise: float = 3 * MIB, start: float = MEMORY) -> Series:
    """A process that keeps so many bytes of each event, sampled every 30 s."""
    rng = random.Random(1)
    return [
        (at, start + per_event * RATE * 3600 * at + rng.uniform(-noise, noise))
        for at in (number / 120 for number in range(int(hours * 120)))
    ]


def verdict(figure: str, series: Series) -> bool:
    found = judge("worker", figure, series)
    assert found is not None
    return found.drifts


def test_steady_memory_does_not_drift() -> None:
    assert not verdict("rss", memory(0))


def test_leak_of_200_bytes_per_event_is_detected_in_the_default_run() -> None:
    """Rule: a leak of one small object per event is found within three quarters of an hour."""
    assert verdict("rss", memory(200))
    assert not verdict("rss", memory(10)), "below the limit of this length"


def test_slower_leak_is_detected_in_a_longer_run() -> None:
    assert verdict("rss", memory(10, hours=8))


def test_growth_during_the_warm_up_is_not_drift() -> None:
    """Rule: caches and profiles that fill until the warm-up ends do not fail a run."""
    filling = [(at, MEMORY * min(1.0, at / 0.25)) for at in (number / 120 for number in range(120))]
    assert verdict("rss", filling)
    assert not verdict("rss", after_warm_up(filling, 0.25))


@pytest.mark.parametrize(
    ("figure", "steady", "leaking"),
    [
        ("descriptors", [60, 62, 61, 66], [60, 66, 72, 78]),
        ("threads", [16, 17, 16, 18], [16, 18, 20, 22]),
        ("disk", [40 * MIB, 60 * MIB, 45 * MIB, 60 * MIB], [40 * MIB, 60 * MIB, 70 * MIB, 90 * MIB]),
        ("latency p50", [30, 200, 40, 90], [30, 100, 200, 300]),
        ("latency p99", [200, 900, 300, 800], [200, 700, 1_500, 3_000]),
        ("lag events", [50, 900, 80, 200], [50, 800, 1_600, 2_400]),
        ("lag labels", [0, 300, 10, 200], [0, 800, 1_600, 2_400]),
    ],
)
def test_every_figure_has_a_limit_between_noise_and_drift(
    figure: str, steady: list[float], leaking: list[float]
) -> None:
    def series(values: list[float]) -> Series:
        return [(number / 120, values[number // 4]) for number in range(16)]

    assert not verdict(figure, series(steady))
    assert verdict(figure, series(leaking))


def test_single_outlier_changes_no_verdict() -> None:
    series = list(memory(0))
    series[-2] = (series[-2][0], 10 * MEMORY)
    assert not verdict("rss", series)


def test_shrinking_is_not_drift() -> None:
    assert not verdict("rss", memory(-200))


def test_slope_is_per_hour() -> None:
    assert slope(memory(100, noise=0)) == pytest.approx(100 * RATE * 3600)
    assert slope([(1.0, 5.0)]) == 0.0


def test_short_series_is_not_judged() -> None:
    assert judge("worker", "rss", memory(200)[:7]) is None


def samples(process: str, per_event: float) -> list[dict[str, Any]]:
    return [
        {"hours": at, "load": 0.5, "figures": {process: {"rss": value, "cpu_s": 36 * at}}}
        for at, value in memory(per_event)
    ]


def test_leak_is_in_the_table_and_fails_the_run() -> None:
    found = Soak(samples("trainer", 200), webhooks=3, published=9, scores=4)
    drifts = figures.drifts(found.samples, 0.1)
    assert "| trainer | rss, MiB |" in figures.render(drifts, found.samples)
    assert "**drifts**" in figures.render(drifts, found.samples)
    assert "trainer 1;" in figures.render(drifts, found.samples)
    assert problems_of(found, drifts) == ["trainer: rss drifts"]
    assert exit_code(problems_of(found, drifts), drifts) == 1


def test_broker_is_reported_and_not_judged() -> None:
    [drift] = figures.drifts(samples("broker", 200), 0.1)
    assert not drift.drifts
    assert "not judged" in figures.render([drift], samples("broker", 200))


def test_run_without_effects_fails() -> None:
    """Rule: steady figures of processes that do nothing prove nothing."""
    found = Soak(samples("worker", 0))
    drifts = figures.drifts(found.samples, 0.1)
    assert problems_of(found, drifts) == ["no scores in the whole run", "no webhooks in the whole run"]


def test_steady_run_passes_and_a_short_one_is_not_judged() -> None:
    found = Soak(samples("worker", 0), webhooks=3, scores=4)
    drifts = figures.drifts(found.samples, 0.1)
    assert exit_code(problems_of(found, drifts), drifts) == 0
    assert exit_code([], figures.drifts(found.samples[:5], 0.0)) == 2


def test_latency_pairs_event_and_score_in_either_order() -> None:
    latencies = Latencies()
    latencies.sent((0, 1), 10.0)
    latencies.seen((0, 1), 10.25)
    latencies.seen((0, 2), 11.5)
    latencies.sent((0, 2), 11.0)
    assert latencies.drain() == [250.0, 500.0]
    assert latencies.drain() == []


def test_events_without_scores_are_forgotten() -> None:
    """Rule: the memory of the observing program is bounded."""
    latencies = Latencies()
    for number in range(1_000):
        latencies.sent((0, number), float(number))
    latencies.seen((0, 0), 1_000.0)
    assert latencies.drain() == []


def test_usage_counts_what_a_process_holds(tmp_path: Path) -> None:
    before = usage_of(os.getpid())
    with open(tmp_path / "held", "wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        after = usage_of(os.getpid())
        assert disk_use(tmp_path) >= 100_000
    assert before is not None
    assert after is not None
    assert after.descriptors == before.descriptors + 1
    assert min(after.rss / MIB, after.threads) >= 1
    assert after.cpu_s > 0
    assert usage_of(2**22 + 1) is None


def test_process_that_ends_is_a_problem_with_its_last_log_line(tmp_path: Path) -> None:
    """Rule: nothing is restarted; also an end with 0 fails the run, and each end is reported once."""

    async def ended() -> Processes:
        broker = EmbeddedBroker(tmp_path / "broker")
        found = Processes(broker, kafka.settings_of("127.0.0.1:9", "soak", "events", tmp_path), tmp_path)
        (tmp_path / "trainer.log").write_text("starts\nERROR the disk is full\n")
        found._waits["trainer"] = asyncio.create_task(asyncio.sleep(0, 0))
        await asyncio.sleep(0.01)
        assert not found.check()
        assert not found.check()
        return found

    problems = asyncio.run(ended()).problems
    assert problems[0] == "trainer exited with status 0; its last log line: ERROR the disk is full"
    assert [problem.split()[0] for problem in problems] == ["trainer", "broker"]


def test_every_figure_names_its_unit() -> None:
    assert all(limit.unit and limit.growth > 0 and limit.share > 0 for limit in LIMITS.values())


def test_short_run_is_not_blamed_for_missing_webhooks() -> None:
    """Rule: an alert needs days of event time, which a run that is stopped early does not reach."""
    found = Soak(samples("worker", 0)[:5])
    assert problems_of(found, figures.drifts(found.samples, 0.0)) == []
