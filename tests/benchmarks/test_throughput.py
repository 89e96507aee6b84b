"""The throughput benchmark's own parts: its clocks, its inputs, its counting, and what it says of the figures."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from benchmarks.throughput import contenders, figures, kafka, world
from benchmarks.throughput.__main__ import exit_code, main
from benchmarks.throughput.child import Child, CpuTrace, Failed
from benchmarks.throughput.contenders import (
    BARE,
    ENGINE,
    FAUST,
    PRODUCT,
    QUIX_AT_LEAST_ONCE,
    QUIX_EXACTLY_ONCE,
    TWO_PRODUCTS,
    Sample,
)
from benchmarks.throughput.counting import Counting
from benchmarks.throughput.stopwatch import REST, Renamed, Stopwatch
from benchmarks.throughput.table import render, verdict
from models.events.event import Event, decode
from models.profile.mergeable import DAY_MS
from streams import logs
from tests.paths import ROOT


class Ticks:
    """A clock that moves by what its owner is said to have spent."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def spend(self, ticks: int) -> None:
        self.now += ticks


# Clocks


def test_every_moment_belongs_to_exactly_one_stage() -> None:
    """An outer function of 7 that calls an inner one of 5 twice, after 3 outside of both."""
    ticks = Ticks()
    watch = Stopwatch(ticks)
    inner = watch.timed("inner", lambda: ticks.spend(5))

    def body() -> None:
        ticks.spend(7)
        inner()
        inner()

    ticks.spend(3)
    watch.timed("outer", body)()
    watch.settle()
    assert watch.spent_ns == {"outer": 7, "inner": 10, REST: 3}
    assert watch.calls == {"outer": 1, "inner": 2}


def test_an_exception_ends_its_stage() -> None:
    """What is spent after it is not the failed function's."""
    ticks = Ticks()
    watch = Stopwatch(ticks)

    def fails() -> None:
        ticks.spend(2)
        raise KeyError

    with pytest.raises(KeyError):
        watch.timed("failing", fails)()
    ticks.spend(4)
    watch.settle()
    assert watch.spent_ns == {"failing": 2, REST: 4}


def test_calls_that_are_timed_now_and_then_move_their_share_from_the_caller() -> None:
    """Eight calls of 3, every fourth timed: 24 for the stage, and the caller keeps its own 10."""
    ticks = Ticks()
    watch = Stopwatch(ticks)

    class Owner:
        @staticmethod
        def small() -> None:
            ticks.spend(3)

    watch.around(Owner, "small", "small", every=4)

    def body() -> None:
        ticks.spend(10)
        for _ in range(8):
            Owner.small()

    watch.timed("caller", body)()
    assert watch.spent_ns["small"] == 24
    assert watch.spent_ns["caller"] == 10
    assert watch.calls["small"] == 8


def test_a_coroutine_is_timed_only_while_it_runs() -> None:
    """Two that wait for each other: what one spends while the other waits is not counted for both."""
    ticks = Ticks()
    watch = Stopwatch(ticks)

    class Owner:
        async def work(self, turns: int) -> int:
            for _ in range(turns):
                ticks.spend(1)
                await asyncio.sleep(0)
            return turns

    watch.around(Owner, "work", "work", steps=True)

    async def both() -> list[int]:
        return await asyncio.gather(Owner().work(4), Owner().work(6))

    assert asyncio.run(both()) == [4, 6]
    assert watch.spent_ns["work"] == 10


def test_a_timed_coroutine_is_cancelled_like_any_other() -> None:
    """It sees the cancellation and cleans up; the time limit of its caller holds."""
    cleaned = []

    class Owner:
        async def waits(self) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                cleaned.append(True)

    Stopwatch().around(Owner, "waits", "waits", steps=True)

    async def limited() -> None:
        async with asyncio.timeout(0.01):
            await Owner().waits()

    with pytest.raises(TimeoutError):
        asyncio.run(limited())
    assert cleaned == [True]


def test_a_renamed_function_is_named() -> None:
    """The message tells which one, and which stage it was."""
    with pytest.raises(Renamed, match=r"Counting\.gone, which was 'counting', is gone"):
        Stopwatch().around(Counting, "gone", "counting")


def test_every_clock_finds_its_function() -> None:
    """In a process of its own, because clocks stay."""
    code = "from benchmarks.throughput.profiled import *; install(Stopwatch())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Inputs


def test_uniform_customers_are_the_same_each_time() -> None:
    """Valid events, keyed by their customer, in order of event time, over days; the busiest are near the rest."""
    source = world.uniform(6_000, customers=300)
    assert source.events == world.uniform(6_000, customers=300).events
    events = [decode(value, (), None) for _, value in source.events]
    assert all(isinstance(event, Event) for event in events)
    assert [event.customer.encode() for event in events if isinstance(event, Event)] == [k for k, _ in source.events]
    times = [event.time_ms for event in events if isinstance(event, Event)]
    assert times == sorted(times)
    assert 8 * DAY_MS < times[-1] - times[0] < 14 * DAY_MS
    assert source.about()["busiest"] < 5


def test_zipf_deals_the_same_events_out_unevenly() -> None:
    """Same number and order of the same events, another customer in key and value, a few of whom have most."""
    uniform = world.uniform(6_000, customers=300)
    zipf = world.zipf(uniform)
    assert len(zipf.events) == 6_000
    for (_, before), (key, after) in zip(uniform.events, zipf.events, strict=True):
        was, now = orjson.loads(before), orjson.loads(after)
        assert now["userId"].encode() == key
        assert {**now, "userId": was["userId"]} == was
    assert zipf.about()["busiest"] > 2 * uniform.about()["busiest"]


def test_a_short_log_is_told_of_more_customers(tmp_path: Path) -> None:
    """Two events of two customers for five: copies side by side, so that time goes on in order."""
    lines = [
        b'{"messageId":"m%d","userId":"u%d","timestamp":"2024-01-0%dT00:00:00Z","event":"X","type":"track"}' % (i, i, i)
        for i in (1, 2)
    ]
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    source = world.real_log(path, 5)
    told = [orjson.loads(value) for _, value in source.events]
    assert [event["userId"] for event in told] == ["u1-0", "u1-1", "u1-2", "u2-0", "u2-1"]
    assert len({event["messageId"] for event in told}) == 5
    assert [event["timestamp"] for event in told] == sorted(event["timestamp"] for event in told)


# The engine's counting


class _Event(NamedTuple):
    value: bytes


class _Store:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return []

    def next_due_ms(self) -> int | None:
        return None


def test_counting_counts_over_batches() -> None:
    """Two customers in three batches: counts and sums are those of all events, whatever the batches."""
    store = _Store()
    processor = Counting(0, store, None)
    events = [
        _Event(orjson.dumps({"userId": f"c{i % 2}", **({"properties": {"revenue": 1.5}} if i % 3 == 0 else {})}))
        for i in range(12)
    ]
    for at in range(0, 12, 5):
        store.values.update(processor.process(events[at : at + 5], None).changes)  # type: ignore[arg-type]
    totals = {key[1:]: orjson.loads(value or b"") for key, value in store.values.items()}
    assert totals == {b"c0": [6, 3.0], b"c1": [6, 3.0]}


# Measured processes


def test_cpu_time_of_a_process_is_seen_from_outside(tmp_path: Path) -> None:
    """One that is busy for a while, and one that only sleeps."""
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    for code, low_s, high_s in ((busy, 0.3, 0.8), ("import time; time.sleep(0.5)", 0.0, 0.2)):
        started_s = time.time()
        with Child([sys.executable, "-c", code], {}, tmp_path / "log") as child:
            child.process.wait()
            child.cpu.stop()
        assert low_s <= child.cpu.between(started_s, time.time()) <= high_s
        assert child.cpu.peak_bytes > 1_000_000


def test_cpu_time_between_two_samples_is_in_proportion() -> None:
    """Half of the way between 1.0 and 3.0 is 2.0."""
    trace = CpuTrace(0)  # no such process: it ends at once
    trace._times, trace._spent = [10.0, 20.0], [1.0, 3.0]
    assert trace.between(10.0, 15.0) == 1.0


def test_a_failed_process_is_quoted(tmp_path: Path) -> None:
    """Its exit status and its last line."""
    with (
        Child([sys.executable, "-c", "raise SystemExit('no broker')"], {}, tmp_path / "log") as child,
        pytest.raises(Failed, match="ended with 1: no broker"),
    ):
        child.finish(20)


def test_a_worker_says_when_it_took_over() -> None:
    """The first takeover's end, to the millisecond; a log without one is an error, not a zero."""
    line = b'{"time":"2026-11-23T06:59:22.455Z","level":"info","message":"took over [0, 1] in 0.3 s"}\n'.decode()
    before = line.replace("22.455", "22.002").replace("took over", "will have taken over")
    at_s = contenders.took_over_s("no JSON: took over [\n" + before + line + line.replace("22.455", "29.000"))
    assert time.strftime("%H:%M:%S", time.gmtime(at_s)) == "06:59:22"
    assert at_s % 1 == pytest.approx(0.455, abs=1e-3)
    with pytest.raises(Failed, match="took over"):
        contenders.took_over_s("nothing\n")


def test_the_logs_own_words_are_those_that_are_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: a line of the product's own log, as its formatter writes it, tells the time of the takeover."""
    settings = kafka.settings_of("127.0.0.1:1", "run", "events", Path("nowhere"))
    record = logging.LogRecord(
        "streams.engine.ownership", logging.INFO, "", 0, "took over %s in %.1f s", ([0], 0.3), None
    )
    record.created = 1_700_000_000.25
    assert contenders.took_over_s(logs.formatter(settings, terminal=False).format(record)) == 1_700_000_000.25


# What is said of the figures


def _sample(rate: float, cpu_s: float = 0.01) -> Sample:
    return Sample(1_000, 1_000 / rate, cpu_s, 0.002, 50 * 1024 * 1024)


def _run(bare: float, product: float) -> dict[str, Any]:
    rows = [
        figures.row(BARE, [_sample(bare), _sample(bare / 2), _sample(bare * 2)]),
        figures.row(FAUST, [_sample(2_000)]),
        figures.row(QUIX_AT_LEAST_ONCE, [_sample(70_000)]),
        figures.row(QUIX_EXACTLY_ONCE, [_sample(50_000)]),
        figures.row(PRODUCT, [_sample(product, cpu_s=0.1)]),
    ]
    about = world.uniform(200, customers=50).about()
    return {
        "input": about,
        "rows": figures.with_ratios(rows),
        "left_out": {"(g) x": "failed: y"},
        "stages": None,
    }


def test_rows_carry_spread_and_ratios() -> None:
    """Ratios are of medians; that to (f) is to exactly once."""
    bare, _, _, _, product = _run(300_000, 9_000)["rows"]
    assert bare["rate"] == {"min": 150_000, "median": 300_000, "max": 600_000}
    assert bare["cpu_us_per_event"] == pytest.approx(10)
    assert product["ratio"] == pytest.approx({"a": 0.03, "b": 4.5, "f": 0.18})


def test_nothing_is_compared_with_at_least_once() -> None:
    """Without a row for exactly once there is no ratio to (f)."""
    rows = figures.with_ratios([figures.row(c, [_sample(9_000)]) for c in (QUIX_AT_LEAST_ONCE, ENGINE, PRODUCT)])
    assert all(row["ratio"] == {} for row in rows)
    assert not any("(f)" in line for line in verdict(rows))


def test_the_ratio_decides_the_exit_code() -> None:
    """2.5 % of the bare loop; what was asked for and failed is a miss; what was not asked for decides nothing."""
    kept, missed = _run(300_000, 9_000), _run(300_000, 7_000)
    assert exit_code(kept, {"a", "c"}) == 0
    assert exit_code(missed, {"a", "c"}) == 1
    assert exit_code({**kept, "rows": kept["rows"][:1]}, {"a", "c"}) == 1
    assert exit_code({**kept, "rows": kept["rows"][:1]}, {"a", "g"}) == 0
    assert next(verdict(kept["rows"])) == "(c) / (a)    3.0 %   needs 2.5 %: kept (10.0 % in CPU time)"
    assert next(verdict(missed["rows"])) == "(c) / (a)    2.3 %   needs 2.5 %: MISSED (10.0 % in CPU time)"


def test_the_table_shows_everything_that_was_measured_and_why_something_was_not() -> None:
    """Rates, ratios, stages by size, bytes."""
    profile = {
        "events": 100,
        "points": 76,
        "transactions": 2,
        "stages_s": {REST: 0.001, "score": 0.002, "encode scores": 0.005},
        "threads_s": {"main": 0.003, "computing": 0.005, "consumer": 0.001, "native": 0.0},
        "bytes": {"scores": 5_000},
        "records": {"scores": 76},
        "changelog": {"profiles": [40, 4_000]},
        "seconds": 0.02,
    }
    shown = render({**_run(300_000, 9_000), "stages": figures.stages(profile)})
    assert "300,000" in shown
    assert "(g) x" in shown
    assert "failed: y" in shown
    assert shown.index("encode scores") < shown.index("score  ") < shown.index(REST)
    assert "90.00" in shown  # all: 80 us of the main and the computing thread, 10 of the consumer's
    assert "scores 50 in 0.760" in shown
    assert "profiles 40.0" in shown


def test_two_workers_are_told_beside_one_with_what_they_use() -> None:
    """Rule: (d) in units of (c), and how many processors it kept busy with the broker beside it; no gate."""
    found = [
        figures.row(PRODUCT, [Sample(1_000, 0.1, 0.1, 0.01, 1)]),
        figures.row(TWO_PRODUCTS, [Sample(1_000, 0.08, 0.13, 0.014, 1)]),
    ]
    assert "(d) / (c)   1.25 x   two workers and the broker keep 1.8 processors busy" in list(
        verdict(figures.with_ratios(found))
    )


def test_the_trainer_has_a_line_of_its_own() -> None:
    """Labels are no events: the rate stands under the table."""
    rate = {"min": 9_000.0, "median": 10_000.0, "max": 11_000.0}
    trainer = {"labels": 47_000, "rate": rate, "cpu_us_per_label": 98.0, "peak_mib": 120.0}
    shown = render({**_run(300_000, 9_000), "trainer": trainer})
    assert "(e) churn-signals trainer: 10,000 labels/s (9,000 - 11,000) of 47,000; 98.0 us of CPU a label" in shown


def test_arguments_that_cannot_be_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A letter that nobody has, an interpreter and a log that are not there."""
    for arguments, words in (
        (["--only", "a,x"], "there is no (x)"),
        (["--quix", "/no/python"], "No such file"),
        (["--full", "--log", "/no/log"], "no such file"),
        (["--log", "/no/log"], "goes with --full"),
        (["--repetitions", "0"], "at least 1"),
    ):
        monkeypatch.setattr(sys, "argv", ["throughput", *arguments])
        with pytest.raises(SystemExit):
            main()
        assert words in capsys.readouterr().err


def test_results_can_be_kept() -> None:
    """All figures are plain JSON."""
    assert json.loads(json.dumps(_run(300_000, 9_000)))["rows"][0]["letter"] == "a"
