"""The fault matrix in short: some of its rows with fewer events, and that its verdict sees what it is there to see."""

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
from tests.crash.matrix import harm, readiness, table, verdict
from tests.crash.matrix.__main__ import BROKER
from tests.crash.matrix.rows import ROWS, Row, published
from tests.crash.matrix.runner import play
from tests.processes import runs, wait_ended
from tests.waiting import wait_until

# Three weeks of events: labels mature after nine days.
EVENTS = 3_600


@pytest.fixture(scope="module")
def matrix_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path_factory.mktemp("matrix"), properties=BROKER) as running:
        yield running


@pytest.mark.parametrize("name", ["1", "6", "7b"])
def test_a_row_in_short_shows_zeros(name: str, matrix_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Rule: nothing is lost, double or extra, and harm met work in flight."""
    [row] = [row for row in ROWS if row.name == name]
    found = play(row, seed=5, broker=matrix_broker, directory=tmp_path / "run", quick=True, events=EVENTS)
    assert found.exact, table.rendered([found])  # how fast it was, `make crash` judges on a quiet machine
    assert found.in_flight >= 3
    assert found.unready_s > 0  # they were asked, and were ready at last


@pytest.mark.parametrize("sabotage", ["loses", "doubles"])
def test_a_worker_that_loses_or_doubles_is_seen(sabotage: str, matrix_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Rule: an event that is not applied, or an output that is written twice, is no zero; nor is a run without harm."""
    row = Row("0" + sabotage, "sabotage", published)
    found = play(row, seed=5, broker=matrix_broker, directory=tmp_path / "run", events=EVENTS, sabotage=sabotage)
    assert not found.exact
    if sabotage == "loses":
        # A record that is wrong is lost and extra; one that only the lost event would have made is lost alone.
        assert found.tallies["profiles"].lost >= found.tallies["profiles"].extra > 0
        assert found.tallies["dead letters"].lost == found.tallies["dead letters"].double == 0
    else:
        assert found.tallies["scores"].double > 0
        assert found.lost == found.extra == 0
    assert any("the test proved nothing" in problem for problem in found.problems)


def test_a_wrong_value_is_lost_and_extra_and_a_second_one_is_double() -> None:
    """Rule: what is counted adds up, whichever way it is wrong."""
    assert verdict.Tally.of(Counter("abb"), Counter("aabx")) == verdict.Tally(3, lost=1, double=1, extra=1)
    for module in (verdict, readiness):
        assert doctest.testmod(module).attempted > 0
        assert doctest.testmod(module).failed == 0


def test_an_outage_counts_from_the_arrival_of_what_waits() -> None:
    """Rule: a partition without input is not out; one whose input waits is, also over commits that move nothing."""
    commits = {0: [(0, 1), (900, 2), (5_000, 2), (9_000, 3)]}
    assert verdict.longest_outage_s(commits, {0: [(0, 0), (1, 800), (2, 8_500)]}) == 0.5
    assert verdict.longest_outage_s(commits, {0: [(0, 0), (1, 800), (2, 1_000)]}) == 8.0


def test_every_reason_of_refusal_is_published() -> None:
    """Rule: "every kind of broken input" is the product's own list, so that a new reason needs a new kind here."""
    from models.events.event import REASONS, decode
    from models.events.rejection import Rejected

    answers = [decode(value, (), 1_704_067_200_000) for value in harm.BROKEN]
    assert all(isinstance(answer, Rejected) for answer in answers)
    # A record in a topic always has a time: that of its receipt at least.
    assert {answer.reason for answer in answers if isinstance(answer, Rejected)} == REASONS.keys() - {"no_time"}


def test_a_process_that_is_never_seen_away_or_never_ready_is_a_problem(tmp_path: Path) -> None:
    """Rule: an outage that readiness does not show, and a process that is not ready at the end, are no zeros."""
    asked = readiness.Readiness(Run("asked", "127.0.0.1:1", tmp_path))
    asked.away(["w0"], "SIGSTOP", 2_000, 9_000)
    asked.changes["w0"] = [(1_000, True), (12_000, False), (13_000, True)]
    assert asked.unseen() == ["w0 never said that it was not ready: SIGSTOP"]
    asked.changes["w0"] = [(1_000, True), (3_000, False), (9_500, True)]
    assert asked.unseen() == []


def test_a_killed_matrix_leaves_no_process(tmp_path: Path) -> None:
    """Rule: workers end with the process that started them, also if that is killed."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a broker that never answers: the worker waits for it
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
