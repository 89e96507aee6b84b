"""What the console remembers: newest first wins, filters add up, nothing grows without end."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.console import actions, charts, database, dead_letter_samples, model_insights, security, server
from streams.console.database import AlertQuery, ConsoleDatabase
from tests.streams.alert_values import life


@pytest.fixture
def found(tmp_path: Path) -> Iterator[ConsoleDatabase]:
    it = ConsoleDatabase(tmp_path)
    yield it
    it.close()


@pytest.mark.parametrize(
    "module", [charts, security, actions, model_insights, dead_letter_samples, server], ids=lambda m: m.__name__
)
def test_the_examples_in_the_docstrings_hold(module: Any) -> None:
    """Rule: a figure in a docstring is what the code gives."""
    ran = doctest.testmod(module)
    assert (ran.failed, ran.attempted > 0) == (0, True)


def test_an_alert_is_as_its_newest_change_and_repeats_change_nothing(found: ConsoleDatabase) -> None:
    """Rule: a seq that is not above the known one was seen before."""
    values: list[bytes | None] = [value for _, value in life("c1")]
    found.add_alerts(values[:2])
    assert [(row["state"], row["seq"]) for row in found.alerts(AlertQuery())[0]] == [("acknowledged", 2)]
    version = found.version
    found.add_alerts(values[:2])
    assert found.version == version
    found.add_alerts(values[2:])
    assert found.alerts(AlertQuery()) == ([], 0)
    assert [row["resolution"] for row in found.alerts(AlertQuery(state="ended"))[0]] == ["recovered"]
    assert [row["type"] for row in found.history("c1")] == ["resolved", "snoozed", "acknowledged", "opened"]


def test_alerts_are_found_by_who_takes_them_up(found: ConsoleDatabase) -> None:
    """Rule: an alert of a release that did not say is for success."""
    found.add_alerts([life(name, route=route)[0][1] for name, route in (("c1", "billing"), ("c2", "success"))])
    older = json.loads(life("c3")[0][1])
    del older["route"]
    found.add_alerts([json.dumps(older).encode()])
    assert [row["customer"] for row in found.alerts(AlertQuery(route="billing"))[0]] == ["c1"]
    assert {row["customer"] for row in found.alerts(AlertQuery(route="success"))[0]} == {"c2", "c3"}
    assert found.choices()["route"] == ["success", "billing"]


def test_who_has_left_is_no_longer_the_riskiest(found: ConsoleDatabase) -> None:
    """Rule: in either order those who have left come last, whatever the model said of them."""
    for name, probability, stage in (("stays", 0.2, "active"), ("gone", 0.9, "churned"), ("wavers", 0.5, "active")):
        value = {"revenue_at_risk": 100 * probability}
        score = {"customer": {"id": name, "stage": stage}, "probability": probability, "band": "high", "value": value}
        found.add_scores([(name.encode(), json.dumps(score).encode())])
    for sort in ("risk", "worth"):
        assert [row["id"] for row in found.customers("", sort, 1)] == ["wavers", "stays", "gone"]


@pytest.mark.parametrize("score_first", [True, False])
@pytest.mark.parametrize("year", [2000, 2090])
def test_a_live_alert_says_how_its_customer_stands_now(found: ConsoleDatabase, score_first: bool, year: int) -> None:
    """Rule: the newer of alert and score counts, whichever is read first; the history keeps what was told."""
    alert = life("c1")[0][1]
    score = {"customer": {"id": "c1"}, "probability": 0.02, "band": "low", "value": {"revenue_at_risk": 1.0}}
    told: list[Callable[[], object]] = [
        lambda: found.add_alerts([alert]),
        lambda: found.add_scores([(b"c1", json.dumps({**score, "scored_at": f"{year}-01-01T00:00:00Z"}).encode())]),
    ]
    for one in told[::-1] if score_first else told:
        one()
    [[row], _] = found.alerts(AlertQuery())
    assert ((row["probability"], row["at_risk"], row["band"]) == (0.02, 1.0, 0)) is (year == 2090)
    assert found.history("c1")[0]["probability"] != 0.02


@pytest.mark.parametrize("score_first", [True, False])
def test_who_was_deleted_is_nowhere_any_more_whichever_topic_says_it_first(
    found: ConsoleDatabase, score_first: bool
) -> None:
    """Rule: a tombstone and the end of the alert take past alerts along, of this customer only."""
    found.add_alerts([value for name in ("c1", "c2") for _, value in life(name)])
    alert = {**json.loads(life("c1")[0][1]), "alert_id": "second"}
    end = {**alert, "seq": 2, "type": "expired", "state": "expired", "resolution": "deleted"}
    found.add_alerts([json.dumps(alert).encode()])
    tell: list[Callable[[], object]] = [
        lambda: found.add_scores([(b"c1", None)]),
        lambda: found.add_alerts([json.dumps(end).encode()]),
    ]
    for one in tell if score_first else tell[::-1]:
        one()
    assert found.history("c1") == []
    assert found.alerts(AlertQuery(customer="c1", state="ended"))[1] == found.alerts(AlertQuery(customer="c1"))[1] == 0
    assert found.history("c2")


def test_filters_add_up_and_the_most_at_risk_comes_first(found: ConsoleDatabase) -> None:
    """Rule: risk x value is the order, unknown value comes last."""
    for name, at_risk in (("a", 5.0), ("b", 50.0), ("c", None)):
        worth = {"mrr": 1.0, "clv": 1.0, "revenue_at_risk": at_risk, "basis": "orders"}
        found.add_alerts([life(name, value=worth)[0][1]])

    def names(choice: AlertQuery) -> list[str]:
        return [row["customer"] for row in found.alerts(choice)[0]]

    assert names(AlertQuery()) == ["b", "a", "c"]
    assert names(AlertQuery(least=10)) == ["b"]
    assert names(AlertQuery(reason="SILENCE", customer="a")) == ["a"]
    assert (
        names(AlertQuery(reason="REFUND"))
        == names(AlertQuery(state="snoozed"))
        == names(AlertQuery(segment="x' OR 1"))
        == []
    )
    assert found.choices()["reason"] == ["SILENCE"]
    assert (found.summary()["live"], found.summary()["at_risk"]) == (3, 55.0)


def test_what_is_no_alert_and_no_score_is_counted_and_passed_over(found: ConsoleDatabase) -> None:
    """Rule: one bad record takes nothing else with it."""
    found.add_alerts([b"", None, b"{}", life("c1")[0][1]])
    found.add_scores([(b"x", b"not json")])
    assert (found.unknown, found.alerts(AlertQuery())[1]) == (4, 1)


def test_a_score_comes_back_as_it_was_and_a_tombstone_forgets_it(found: ConsoleDatabase) -> None:
    """Rule: the newest value of a key, byte for byte what it says."""
    first, second = (
        {"customer": {"id": "käthe"}, "probability": p, "band": "high", "value": {"revenue_at_risk": 2.0}, "x": p}
        for p in (0.1, 0.2)
    )
    found.add_scores([(b"k", json.dumps(one).encode()) for one in (first, second)])
    assert (found.score("käthe"), found.count()) == (second, 1)
    assert [row["id"] for row in found.customers("kä", "risk", 1)] == ["käthe"]
    assert found.customers("x", "risk", 1) == []
    found.add_scores([("käthe".encode(), None)])
    assert found.score("käthe") is None


def test_ended_alerts_and_changes_are_bounded(found: ConsoleDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the newest stay."""
    for name, value in (("ENDED_KEPT", 3), ("CHANGES_KEPT", 8), ("_TRIM_EVERY", 4)):
        monkeypatch.setattr(database, name, value)
    for i in range(10):
        found.add_alerts([value for _, value in life(f"c{i}")])
    assert found.alerts(AlertQuery(state="ended"))[1] == 3
    assert len(found.history("c9")) == 4
    assert found.history("c0") == []
