"""Short fault matrix: some rows with fewer events, and tests of the verdict itself."""

from __future__ import annotations

import doctest
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.devbroker.embedded_broker import EmbeddedBroker
from tests.crash.harness import Run
from tests.crash.matrix import evidence, harm, readiness, table, verdict
from tests.crash.matrix.__main__ import BROKER
from tests.crash.matrix.rows import ROWS, Row, published
from tests.crash.matrix.runner import play
from tests.processes import runs, wait_ended
from tests.waiting import wait_until

# Three weeks of events, because labels mature after nine days.
EVENTS = 3_600


@pytest.fixture(scope="module")
def matrix_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("matrix"), properties=BROKER) as running:
        yield running


@pytest.mark.parametrize("name", ["1", "6", "7b", "13"])
def test_short_row_has_only_zeros(name: str, matrix_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Rule: nothing is lost, double or extra, and faults hit work in flight."""
    [row] = [row for row in ROWS if row.name == name]
    found = play(row, seed=5, broker=matrix_broker, directory=tmp_path / "run", quick=True, events=EVENTS)
    assert found.exact, table.rendered([found])  # how fast it was, `make crash` judges on a quiet machine
    assert found.in_flight >= 3
    assert found.unready_s > 0  # readiness was polled, and processes became ready


@pytest.mark.parametrize("sabotage", ["loses", "doubles"])
def test_verdict_detects_loss_and_duplicates(sabotage: str, matrix_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Rule: a lost event, a duplicate output, and a run without faults all fail the row."""
    row = Row("0" + sabotage, "sabotage", published)
    found = play(row, seed=5, broker=matrix_broker, directory=tmp_path / "run", events=EVENTS, sabotage=sabotage)
    assert not found.exact
    if sabotage == "loses":
        # A wrong record counts as lost and extra. A record that only the lost event would cause is just lost.
        assert found.tallies["profiles"].lost >= found.tallies["profiles"].extra > 0
        assert found.tallies["dead letters"].lost == found.tallies["dead letters"].double == 0
    else:
        assert found.tallies["scores"].double > 0
        assert found.lost == found.extra == 0
    assert any("the test proved nothing" in problem for problem in found.problems)


def test_wrong_value_is_lost_and_extra_and_a_repeated_one_is_double() -> None:
    """Rule: every difference is counted exactly once on each side."""
    assert verdict.Tally.of(Counter("abb"), Counter("aabx")) == verdict.Tally(3, lost=1, double=1, extra=1)
    for module in (verdict, readiness, evidence):
        assert doctest.testmod(module).attempted > 0
        assert doctest.testmod(module).failed == 0


def test_outage_counts_from_the_arrival_of_the_input() -> None:
    """Rule: only a partition with waiting input has an outage, which also spans commits without progress."""
    commits = {0: [(0, 1), (900, 2), (5_000, 2), (9_000, 3)]}
    assert verdict.longest_outage_s(commits, {0: [(0, 0), (1, 800), (2, 8_500)]}) == 0.5
    assert verdict.longest_outage_s(commits, {0: [(0, 0), (1, 800), (2, 1_000)]}) == 8.0


def test_broken_input_covers_every_rejection_reason() -> None:
    """Rule: the broken records cover the product's list of reasons, so a new reason needs a new record."""
    from models.events.event import REASONS, decode
    from models.events.rejection import Rejected

    answers = [decode(value, (), 1_704_067_200_000) for value in harm.BROKEN]
    assert all(isinstance(answer, Rejected) for answer in answers)
    # A record in a topic always has a time, at least that of its receipt.
    assert {answer.reason for answer in answers if isinstance(answer, Rejected)} == REASONS.keys() - {"no_time"}


def test_outage_that_readiness_does_not_show_is_a_problem(tmp_path: Path) -> None:
    """Rule: a process must report that it is not ready at some time during its outage."""
    asked = readiness.Readiness(Run("asked", "127.0.0.1:1", tmp_path))
    asked.away(["w0"], "SIGSTOP", 2_000, 9_000)
    asked.changes["w0"] = [(1_000, True), (12_000, False), (13_000, True)]
    assert asked.unseen() == ["w0 never reported that it was not ready: SIGSTOP"]
    asked.changes["w0"] = [(1_000, True), (3_000, False), (9_500, True)]
    assert asked.unseen() == []


def test_killed_matrix_leaves_no_process(tmp_path: Path) -> None:
    """Rule: workers end with the process that started them, even after kill -9."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a broker that never responds, so that the worker waits
        start = (
            "import os, pathlib, time\n"
            "from tests.crash.harness import Run\n"
            "from tests.crash.matrix.scene import PROGRAM\n"
            f"run = Run('orphan', '127.0.0.1:{silent.getsockname()[1]}', pathlib.Path({str(tmp_path)!r}))\n"
            "print(run.start('w0', program=PROGRAM, MATRIX_ROLE='worker').pid, flush=True)\n"
            "time.sleep(300)\n"
        )
        with subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            log = tmp_path / "w0.log"
            wait_until("the worker's start", lambda: "health and metrics on" in log.read_text(), context=log.read_text)
            assert runs(worker)
            parent.kill()
        wait_ended([worker])
