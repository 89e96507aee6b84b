"""The demo without a broker: pace of the feed, alert counts, output, workspace and processes."""

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
from streams.demo.feed import MAX_AHEAD_EVENTS, DemoFeed, Phase
from streams.demo.processes import ChildExited, last_lines
from streams.demo.screen import ALERT_EVERY_S, PIPED_FIGURES_EVERY_S, Screen
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
def _no_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CHURN_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "module", [processes, feed, definition_text, screen, alert_counts, watch], ids=lambda module: module.__name__
)
def test_docstring_examples_hold(module: Any) -> None:
    ran = doctest.testmod(module)
    assert (ran.failed, ran.attempted > 0) == (0, True)


# Sources -------------------------------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_events_and_sixty_days_of_history() -> None:
    def first_days() -> list[tuple[FeedItem, bool]]:
        source = SimulatedSource(20, seed=3)
        items: list[tuple[FeedItem, bool]] = []
        for item in source.items():
            if item.time_ms > SIMULATED_FROM_MS + SIMULATED_HISTORY_MS + DAY_MS:
                return items
            items.append((item, source.in_history(item, len(items))))
        raise AssertionError("the simulation ended")

    first_run = first_days()
    assert first_run == first_days()
    assert {past for item, past in first_run if item.time_ms < SIMULATED_FROM_MS + 60 * DAY_MS} == {True}
    assert {past for item, past in first_run if item.time_ms >= SIMULATED_FROM_MS + 60 * DAY_MS} == {False}
    assert all(item.customer for item, _ in first_run)


def test_a_quarter_of_a_file_is_history_and_an_invalid_event_has_no_key(tmp_path: Path) -> None:
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
    """`per_day` events on each of `days`; the first `history_days` are history."""

    description = history = "days"

    def __init__(self, days: int, per_day: int = 1, history_days: int = 0) -> None:
        self._days, self._per_day, self._history_days = days, per_day, history_days

    def items(self) -> Iterator[FeedItem]:
        for n in range(self._days * self._per_day):
            yield FeedItem(n // self._per_day * DAY_MS, f"c{n}" if n % 2 else None, b"%d" % n)

    def in_history(self, item: FeedItem, sent: int) -> bool:
        return item.time_ms < self._history_days * DAY_MS


class Sink:
    """Keeps all records and the times of their arrival."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes, bytes | None]] = []
        self.at_s: list[float] = []

    async def put(self, value: bytes, key: bytes | None) -> None:
        self.records.append((value, key))
        self.at_s.append(asyncio.get_running_loop().time())


@pytest.mark.usefixtures("virtual_time")
def test_history_is_fed_at_full_speed_then_days_at_their_pace_without_gaps() -> None:
    sink, demo_feed = Sink(), DemoFeed(Days(1020, history_days=1000), 40.0, lambda: 0)
    virtual_clock.run(demo_feed.run(sink))
    assert sink.records == [(b"%d" % n, b"c%d" % n if n % 2 else None) for n in range(1020)]
    assert (demo_feed.phase, demo_feed.sent, demo_feed.time_ms) == (Phase.ENDED, 1020, 1019 * DAY_MS)
    assert sink.at_s[999] == sink.at_s[0]
    assert sink.at_s[-1] - sink.at_s[1000] == pytest.approx(19 / 40, abs=0.1)  # 19 days at 40 a second


@pytest.mark.usefixtures("virtual_time")
def test_event_time_waits_for_a_slow_worker() -> None:
    """Rule: the number of unapplied events is limited; the feed resumes where it stopped when the worker does."""
    applied = 0

    async def scenario() -> tuple[int, DemoFeed, Sink]:
        nonlocal applied
        sink, demo_feed = Sink(), DemoFeed(Days(3, per_day=10_000), 1000.0, lambda: applied)
        task = asyncio.create_task(demo_feed.run(sink))
        await asyncio.sleep(1.0)
        sent = demo_feed.sent
        applied = sent
        await asyncio.wait_for(task, 20)
        return sent, demo_feed, sink

    sent, demo_feed, sink = virtual_clock.run(scenario())
    assert sent == MAX_AHEAD_EVENTS
    assert [value for value, _ in sink.records] == [b"%d" % n for n in range(30_000)]
    assert demo_feed.phase is Phase.ENDED


# Alert counts and screen ---------------------------------------------------------------------------------------------


def alert(
    name: str, kind: str = "opened", at_risk: float | None = 10.0, resolution: str | None = None
) -> dict[str, Any]:
    reason = {"sentence": f"{name} is less active", "code": "USAGE_DROP", "contribution": 1.0}
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
            "consent": None,
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
        "value": {"mrr": 49.0, "clv": None, "revenue_at_risk": at_risk, "basis": "subscription"},
        "action": {"playbook": "usage_drop"},
    }


def test_alert_that_ended_before_it_was_shown_is_not_shown() -> None:
    counts = AlertCounts()
    counts.add(alert("a"))
    counts.add(alert("b", at_risk=None))
    counts.add(alert("a", "expired", resolution="churned"))
    shown = counts.select()
    assert shown is not None
    assert (shown.alert["customer"]["id"], shown.others) == ("customer-b", 0)
    assert (counts.opened, counts.open, counts.ended, counts.churned) == (2, 1, 1, 1)
    counts.add(alert("b", "resolved", resolution="recovered"))
    assert (counts.open, counts.ended, counts.churned, counts.select()) == (0, 2, 1, None)


def test_active_customers_are_shown_before_cancelled_ones() -> None:
    counts = AlertCounts()
    gone = alert("a", at_risk=99.0)
    gone["customer"]["stage"] = "churned"
    for change in (gone, alert("b", at_risk=1.0)):
        counts.add(change)
    shown = counts.select()
    assert shown is not None
    assert shown.alert["customer"]["id"] == "customer-b"


def test_shown_alert_is_shown_again_when_its_customer_churns() -> None:
    counts = AlertCounts()
    for name, resolution in (("a", "churned"), ("b", "recovered"), ("c", "churned")):
        counts.add(alert(name))
        if name != "c":
            assert counts.select() is not None
        counts.add(alert(name, "expired", resolution=resolution))
    assert [ended["alert_id"] for ended in counts.pop_confirmed()] == ["a" * 32]
    assert counts.pop_confirmed() == []
    console = Console(file=io.StringIO(), width=200)
    demo_feed, watcher, counts = figures_of_a_run()
    with Screen(console) as shown:
        counts.add(alert("a"))
        shown.refresh(demo_feed, watcher, counts, now_s=0.0)
        counts.add(alert("a", "expired", resolution="churned"))
        shown.refresh(demo_feed, watcher, counts, now_s=0.1)
    assert printed(console).count("customer-a") == 2
    assert "the customer churned" in printed(console)


def test_changes_without_a_call_to_act_are_not_shown() -> None:
    counts = AlertCounts()
    for kind in ("acknowledged", "snoozed", "reminded"):
        counts.add(alert("a", kind))
    assert counts.select() is None
    counts.add(alert("a", "escalated"))
    assert counts.select() is not None


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def figures_of_a_run() -> tuple[DemoFeed, Watch, AlertCounts]:
    demo_feed, watcher = DemoFeed(Days(1), 1.0, lambda: 0), Watch(Settings(), lambda value: None)
    demo_feed.time_ms, demo_feed.phase = 400 * DAY_MS, Phase.PACED
    watcher.rate, watcher.lag = 1912.3, 340
    watcher.quality = {"labels": 1204, "positives": 98, "log_loss": {"answer": 0.21, "prior": 0.305}}
    return demo_feed, watcher, AlertCounts()


def test_piped_output_has_figures_every_five_seconds_and_an_alert_every_four() -> None:
    console = Console(file=io.StringIO(), width=200)
    demo_feed, watcher, counts = figures_of_a_run()
    with Screen(console) as shown:
        for name in "abc":
            counts.add(alert(name, at_risk=float(ord(name))))
        shown.refresh(demo_feed, watcher, counts, now_s=100.0)
        counts.add(alert("d"))
        shown.refresh(demo_feed, watcher, counts, now_s=100.0 + ALERT_EVERY_S - 0.1)
        early = printed(console)
        shown.refresh(demo_feed, watcher, counts, now_s=100.0 + PIPED_FIGURES_EVERY_S)
    assert "\x1b" not in printed(console)
    assert "customer-c" in early
    assert "42% churn risk within 30 days" in early
    assert "c is less active" in early
    assert "49.00/month" in early
    assert "(and 2 other alerts)" in early
    assert "customer-d" not in early
    assert "customer-d" in printed(console)
    line = "1971-02-05   1,912 events/s   lag 340   1,204 labels (98 churned)   log loss 0.2100 (prior 0.3050)"
    assert early.count(line) == 1
    assert printed(console).count(line) == 2
    assert "3 alerts (3 open; 0 of 0 ended with churn)" in early


@pytest.mark.parametrize("columns", [24, 80, 200])
def test_figures_stay_at_the_bottom_of_a_terminal_and_fit_its_width(columns: int) -> None:
    console = Console(file=io.StringIO(), width=columns, height=24, force_terminal=True, _environ={"TERM": "xterm"})
    demo_feed, watcher, counts = figures_of_a_run()
    counts.add(alert("a"))
    with Screen(console) as shown:
        shown.refresh(demo_feed, watcher, counts, now_s=0.0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed(console)).replace("\r", "")
    bottom = text[text.rindex("1971-02-05") :].strip().splitlines()
    assert max(map(len, bottom)) <= columns
    assert "Ctrl-C stops" in bottom[-1]
    assert text.index("customer-a") < text.rindex("1971-02-05")


# Processes and workspace ---------------------------------------------------------------------------------------------


def test_child_exits_with_its_parent(tmp_path: Path) -> None:
    """Rule: the child exits at the end of the pipe, even while it is busy."""
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


def test_last_lines_of_a_log_have_no_control_characters(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_bytes(b"".join(b"line %d\n\n" % n for n in range(100)) + b"\x1b[2J" + b"x" * 5000)
    lines = last_lines(log, 3)
    assert lines[:2] == ["line 98", "line 99"]
    assert lines[2].startswith(".[2Jxxx")
    assert len(lines[2]) == 300
    message = str(ChildExited("worker", -9, log))
    assert message.startswith(f"the worker was killed by SIGKILL. The last lines of its log ({log}):\n")
    assert "its log" in str(ChildExited("worker", 1, tmp_path / "none"))


def test_directory_belongs_to_one_demo_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("other")
    (tmp_path / "stores").mkdir()
    (tmp_path / "stores" / "old").touch()
    with Workspace(tmp_path) as workspace:
        assert not (tmp_path / "stores").exists()
        with pytest.raises(ConfigurationError, match="another demo runs in"), Workspace(tmp_path):
            pass
        assert (tmp_path / "demo.log").exists()
        assert workspace.embedded is not None
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]
    with Workspace(tmp_path / "new" / "one"):
        pass
    assert not (tmp_path / "new" / "one").exists()


def test_children_get_only_the_settings_of_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable("topic_alerts"), "production-alerts")
    monkeypatch.setenv(variable("kafka_group_instance_id"), "me")
    workspace = Workspace(tmp_path)
    assert Settings.from_environment(workspace.environment()) == workspace.settings
    assert workspace.settings.topic_alerts == Settings().topic_alerts  # default names on the embedded broker
    assert workspace.settings.clock == "event"


def test_names_on_an_existing_cluster_are_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the demo never writes to topics or groups in use."""
    monkeypatch.setenv(variable("kafka_bootstrap_servers"), "kafka:9092")
    monkeypatch.setenv(variable("kafka_sasl_username"), "me")
    first, second = Workspace(tmp_path).settings, Workspace(tmp_path).settings
    assert (first.kafka_bootstrap_servers, first.kafka_sasl_username) == ("kafka:9092", "me")
    topics = [name for name in vars(first) if name.startswith("topic_")]
    assert len({getattr(s, name) for s in (first, second, Settings()) for name in topics}) == 3 * len(topics)
    assert len({s.kafka_group_id for s in (first, second, Settings())}) == 3


def test_unknown_setting_stops_the_demo_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_TOPIC_ALERT", "x")
    with pytest.raises(SettingsError, match="nearest one is CHURN_TOPIC_ALERTS"):
        Workspace(tmp_path)


# Definition text, make and schema ------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["churn.toml", "benchmarks/quality/oulad.toml", "benchmarks/quality/cdnow.toml"])
def test_definition_text_names_every_event_and_value(file: str) -> None:
    definition = ChurnDefinition.parse((ROOT / file).read_text())
    text = definition_text.definition_text(definition)
    involuntary = () if definition.involuntary is None else map(definition.named, definition.involuntary.definitions)
    for churn in (*definition.primary_definitions, *involuntary):
        assert all(value in text for _, values in getattr(churn, "where", ()) for value in values)
        for name in getattr(churn, "not_performed", None) or (getattr(churn, "event", ""),):
            assert name == "*" or name in text


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_passes_a_file_to_the_demo_only_if_data_is_set() -> None:
    """Rule: the default of DATA is for the benchmark and not for the demo."""

    def recipe(*arguments: str) -> str:
        command = ["make", "--dry-run", "--no-print-directory", "--assume-old=.venv/.installed", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
        return " ".join(done.stdout.split())

    assert recipe("demo").endswith("churn-signals demo")
    assert recipe("demo", "DATA=log.gz").endswith('churn-signals demo "log.gz"')
    assert recipe("demo", "DATA=log.gz", "CONFIG=a.toml").endswith('churn-signals demo --config "a.toml" "log.gz"')
    assert "data/oulad-2013j.jsonl.gz" in recipe("bench-model")
    assert "/logs/oulad-2013j.jsonl.gz" in recipe("bench-model", "DATA=/logs")


def test_alerts_of_these_tests_match_the_schema() -> None:
    """Rule: these tests use the fields that a published alert has."""
    schema = json.loads((ROOT / "docs" / "schemas" / "alert.schema.json").read_text())
    example = alert("a")
    assert set(example) <= set(schema["properties"])
    for part in ("customer", "score", "value", "action"):
        assert set(example[part]) <= set(schema["properties"][part]["properties"])
    assert set(schema["properties"]["type"]["enum"]) >= {"opened", "escalated", "resolved", "retracted", "expired"}


# Shutdown ------------------------------------------------------------------------------------------------------------


def test_task_that_ignores_cancellation_does_not_delay_the_exit_of_a_failed_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: the first failure is reported soon, even if a client does not react."""

    class ExitingChild(processes.ChildProcess):
        async def start(self) -> None:
            """Start no process."""

        async def ended(self) -> int:
            await asyncio.sleep(0.01 if self.name == "worker" else 60)
            return -9

    async def ignore_cancellation(*_: object) -> None:
        for _attempt in range(2):  # cancelled twice: at the end of the demo and of the event loop
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def do_nothing(*_: object) -> None:
        """There is no cluster."""

    monkeypatch.setenv(variable("kafka_bootstrap_servers"), "127.0.0.1:9")
    for owner, name, replacement in (
        (runner, "ChildProcess", ExitingChild),
        (runner, "create_topics", do_nothing),
        (runner, "_DISCONNECT_S", 0.05),
        (Workspace, "delete_topics", do_nothing),
        (Watch, "run", ignore_cancellation),
        (runner._DemoRun, "_feed_events", ignore_cancellation),
    ):
        monkeypatch.setattr(owner, name, replacement)
    definition = ChurnDefinition.parse("[churn]\nversion = 1\n[churn.definitions.gone]\nevent = 'Left'\n")
    options = runner.DemoOptions(SimulatedSource(20, seed=1), definition, tmp_path / "churn.toml", 1.0)
    started_s = time.monotonic()
    with Workspace(tmp_path) as workspace, pytest.raises(ChildExited, match="the worker was killed by SIGKILL"):
        runner.run_demo(workspace, options)
    assert time.monotonic() - started_s < 30
