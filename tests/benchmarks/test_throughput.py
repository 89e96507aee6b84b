"""Parts of the throughput benchmark: timers, inputs, counting, measured processes, and the printed figures."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import multiprocessing
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from benchmarks.throughput import contenders, figures, kafka, profiled, world
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


class Ticks:
    """A clock that advances only by explicit calls of `spend`."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def spend(self, ticks: int) -> None:
        self.now += ticks


# Timers


def test_each_moment_belongs_to_exactly_one_stage() -> None:
    """Setup: an outer function of 7 ticks calls an inner one of 5 ticks twice, after 3 ticks outside of both."""
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


def test_exception_ends_its_stage() -> None:
    """Rule: time after the exception does not count for the failed function."""
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


def test_sampled_calls_are_extrapolated_and_deducted_from_the_caller() -> None:
    """Setup: eight calls of 3 ticks, every fourth timed: 24 ticks for the stage, and 10 for the caller."""
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


def test_coroutine_is_timed_only_while_it_runs() -> None:
    """Rule: when two coroutines alternate, the time of one does not count for the other."""
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
        return [*await asyncio.gather(Owner().work(4), Owner().work(6))]

    assert asyncio.run(both()) == [4, 6]
    assert watch.spent_ns["work"] == 10


def test_timed_coroutine_can_be_cancelled() -> None:
    """Rule: it receives the cancellation and cleans up, and the timeout of its caller holds."""
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


def test_error_names_a_renamed_function() -> None:
    """Rule: the message names the function and its stage."""
    with pytest.raises(Renamed, match=r"Counting\.gone, which was 'counting', no longer exists"):
        Stopwatch().around(Counting, "gone", "counting")


def test_every_timed_function_exists() -> None:
    """Setup: a copy of this process, because timers cannot be removed; it exits with 1 on an exception."""
    copy = multiprocessing.get_context("fork").Process(target=profiled.install, args=(Stopwatch(),))
    copy.start()
    copy.join(60)
    assert copy.exitcode == 0


# Inputs


def test_uniform_customers_are_reproducible() -> None:
    """Rule: events are valid, keyed by customer, ordered by event time, over days, and spread evenly over customers."""
    source = world.uniform(6_000, customers=300)
    assert source.events == world.uniform(6_000, customers=300).events
    events = [decode(value, (), None) for _, value in source.events]
    assert all(isinstance(event, Event) for event in events)
    assert [event.customer.encode() for event in events if isinstance(event, Event)] == [k for k, _ in source.events]
    times = [event.time_ms for event in events if isinstance(event, Event)]
    assert times == sorted(times)
    assert 8 * DAY_MS < times[-1] - times[0] < 14 * DAY_MS
    assert source.about()["busiest"] < 5


def test_zipf_reassigns_the_same_events_unevenly() -> None:
    """Rule: the same events in the same order have other customers in key and value, and few customers have most."""
    uniform = world.uniform(6_000, customers=300)
    zipf = world.zipf(uniform)
    assert len(zipf.events) == 6_000
    for (_, before), (key, after) in zip(uniform.events, zipf.events, strict=True):
        was, now = orjson.loads(before), orjson.loads(after)
        assert now["userId"].encode() == key
        assert {**now, "userId": was["userId"]} == was
    assert zipf.about()["busiest"] > 2 * uniform.about()["busiest"]


def test_short_log_is_copied_to_more_customers(tmp_path: Path) -> None:
    """Setup: two events of two customers make five events. Copies are adjacent, so that times stay in order."""
    lines = [
        b'{"messageId":"m%d","userId":"u%d","timestamp":"2024-01-0%dT00:00:00Z","event":"X","type":"track"}' % (i, i, i)
        for i in (1, 2)
    ]
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    source = world.real_log(path, 5)
    copies = [orjson.loads(value) for _, value in source.events]
    assert [event["userId"] for event in copies] == ["u1-0", "u1-1", "u1-2", "u2-0", "u2-1"]
    assert len({event["messageId"] for event in copies}) == 5
    assert [event["timestamp"] for event in copies] == sorted(event["timestamp"] for event in copies)


# The engine's counting


class _Event(NamedTuple):
    value: bytes


class _Store:
    def __init__(self) -> None:
        self.values: dict[bytes, bytes | None] = {}

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        return []

    def next_due_ms(self) -> int | None:
        return None


def test_counts_and_sums_span_batches() -> None:
    """Rule: counts and sums are those of all events, whatever the batches."""
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


def test_cpu_time_of_a_process_is_measured_from_outside(tmp_path: Path) -> None:
    """Setup: one process is busy for a while, and one only sleeps."""
    busy = "import time\nwhile time.process_time() < 0.6: pass"
    for code, low_s, high_s in ((busy, 0.3, 0.8), ("import time; time.sleep(0.5)", 0.0, 0.2)):
        started_s = time.time()
        with Child([sys.executable, "-c", code], {}, tmp_path / "log") as child:
            child.process.wait()
            child.cpu.stop()
        assert low_s <= child.cpu.between(started_s, time.time()) <= high_s
        assert child.cpu.peak_bytes > 1_000_000


def test_cpu_time_between_two_samples_is_interpolated() -> None:
    """Rule: half-way between 1.0 and 3.0 is 2.0."""
    trace = CpuTrace(0)  # no such process, so sampling ends at once
    trace._times, trace._spent = [10.0, 20.0], [1.0, 3.0]
    assert trace.between(10.0, 15.0) == 1.0


def test_error_quotes_a_failed_process(tmp_path: Path) -> None:
    """Rule: the message has its exit code and its last line of output."""
    with (
        Child([sys.executable, "-c", "raise SystemExit('no broker')"], {}, tmp_path / "log") as child,
        pytest.raises(Failed, match="exited with 1: no broker"),
    ):
        child.finish(20)


def test_time_of_the_takeover_is_read_from_the_log() -> None:
    """Rule: it is the end of the first takeover, to the millisecond; a log without one is an error, not zero."""
    line = b'{"time":"2026-11-23T06:59:22.455Z","level":"info","message":"took over [0, 1] in 0.3 s"}\n'.decode()
    before = line.replace("22.455", "22.002").replace("took over", "will have taken over")
    at_s = contenders.took_over_s("no JSON: took over [\n" + before + line + line.replace("22.455", "29.000"))
    assert time.strftime("%H:%M:%S", time.gmtime(at_s)) == "06:59:22"
    assert at_s % 1 == pytest.approx(0.455, abs=1e-3)
    with pytest.raises(Failed, match="took over"):
        contenders.took_over_s("nothing\n")


def test_log_of_the_product_has_the_expected_takeover_message(capsys: pytest.CaptureFixture[str]) -> None:
    """Rule: the time of the takeover can be read from a line as the product's log formatter writes it."""
    settings = kafka.settings_of("127.0.0.1:1", "run", "events", Path("nowhere"))
    record = logging.LogRecord(
        "streams.engine.ownership", logging.INFO, "", 0, "took over %s in %.1f s", ([0], 0.3), None
    )
    record.created = 1_700_000_000.25
    assert contenders.took_over_s(logs.formatter(settings, terminal=False).format(record)) == 1_700_000_000.25


# Figures and tables


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


def test_rows_have_spread_and_ratios() -> None:
    """Rule: ratios compare medians, and the ratio to (f) is to exactly once."""
    bare, _, _, _, product = _run(300_000, 9_000)["rows"]
    assert bare["rate"] == {"min": 150_000, "median": 300_000, "max": 600_000}
    assert bare["cpu_us_per_event"] == pytest.approx(10)
    assert product["ratio"] == pytest.approx({"a": 0.03, "b": 4.5, "f": 0.18})


def test_at_least_once_is_not_a_yardstick() -> None:
    """Rule: without a row for exactly once, there is no ratio to (f)."""
    rows = figures.with_ratios([figures.row(c, [_sample(9_000)]) for c in (QUIX_AT_LEAST_ONCE, ENGINE, PRODUCT)])
    assert all(row["ratio"] == {} for row in rows)
    assert not any("(f)" in line for line in verdict(rows))


def test_ratio_determines_the_exit_code() -> None:
    """Rule: the limit is 2.5% of the bare loop; a requested row that failed is a miss; other rows have no effect."""
    met, missed = _run(300_000, 9_000), _run(300_000, 7_000)
    assert exit_code(met, {"a", "c"}) == 0
    assert exit_code(missed, {"a", "c"}) == 1
    assert exit_code({**met, "rows": met["rows"][:1]}, {"a", "c"}) == 1
    assert exit_code({**met, "rows": met["rows"][:1]}, {"a", "g"}) == 0
    assert next(verdict(met["rows"])) == "(c) / (a)    3.0%   needs 2.5%: met (10.0% in CPU time)"
    assert next(verdict(missed["rows"])) == "(c) / (a)    2.3%   needs 2.5%: MISSED (10.0% in CPU time)"


def test_table_shows_all_figures_and_why_some_are_missing() -> None:
    """Setup: rates, ratios, stages by size, and bytes."""
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
    assert "90.00" in shown  # total: 80 us of the main and the computing thread, 10 of the consumer thread
    assert "scores 50 in 0.760 records" in shown
    assert "profiles 40.0" in shown


def test_two_workers_are_compared_with_one() -> None:
    """Rule: the line shows (d) relative to (c), and the CPUs that (d) and the broker keep busy; there is no limit."""
    found = [
        figures.row(PRODUCT, [Sample(1_000, 0.1, 0.1, 0.01, 1)]),
        figures.row(TWO_PRODUCTS, [Sample(1_000, 0.08, 0.13, 0.014, 1)]),
    ]
    assert "(d) / (c)   1.25 x   two workers and the broker keep 1.8 CPUs busy" in list(
        verdict(figures.with_ratios(found))
    )


def test_trainer_has_a_separate_line() -> None:
    """Rule: labels are not events, so their rate is below the table."""
    rate = {"min": 9_000.0, "median": 10_000.0, "max": 11_000.0}
    trainer = {"labels": 47_000, "rate": rate, "cpu_us_per_label": 98.0, "peak_mib": 120.0}
    shown = render({**_run(300_000, 9_000), "trainer": trainer})
    assert "(e) churn-signals trainer: 10,000 labels/s (9,000 - 11,000) of 47,000; 98.0 us of CPU per label" in shown


def test_invalid_arguments_are_rejected_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Setup: an unknown letter, and an interpreter and a log that do not exist."""
    for arguments, message in (
        (["--only", "a,x"], "there is no (x)"),
        (["--quix", "/no/python"], "No such file"),
        (["--full", "--log", "/no/log"], "no such file"),
        (["--log", "/no/log"], "requires --full"),
        (["--repetitions", "0"], "at least 1"),
    ):
        monkeypatch.setattr(sys, "argv", ["throughput", *arguments])
        with pytest.raises(SystemExit):
            main()
        assert message in capsys.readouterr().err


def test_results_can_be_saved() -> None:
    """Rule: all figures are plain JSON."""
    assert json.loads(json.dumps(_run(300_000, 9_000)))["rows"][0]["letter"] == "a"
