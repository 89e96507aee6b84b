"""Pure parts of the latency benchmark: the schedule, the cause of an output, percentiles, and the limits."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from benchmarks.latency import figures
from benchmarks.latency.feed import evenly_in_time
from benchmarks.latency.observer import Seen, caused
from benchmarks.latency.schedule import Due, Schedule, evenly, send
from benchmarks.latency.stages import STAGES, Fetched, Trace, Transaction, stages
from benchmarks.throughput import world
from benchmarks.throughput.kafka import Commit
from models.events.event import Event, decode


class _Batch:
    def __init__(self) -> None:
        self.timestamps: list[int] = []

    def append(self, *, key: bytes, value: bytes, timestamp: int) -> object:
        self.timestamps.append(timestamp)
        return object()


class _Producer:
    """Accepts batches, the very first one only after a stall."""

    def __init__(self, stall_s: float) -> None:
        self.stall_s = stall_s
        self.sent: list[tuple[int, list[int]]] = []

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> Any:
        if not self.sent:
            await asyncio.sleep(self.stall_s)
        self.sent.append((partition, batch.timestamps))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def test_stall_counts_for_every_event_that_it_delays() -> None:
    """Rule: there is no coordinated omission.

    Setup: 20 events a millisecond apart, and a broker that first stalls for 0.2 s. Each event keeps its scheduled send
    time, also as its timestamp, and late events are sent at once.
    """
    scheduled = evenly([(0, b"k", b"v")] * 20, 1_000.0, 1)
    producer, schedule, start_s = _Producer(0.2), Schedule.after([5]), time.time()
    asyncio.run(send(producer, "t", scheduled, schedule, start_s))
    intended = schedule.intended_s[0][5:]
    assert intended == pytest.approx([start_s + number / 1_000 for number in range(20)])
    assert [at for _, batch in producer.sent for at in batch] == [int(1000 * at) for at in intended]
    assert len(producer.sent) <= 3
    assert schedule.ends == [25]
    assert 0.15 < schedule.latest_s([5]) < 30.0


def test_events_are_scheduled_evenly_in_time() -> None:
    """Rule: one event every 1 / rate seconds, whatever its partition."""
    scheduled = evenly([(0, b"a", b"1"), (1, b"b", b"2"), (1, b"c", b"3")], 4.0, 2)
    assert scheduled == [[Due(0.0, b"a", b"1")], [Due(0.25, b"b", b"2"), Due(0.5, b"c", b"3")]]


def test_only_outputs_of_events_have_a_latency() -> None:
    """Rule: outputs of a deadline, and alerts that a timer changed, do not count as responses to an event."""
    assert caused(b'{"lineage": {"partition": 2, "offset": 9}, "probability": 0.5}') == (2, 9)
    assert caused(b'{"lineage": {"partition": 2, "offset": null}}') is None
    alert = b'{"time": "%s", "timing": {"scored_at": "2024-01-01T00:00:00Z"}, "lineage": {"partition": 0, "offset": 1}}'
    assert caused(alert % b"2024-01-01T00:00:00Z") == (0, 1)
    assert caused(alert % b"2024-01-02T00:00:00Z") is None


def test_observer_line_is_read_back() -> None:
    """Rule: a line of the observer contains all fields."""
    seen = Seen("alert", 3, 17, 1_700_000_000_123, 1_700_000_000.25)
    assert Seen.of(seen.line()) == seen


def _seen(kind: str, latency_ms: float, offset: int) -> Seen:
    return Seen(kind, 0, offset, 1_000_000 + round(latency_ms / 2), 1_000 + latency_ms / 1000)


def test_latency_counts_from_the_scheduled_send_time() -> None:
    """Rule: only events of the load count; latencies of 1 to 1,000 ms have a median of 500 and a p99 of 990."""
    intended = [[0.0] + [1_000.0] * 1_000]
    seen = [_seen("alert", 5_000, 0)] + [_seen("alert", number, number) for number in range(1, 1_001)]
    found = figures.latencies(seen, intended, [1])["alert"]
    assert found["seen"]["count"] == 1_000
    assert found["seen"]["p50"] == pytest.approx(500, rel=0.01)
    assert found["seen"]["p99"] == pytest.approx(990, rel=0.01)
    assert found["seen"]["max"] == pytest.approx(1_000, rel=0.01)
    assert found["written"]["p50"] == pytest.approx(250, rel=0.01)


def test_stages_of_an_event_add_up_to_its_latency() -> None:
    """Rule: fetch and transaction of an event are found by offset, even if their boundaries differ."""
    trace = Trace(
        [
            Fetched(0, 0, 5, 10.0).line(),
            Fetched(0, 5, 9, 10.5).line(),
            Transaction(0, 0, 7, 11.0, 11.1, 11.3, 11.4, 11.5).line(),
            Transaction(0, 7, 9, 12.0, 12.1, 12.2, 12.3, 12.4).line(),
        ]
    )
    intended, handed = [[9.0 + offset / 10 for offset in range(9)]], [[9.1 + offset / 10 for offset in range(9)]]
    seen = [Seen("score", 0, 6, 11_400, 11.45), Seen("score", 0, 4, 11_400, 11.45), Seen("score", 0, 9, 0, 0.0)]
    found = stages(trace, seen, intended, handed, [0])
    assert list(found) == list(STAGES)
    assert found["at the worker"]["mean"] == pytest.approx((800 + 500) / 2)  # of the second and the first fetch
    assert found["committed"]["p99"] == pytest.approx(100)
    assert sum(each["mean"] for each in found.values()) == pytest.approx((1_850 + 2_050) / 2)
    assert sorted(trace.sizes([0], [9])) == [2, 7]
    assert trace.sizes([7], [9]) == [2]
    assert trace.of(0, 9) is None


def test_peak_is_the_highest_sustained_rate() -> None:
    """Rule: bisection never returns a rate that was not sustained."""
    tried: list[float] = []

    def sustains(rate: float) -> bool:
        tried.append(rate)
        return rate <= 10_700

    assert figures.highest_sustained(sustains, 16_000.0, steps=5) == 10_500.0
    assert tried == [8_000.0, 12_000.0, 10_000.0, 11_000.0, 10_500.0]
    with pytest.raises(ValueError, match="does not sustain even 1,000 events/s"):
        figures.highest_sustained(lambda rate: False, 16_000.0, steps=4)


def test_commits_of_deadlines_after_the_last_event_do_not_count() -> None:
    """Rule: everything is committed when the last partition first reaches its end."""
    commits = [Commit(1.0, 0, 7), Commit(2.0, 0, 9), Commit(2.5, 1, 4), Commit(6.0, 0, 9)]
    assert figures.all_committed_s(commits, [9, 4]) == 2.5


def test_events_of_a_day_are_evenly_spaced_and_in_order() -> None:
    """Rule: only times change; a day's events keep their order, and the night has as many events as the day."""
    events = list(itertools.islice(world.endless(200), 3_000))
    even = list(evenly_in_time(events))
    assert [key for key, _ in even] == [key for key, _ in events]
    times = []
    for (_, value), (_, moved) in zip(events, even, strict=True):
        before, after = decode(value, (), None), decode(moved, (), None)
        assert isinstance(before, Event)
        assert isinstance(after, Event)
        assert (before.name, before.customer, before.id_hash) == (after.name, after.customer, after.id_hash)
        assert before.time_ms // 86_400_000 == after.time_ms // 86_400_000
        times.append(after.time_ms)
    assert times == sorted(times)
    third_day = [at % 86_400_000 for at in times if at // 86_400_000 == times[0] // 86_400_000 + 2]
    night = sum(at < 21_600_000 for at in third_day)
    assert night == pytest.approx(len(third_day) / 4, abs=1)


def _result(p50: float, p99: float) -> dict[str, Any]:
    found = {"count": 10, "p50": p50, "p99": p99, "p99.9": p99, "max": p99}
    load = {
        "share": 0.5,
        "rate": 5_000.0,
        "seconds": 20.0,
        "behind_s": 0.2,
        "sender_late_s": 0.01,
        "cores": {"worker": 0.5},
    }
    loads = [{**load, "latency": {"alert": {"seen": found, "written": found}}}]
    rates = {"backlog": 100_000, "alone": 15_000.0, "peak": 10_000.0}
    return {**rates, "customers": 10_000, "partitions": 4, "loads": loads}


def test_alert_latency_has_limits_at_half_of_the_peak() -> None:
    """Rule: p50 is at most 100 ms and p99 at most 250 ms; a run without alerts misses the limits."""
    assert figures.within_limits(_result(90, 240)["loads"])
    assert not figures.within_limits(_result(110, 240)["loads"])
    assert not figures.within_limits(_result(90, 260)["loads"])
    assert not figures.within_limits([])
    assert "p99 260 ms (limit 250): MISSED" in figures.render(_result(90, 260))
    assert "p99 240 ms (limit 250): met" in figures.render(_result(90, 240))
