"""The parts of the demo without a broker: what is sent and when, what is counted and shown, where it lives."""

from __future__ import annotations

import asyncio
import doctest
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from models.definition.churn_definition import ChurnDefinition
from models.profile.mergeable import DAY_MS
from streams.demo import alert_counts, definition_text, feed, processes, runner, screen, watch
from streams.demo.alert_counts import AlertCounts
from streams.demo.feed import AHEAD_EVENTS, DemoFeed, Phase
from streams.demo.processes import ChildDied, last_lines
from streams.demo.screen import ALERT_EVERY_S, PLAIN_FIGURES_EVERY_S, Screen
from streams.demo.source import (
    FILE_HISTORY_SHARE,
    SIMULATED_FROM_MS,
    SIMULATED_HISTORY_MS,
    FeedItem,
    LogSource,
    SimulatedSource,
)
from streams.demo.watch import Watch
from streams.demo.workspace import Workspace
from streams.errors import ConfigurationError, SettingsError
from streams.settings import Settings, variable
from tests import virtual_clock
from tests.paths import ROOT
from tests.waiting import WAIT_S


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CHURN_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "module", [processes, feed, definition_text, screen, alert_counts, watch], ids=lambda module: module.__name__
)
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


# Sources -------------------------------------------------------------------------------------------------------------


def test_the_same_seed_sends_the_same_events_and_the_first_sixty_days_are_history() -> None:
    def first_days() -> list[tuple[FeedItem, bool]]:
        source = SimulatedSource(20, seed=3)
        found: list[tuple[FeedItem, bool]] = []
        for item in source.items():
            if item.time_ms > SIMULATED_FROM_MS + SIMULATED_HISTORY_MS + DAY_MS:
                return found
            found.append((item, source.in_history(item, len(found))))
        raise AssertionError("the simulation ended")

    once = first_days()
    assert once == first_days()
    assert {past for item, past in once if item.time_ms < SIMULATED_FROM_MS + 60 * DAY_MS} == {True}
    assert {past for item, past in once if item.time_ms >= SIMULATED_FROM_MS + 60 * DAY_MS} == {False}
    assert all(item.customer for item, _ in once)


def test_a_quarter_of_a_log_is_history_and_what_is_no_event_has_no_key(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    line = '{"type":"page","userId":"u%d","timestamp":"2014-01-%02dT00:00:00Z","messageId":"%s"}\n'
    file.write_text("".join(line % (n, 1 + n // 1000, "x" * 60) for n in range(10_000)) + "not json\n\n")
    source, history = LogSource(file), 0
    items: list[FeedItem] = []
    for item in source.items():
        history += source.in_history(item, len(items))
        items.append(item)
    assert len(items) == 10_001
    assert abs(history / len(items) - FILE_HISTORY_SHARE) < 0.05
    assert items[0] == FeedItem(1_388_534_400_000, "u0", (line % (0, 1, "x" * 60)).strip().encode())
    assert items[-1] == FeedItem(items[-2].time_ms, None, b"not json")


# Feed ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The feed's clock is that of the loop that it runs in."""
    clock = SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr("streams.demo.feed.time", clock)


class Days:
    """`a_day` events on each of `days`; the first `history` of them are history."""

    what = history = "days"

    def __init__(self, days: int, a_day: int = 1, history_days: int = 0) -> None:
        self._days, self._a_day, self._history_days = days, a_day, history_days

    def items(self) -> Iterator[FeedItem]:
        for n in range(self._days * self._a_day):
            yield FeedItem(n // self._a_day * DAY_MS, f"c{n}" if n % 2 else None, b"%d" % n)

    def in_history(self, item: FeedItem, sent: int) -> bool:
        return item.time_ms < self._history_days * DAY_MS


class Sink:
    """Keeps what it is given, and when."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.at_s: list[float] = []

    async def put(self, value: bytes, key: bytes | None) -> None:
        self.records.append((value, key))
        self.at_s.append(asyncio.get_running_loop().time())


@pytest.mark.usefixtures("virtual_time")
def test_history_goes_at_full_speed_then_a_day_takes_its_time_and_nothing_is_skipped() -> None:
    sink, fed = Sink(), DemoFeed(Days(1020, history_days=1000), 40.0, lambda: 0)
    virtual_clock.run(fed.run(sink))
    assert sink.records == [(b"%d" % n, b"c%d" % n if n % 2 else None) for n in range(1020)]
    assert (fed.phase, fed.sent, fed.time_ms) == (Phase.ENDED, 1020, 1019 * DAY_MS)
    assert sink.at_s[999] == sink.at_s[0]
    assert sink.at_s[-1] - sink.at_s[1000] == pytest.approx(19 / 40, abs=0.1)  # 19 days at 40 a second


@pytest.mark.usefixtures("virtual_time")
def test_event_time_waits_for_a_worker_that_is_behind() -> None:
    """Rule: so much is on its way and no more; when the worker goes on, so does the feed, from where it was."""
    applied = 0

    async def scenario() -> tuple[int, DemoFeed, Sink]:
        nonlocal applied
        sink, fed = Sink(), DemoFeed(Days(3, a_day=10_000), 1000.0, lambda: applied)
        task = asyncio.create_task(fed.run(sink))
        await asyncio.sleep(1.0)
        sent = fed.sent
        applied = sent
        await asyncio.wait_for(task, 20)
        return sent, fed, sink

    sent, fed, sink = virtual_clock.run(scenario())
    assert sent == AHEAD_EVENTS
    assert [value for value, _ in sink.records] == [b"%d" % n for n in range(30_000)]
    assert fed.phase is Phase.ENDED


# Tally and screen ----------------------------------------------------------------------------------------------------


def alert(
    name: str, kind: str = "opened", at_stake: float | None = 10.0, resolution: str | None = None
) -> dict[str, Any]:
    reason = {"sentence": f"{name} came less often", "code": "USAGE_DROP", "contribution": 1.0}
    return {
        "alert_id": name * 32,
        "seq": 1,
        "type": kind,
        "state": "open",
        "severity": "high",
        "time": "2014-02-03T04:05:06Z",
        "resolution": resolution,
        "snoozed_until": None,
        "customer": {
            "id": f"customer-{name}",
            "account": None,
            "segment": None,
            "plan": "pro",
            "stage": "active",
            "tenure_days": 41.0,
        },
        "score": {
            "probability": 0.42,
            "ci90": None,
            "percentile": 0.97,
            "band": "high",
            "previous": None,
            "horizon_days": 30.0,
        },
        "reasons": [reason],
        "barriers": [],
        "value": {"mrr": 49.0, "clv": None, "revenue_at_risk": at_stake, "basis": "subscription"},
        "action": {"playbook": "usage_drop"},
    }


def test_what_ended_before_it_was_shown_is_not_shown() -> None:
    counted = AlertCounts()
    counted.add(alert("a"))
    counted.add(alert("b", at_stake=None))
    counted.add(alert("a", "expired", resolution="churned"))
    shown = counted.take()
    assert shown is not None
    assert (shown.alert["customer"]["id"], shown.others) == ("customer-b", 0)
    assert (counted.opened, counted.open, counted.ended, counted.churned) == (2, 1, 1, 1)
    counted.add(alert("b", "resolved", resolution="recovered"))
    assert (counted.open, counted.ended, counted.churned, counted.take()) == (0, 2, 1, None)


def test_who_is_still_there_comes_before_who_has_cancelled() -> None:
    counted = AlertCounts()
    gone = alert("a", at_stake=99.0)
    gone["customer"]["stage"] = "churned"
    for one in (gone, alert("b", at_stake=1.0)):
        counted.add(one)
    shown = counted.take()
    assert shown is not None
    assert shown.alert["customer"]["id"] == "customer-b"


def test_what_was_shown_is_told_again_when_its_customer_has_left() -> None:
    counted = AlertCounts()
    for name, resolution in (("a", "churned"), ("b", "recovered"), ("c", "churned")):
        counted.add(alert(name))
        if name != "c":
            assert counted.take() is not None
        counted.add(alert(name, "expired", resolution=resolution))
    assert [ended["alert_id"] for ended in counted.take_came_true()] == ["a" * 32]
    assert counted.take_came_true() == []
    console = Console(file=io.StringIO(), width=200)
    fed, watched, counted = stood()
    with Screen(console) as shown:
        counted.add(alert("a"))
        shown.refresh(fed, watched, counted, now_s=0.0)
        counted.add(alert("a", "expired", resolution="churned"))
        shown.refresh(fed, watched, counted, now_s=0.1)
    assert seen(console).count("customer-a") == 2
    assert "the customer is gone" in seen(console)


def test_changes_that_ask_nobody_to_act_are_not_shown() -> None:
    counted = AlertCounts()
    for kind in ("acknowledged", "snoozed", "reminded"):
        counted.add(alert("a", kind))
    assert counted.take() is None
    counted.add(alert("a", "escalated"))
    assert counted.take() is not None


def seen(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def stood() -> tuple[DemoFeed, Watch, AlertCounts]:
    fed, watched = DemoFeed(Days(1), 1.0, lambda: 0), Watch(Settings(), lambda value: None)
    fed.time_ms, fed.phase = 400 * DAY_MS, Phase.PACED
    watched.rate, watched.lag = 1912.3, 340
    watched.quality = {"labels": 1204, "positives": 98, "log_loss": {"answer": 0.21, "prior": 0.305}}
    return fed, watched, AlertCounts()


def test_piped_figures_come_every_five_seconds_and_an_alert_every_four() -> None:
    console = Console(file=io.StringIO(), width=200)
    fed, watched, counted = stood()
    with Screen(console) as shown:
        for name in "abc":
            counted.add(alert(name, at_stake=float(ord(name))))
        shown.refresh(fed, watched, counted, now_s=100.0)
        counted.add(alert("d"))
        shown.refresh(fed, watched, counted, now_s=100.0 + ALERT_EVERY_S - 0.1)
        early = seen(console)
        shown.refresh(fed, watched, counted, now_s=100.0 + PLAIN_FIGURES_EVERY_S)
    assert "\x1b" not in seen(console)
    assert "customer-c" in early
    assert "42 % likely to leave" in early
    assert "c came less often" in early
    assert "49.00 a month" in early
    assert "(and 2 more meanwhile)" in early
    assert "customer-d" not in early
    assert "customer-d" in seen(console)
    line = "1971-02-05   1,912 events/s   lag 340   labels 1,204 (98 churned)   log loss 0.2100, the prior's 0.3050"
    assert early.count(line) == 1
    assert seen(console).count(line) == 2
    assert "alerts 3: 3 open, 0 of 0 ended came true" in early


@pytest.mark.parametrize("columns", [24, 80, 200])
def test_on_a_terminal_the_figures_stay_at_the_bottom_and_fit_its_width(columns: int) -> None:
    console = Console(file=io.StringIO(), width=columns, height=24, force_terminal=True, _environ={"TERM": "xterm"})
    fed, watched, counted = stood()
    counted.add(alert("a"))
    with Screen(console) as shown:
        shown.refresh(fed, watched, counted, now_s=0.0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen(console)).replace("\r", "")
    bottom = text[text.rindex("1971-02-05") :].strip().splitlines()
    assert max(map(len, bottom)) <= columns
    assert "Ctrl-C ends" in bottom[-1]
    assert text.index("customer-a") < text.rindex("1971-02-05")


# Children and place --------------------------------------------------------------------------------------------------


def test_a_child_ends_with_its_parent_whatever_it_was_doing(tmp_path: Path) -> None:
    """Rule: the pipe's end is the child's end; here it waits for events on a standard input of its own making."""
    script = (
        "import time, streams.cli.main as m, streams.demo.child as c\n"
        "m.main = lambda _: (print('works', flush=True), time.sleep(300))\n"
        "c.main()"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"works\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)
    child.stdin.close()
    assert child.wait(WAIT_S) == 1
    child.stdout.close()


def test_the_last_words_of_the_dead_are_text(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_bytes(b"".join(b"line %d\n\n" % n for n in range(100)) + b"\x1b[2J" + b"x" * 5000)
    lines = last_lines(log, 3)
    assert lines[:2] == ["line 98", "line 99"]
    assert lines[2].startswith(".[2Jxxx")
    assert len(lines[2]) == 300
    message = str(ChildDied("worker", -9, log))
    assert message.startswith(f"the worker was killed by SIGKILL; the last lines of its log ({log}):\n")
    assert "its log" in str(ChildDied("worker", 1, tmp_path / "none"))


def test_a_directory_is_for_one_demo_and_what_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "old").touch()
    with Workspace(tmp_path) as place:
        assert not (tmp_path / "stores").exists()
        with pytest.raises(ConfigurationError, match="another demo runs in"), Workspace(tmp_path):
            pass
        assert (tmp_path / "demo.log").exists()
        assert place.embedded is not None
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with Workspace(tmp_path / "new" / "one"):
        pass
    assert not (tmp_path / "new" / "one").exists()


def test_children_are_given_the_settings_of_the_demo_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable("topic_alerts"), "production-alerts")
    monkeypatch.setenv(variable("kafka_group_instance_id"), "me")
    place = Workspace(tmp_path)
    assert Settings.from_environment(place.environment()) == place.settings
    assert place.settings.topic_alerts == Settings().topic_alerts  # of a broker of our own
    assert place.settings.clock == "event"


def test_on_somebodys_cluster_every_name_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the demo never writes to topics or groups that somebody uses."""
    monkeypatch.setenv(variable("kafka_bootstrap_servers"), "kafka:9092")
    monkeypatch.setenv(variable("kafka_sasl_username"), "me")
    one, other = Workspace(tmp_path).settings, Workspace(tmp_path).settings
    assert (one.kafka_bootstrap_servers, one.kafka_sasl_username) == ("kafka:9092", "me")
    topics = [name for name in vars(one) if name.startswith("topic_")]
    assert len({getattr(s, name) for s in (one, other, Settings()) for name in topics}) == 3 * len(topics)
    assert len({s.kafka_group_id for s in (one, other, Settings())}) == 3


def test_an_unknown_setting_stops_the_demo_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_TOPIC_ALERT", "x")
    with pytest.raises(SettingsError, match="nearest one is CHURN_TOPIC_ALERTS"):
        Workspace(tmp_path)


# Words, and make -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["churn.toml", "benchmarks/quality/oulad.toml", "benchmarks/quality/cdnow.toml"])
def test_every_way_to_churn_is_said(file: str) -> None:
    definition = ChurnDefinition.parse((ROOT / file).read_text())
    said = definition_text.definition_text(definition)
    second = () if definition.involuntary is None else map(definition.named, definition.involuntary.definitions)
    for one in (*definition.primary_definitions, *second):
        assert all(value in said for _, values in getattr(one, "where", ()) for value in values)
        for name in getattr(one, "not_performed", None) or (getattr(one, "event", ""),):
            assert name == "*" or name in said


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_hands_a_log_to_the_demo_only_when_one_is_named() -> None:
    """Rule: DATA has a default for the benchmark, which means nothing to the demo."""

    def recipe(*arguments: str) -> str:
        command = ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/.installed", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
        return " ".join(done.stdout.split())

    assert recipe("demo").endswith("churn-signals demo")
    assert recipe("demo", "DATA=log.gz").endswith('churn-signals demo "log.gz"')
    assert recipe("demo", "DATA=log.gz", "CONFIG=a.toml").endswith('churn-signals demo --config "a.toml" "log.gz"')
    assert "data/oulad-2013j.jsonl.gz" in recipe("bench-model")
    assert "/logs/oulad-2013j.jsonl.gz" in recipe("bench-model", "DATA=/logs")


def test_alerts_are_what_the_schema_says() -> None:
    """Rule: what these tests show is an alert as it is published, as far as the demo reads it."""
    schema = json.loads((ROOT / "docs" / "schemas" / "alert.schema.json").read_text())
    example = alert("a")
    assert set(example) <= set(schema["properties"])
    for part in ("customer", "score", "value", "action"):
        assert set(example[part]) <= set(schema["properties"][part]["properties"])
    assert set(schema["properties"]["type"]["enum"]) >= {"opened", "escalated", "resolved", "retracted", "expired"}


# The end -------------------------------------------------------------------------------------------------------------


def test_who_does_not_hear_that_it_is_cancelled_does_not_keep_a_demo_whose_worker_died(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: what died first is what is told, soon, whatever a client is busy with."""

    class Dies(processes.ChildProcess):
        async def start(self) -> None:
            """It never runs."""

        async def ended(self) -> int:
            await asyncio.sleep(0.01 if self.name == "worker" else 60)
            return -9

    async def deaf(*_: object) -> None:
        for _turn in range(2):  # as often as it is told: at the demo's end, and at the loop's
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def nothing(*_: object) -> None:
        """No cluster."""

    monkeypatch.setenv(variable("kafka_bootstrap_servers"), "127.0.0.1:9")
    for owner, name, what in (
        (runner, "ChildProcess", Dies),
        (runner, "create_topics", nothing),
        (runner, "_FAREWELL_S", 0.05),
        (Workspace, "forget_topics", nothing),
        (Watch, "run", deaf),
        (runner._DemoRun, "_feeding", deaf),
    ):
        monkeypatch.setattr(owner, name, what)
    definition = ChurnDefinition.parse("[churn]\nversion = 1\n[churn.definitions.gone]\nevent = 'Left'\n")
    options = runner.Options(SimulatedSource(20, seed=1), definition, tmp_path / "churn.toml", 1.0)
    began_s = time.monotonic()
    with Workspace(tmp_path) as place, pytest.raises(ChildDied, match="the worker was killed by SIGKILL"):
        runner.run_demo(place, options)
    assert time.monotonic() - began_s < 30
