"""The fault matrix in short: some of its rows with fewer events, and that its verdict sees what it is there to see."""

from __future__ import annotations

import doctest
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded_broker import EmbeddedBroker
from tests.crash.matrix import harm, table, verdict
from tests.crash.matrix.__main__ import BROKER
from tests.crash.matrix.rows import ROWS, Row, published
from tests.crash.matrix.runner import play

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
    assert found.holds, table.rendered([found])
    assert found.in_flight >= 3


@pytest.mark.parametrize("sabotage", ["loses", "doubles"])
def test_a_worker_that_loses_or_doubles_is_seen(sabotage: str, matrix_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Rule: an event that is not applied, or an output that is written twice, is no zero; nor is a run without harm."""
    row = Row("0" + sabotage, "sabotage", published)
    found = play(row, seed=5, broker=matrix_broker, directory=tmp_path / "run", events=EVENTS, sabotage=sabotage)
    assert not found.holds
    if sabotage == "loses":
        assert found.tallies["profiles"].lost == found.tallies["profiles"].extra > 0
        assert found.tallies["dead letters"].lost == found.tallies["dead letters"].double == 0
    else:
        assert found.tallies["scores"].double > 0
        assert found.lost == found.extra == 0
    assert any("the test proved nothing" in problem for problem in found.problems)


def test_a_wrong_value_is_lost_and_extra_and_a_second_one_is_double() -> None:
    """Rule: what is counted adds up, whichever way it is wrong."""
    assert verdict.Tally.of(Counter("abb"), Counter("aabx")) == verdict.Tally(3, lost=1, double=1, extra=1)
    assert doctest.testmod(verdict).attempted > 0
    assert doctest.testmod(verdict).failed == 0


def test_an_outage_counts_from_the_arrival_of_what_waits() -> None:
    """Rule: a partition without input is not out; one whose input waits is, also over commits that move nothing."""
    commits = {0: [(0, 1), (900, 2), (5_000, 2), (9_000, 3)]}
    assert verdict.longest_outage_s(commits, {0: [(0, 0), (1, 800), (2, 8_500)]}) == 0.5
    assert verdict.longest_outage_s(commits, {0: [(0, 0), (1, 800), (2, 1_000)]}) == 8.0


def test_every_reason_of_refusal_is_published() -> None:
    """Rule: "every kind of broken input" is the product's own list, so that a new reason needs a new kind here."""
    from models.event import REASONS, decode
    from models.rejected import Rejected

    answers = [decode(value, (), 1_704_067_200_000) for value in harm.BROKEN]
    assert all(isinstance(answer, Rejected) for answer in answers)
    # A record in a topic always has a time: that of its receipt at least.
    assert {answer.reason for answer in answers if isinstance(answer, Rejected)} == REASONS.keys() - {"no_time"}
