"""A run with faults: exactly the expected rules fire, in agreement with `lag` and `/readyz`."""

from __future__ import annotations

import asyncio
import contextlib
import doctest
import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from streams.monitoring.http_server import address_directory
from streams.topics import EVENTS, name_of
from tests import waiting
from tests.broker import prometheus as module
from tests.broker.commands import call
from tests.broker.prometheus import Prometheus, prometheus
from tests.crash.harness import Run, scenario
from tests.waiting import WAIT_S

PRODUCT = Path(__file__).with_name("product.py")
CHURN = '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "2d"\n[snapshot]\nevery = "1d"'
# Too few labels for the calibration rules, which need 1,000.
CUSTOMERS = 10
TICK_S = 0.25
TICK_MS = 6 * 3_600_000  # in event time: labels mature from three seconds on
DAYS_AGO = 400
# Three processes that start at once take 10 s for imports on two cores shared with other tests.
START_TIMEOUT_S = 90.0


class Feed:
    """Publish four events per customer and day, one day per second. Some events raise if `poison` is set."""

    def __init__(self, run: Run) -> None:
        self.poisoned = False
        self._run = run

    async def publish(self) -> None:
        topic, at_ms = name_of(EVENTS, self._run.settings), int(time.time() * 1000) - DAYS_AGO * 86_400_000
        async with AIOKafkaProducer(**self._run.settings.connection(), linger_ms=5) as producer:
            while True:
                for number in range(CUSTOMERS):
                    call = {"type": "track", "event": "Feature Used", "userId": f"c{number}", "timestamp": at_ms / 1000}
                    await producer.send(topic, orjson.dumps(call), key=b"c%d" % number)
                if self.poisoned:
                    await producer.send(topic, b"poison", key=b"c0")
                at_ms += TICK_MS
                await asyncio.sleep(TICK_S)


def addresses(run: Run) -> dict[int, str]:
    """Addresses of the HTTP servers by process id."""
    files = address_directory(run.settings).glob("*.json")
    return {int(file.stem.rsplit("-", 1)[1]): json.loads(file.read_text())[0]["targets"][0] for file in files}


def ready(address: str) -> bool | None:
    """Return the status of `/readyz`; None without a response."""
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=4) as answer:
            return bool(json.load(answer)["ready"])
    except urllib.error.HTTPError as refused:
        return bool(json.load(refused)["ready"])
    except OSError:
        return None


async def fires(seen: Prometheus, expected: set[tuple[str, str]], *, within_s: float, for_s: float = 1.0) -> None:
    """Wait until exactly these alerts fire for some time."""
    deadline, since, found = time.monotonic() + within_s, None, set[tuple[str, str]]()
    while since is None or time.monotonic() - since < for_s:
        try:
            found = await asyncio.to_thread(seen.firing)
        except OSError:
            found = {("no Prometheus yet", "")}
        since = (since or time.monotonic()) if found == expected else None
        assert time.monotonic() < deadline, (found, expected)
        await asyncio.sleep(0.1)


async def lag(run: Run, window_s: int = 10) -> tuple[int, list[dict[str, Any]]]:
    """Return exit code and rows. Positions are committed once per second, so a window of few seconds is too short."""
    result = await asyncio.to_thread(call, run, "lag", "--json", "--window", str(window_s))
    return result.exit_code, [json.loads(line) for line in result.output.splitlines()]


async def unowned(run: Run) -> bool:
    """Whether the group has no member left. A suspended process stays a member until its session ends."""
    _, rows = await lag(run, window_s=0)
    return not any(row["owner"] for row in rows)


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed: make debian-tools")
def test_exactly_the_expected_rules_fire(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Setup: two workers, a trainer, and Prometheus with the product's rules, 120 times as fast.

    Without faults, no rule fires. Then the trainer exits, some events raise, and a worker is suspended: the rules for a
    stale model, dead letters and an unresponsive process fire, and no others. The other worker takes over the
    partitions, so `lag` and `/readyz` report no problem with them, but the labels have no owner. When the last worker
    is suspended too, the partitions have no owner either.
    """
    churn = tmp_path / "churn.toml"
    churn.write_text(CHURN)

    async def body(run: Run) -> None:
        for name, role in (("stays", "worker"), ("hangs", "worker"), ("trainer", "trainer")):
            run.start(name, program=PRODUCT, PRODUCT_ROLE=role)
        feed = Feed(run)
        publishing = asyncio.create_task(feed.publish())
        try:
            with prometheus(tmp_path / "prometheus", run.settings.data_dir) as seen:
                await faults(run, feed, seen)
        finally:
            publishing.cancel()

    scenario(new_run(config=str(churn), snapshot_interval_ms=500), body)


async def value_is(seen: Prometheus, query: str, expected: float) -> None:
    deadline, found = time.monotonic() + START_TIMEOUT_S, None
    while found != expected:
        assert time.monotonic() < deadline, (query, found)
        await asyncio.sleep(0.2)
        with contextlib.suppress(OSError):
            found = await asyncio.to_thread(seen.value, query)


async def faults(run: Run, feed: Feed, seen: Prometheus) -> None:
    group = run.settings.kafka_group_id
    await value_is(seen, "count(churn_signals_model_snapshot_timestamp_seconds > 0)", 2)
    _, (code, rows) = await asyncio.gather(fires(seen, set(), within_s=WAIT_S, for_s=3), lag(run))
    assert (code, {row["status"] for row in rows}) == (0, {"OK"}), rows
    where = addresses(run)
    stays, hangs = where[run.workers["stays"].pid], where[run.workers["hangs"].pid]
    assert [ready(address) for address in where.values()] == [True] * 3
    await value_is(seen, "max(churn_signals_lag_seconds) < bool 5", 1)
    examples = await asyncio.to_thread(seen.examples, "churn_signals_event_to_score_seconds_bucket")
    assert {frozenset(example) for example in examples} == {frozenset(("partition", "offset"))}

    feed.poisoned = True
    assert run.stop("trainer") == 0
    run.workers["hangs"].send_signal(signal.SIGSTOP)
    await value_is(seen, f'churn_signals_assigned_partitions{{instance="{stays}"}}', run.settings.partitions)
    wrong = {("ModelStale", stays), ("DeadLetters", group), ("ProcessNotReady", hangs)}
    _, (code, rows) = await asyncio.gather(fires(seen, wrong, within_s=WAIT_S), lag(run))
    assert (ready(stays), ready(hangs)) == (True, None)
    *events, labels = rows
    owners = {row["owner"]["member"] for row in events}
    assert (code, len(owners), {row["status"] for row in events}) == (11, 1, {"OK"}), rows
    assert (labels["status"], labels["owner"]) == ("STOP", None)

    run.workers["stays"].send_signal(signal.SIGSTOP)
    everywhere = {("ProcessNotReady", stays), ("ProcessNotReady", hangs), ("PartitionUnowned", "")}
    await fires(seen, everywhere, within_s=WAIT_S)
    assert ready(stays) is None
    await waiting.until("the end of both sessions", lambda: unowned(run), every_s=0.5)
    code, rows = await lag(run, window_s=4)  # a window without progress
    assert (code, {row["status"] for row in rows}, [row["owner"] for row in rows]) == (11, {"STOP"}, [None] * 5), rows


def test_shortened_rules_differ_only_in_times() -> None:
    """Rule: these tests evaluate the rules that operators use."""
    assert doctest.testmod(module).failed == 0
    text = module.RULES.read_text()
    there = module.hastened(text)
    assert len(text.splitlines()) == len(there.splitlines())
    assert not re.search(r"\d[smhd](\]|$| offset)", there, re.MULTILINE), "a time was left as it is"
