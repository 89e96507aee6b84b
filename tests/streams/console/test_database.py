"""The console's database: the newest record wins, filters combine, and history is bounded."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.console import actions, address, charts, database, dead_letter_samples, filters, model_insights
from streams.console.database import AlertQuery, ConsoleDatabase, ConsoleDatabaseFailed
from tests.streams.alert_values import life
from tests.streams.console.published import alerts, score_of, scores, tombstone


@pytest.fixture
def console_db(tmp_path: Path) -> Iterator[ConsoleDatabase]:
    opened = ConsoleDatabase(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "module", [actions, address, charts, dead_letter_samples, filters, model_insights], ids=lambda m: m.__name__
)
def test_docstring_examples_hold(module: Any) -> None:
    ran = doctest.testmod(module)
    assert (ran.failed, ran.attempted > 0) == (0, True)


def test_alert_has_its_newest_state_and_duplicates_change_nothing(console_db: ConsoleDatabase) -> None:
    """Rule: a seq that is not above the known one is a duplicate."""
    values = alerts(*(value for _, value in life("c1")))
    console_db.add_alerts(values[:2])
    assert [(row["state"], row["seq"]) for row in console_db.alerts(AlertQuery())[0]] == [("acknowledged", 2)]
    version = console_db.version
    console_db.add_alerts(values[:2])
    assert console_db.version == version
    console_db.add_alerts(values[2:])
    assert console_db.alerts(AlertQuery()) == ([], 0)
    assert [row["resolution"] for row in console_db.alerts(AlertQuery(state="ended"))[0]] == ["recovered"]
    assert [row["type"] for row in console_db.history("c1")] == ["resolved", "snoozed", "acknowledged", "opened"]


def test_alerts_are_filtered_by_route(console_db: ConsoleDatabase) -> None:
    """Rule: an alert of an earlier release, without a route, belongs to success."""
    console_db.add_alerts(
        alerts(*(life(name, route=route)[0][1] for name, route in (("c1", "billing"), ("c2", "success"))))
    )
    older = json.loads(life("c3")[0][1])
    del older["route"]
    console_db.add_alerts(alerts(json.dumps(older).encode()))
    assert [row["customer"] for row in console_db.alerts(AlertQuery(route="billing"))[0]] == ["c1"]
    assert {row["customer"] for row in console_db.alerts(AlertQuery(route="success"))[0]} == {"c2", "c3"}
    assert console_db.filter_options()["route"] == ["success", "billing"]


def test_churned_customers_come_last(console_db: ConsoleDatabase) -> None:
    """Rule: in both orders, churned customers come last, whatever their last score."""
    for name, probability, stage in (("low", 0.2, "active"), ("gone", 0.9, "churned"), ("medium", 0.5, "active")):
        score = score_of(name, probability=probability)
        score["customer"]["stage"] = stage
        score["value"]["revenue_at_risk"] = 100 * probability
        console_db.add_scores(scores(score))
    for sort in ("risk", "value"):
        assert [row["id"] for row in console_db.customers("", sort, 1)] == ["medium", "low", "gone"]


@pytest.mark.parametrize("score_first", [True, False])
@pytest.mark.parametrize("year", [2000, 2090])
def test_live_alert_shows_the_current_risk(console_db: ConsoleDatabase, score_first: bool, year: int) -> None:
    """Rule: the newer of alert and score counts, whichever is read first; the history keeps the risk at the change."""
    alert = life("c1")[0][1]
    score = score_of("c1", probability=0.02, band="low", scored_at=f"{year}-01-01T00:00:00Z")
    score["value"]["revenue_at_risk"] = 1.0
    steps: list[Callable[[], object]] = [
        lambda: console_db.add_alerts(alerts(alert)),
        lambda: console_db.add_scores(scores(score)),
    ]
    for step in steps[::-1] if score_first else steps:
        step()
    [[row], _] = console_db.alerts(AlertQuery())
    assert ((row["probability"], row["at_risk"], row["band"]) == (0.02, 1.0, 0)) is (year == 2090)
    assert console_db.history("c1")[0]["probability"] != 0.02


@pytest.mark.parametrize("score_first", [True, False])
def test_deleted_customer_disappears_whichever_topic_is_read_first(
    console_db: ConsoleDatabase, score_first: bool
) -> None:
    """Rule: the tombstone and the end of the alert also delete past alerts, of this customer only."""
    console_db.add_alerts(alerts(*(value for name in ("c1", "c2") for _, value in life(name))))
    alert = {**json.loads(life("c1")[0][1]), "alert_id": "second"}
    end = {**alert, "seq": 2, "type": "expired", "state": "expired", "resolution": "deleted"}
    console_db.add_alerts(alerts(json.dumps(alert).encode()))
    steps: list[Callable[[], object]] = [
        lambda: console_db.add_scores([tombstone("c1")]),
        lambda: console_db.add_alerts(alerts(json.dumps(end).encode())),
    ]
    for step in steps if score_first else steps[::-1]:
        step()
    assert console_db.history("c1") == []
    assert (
        console_db.alerts(AlertQuery(customer="c1", state="ended"))[1]
        == console_db.alerts(AlertQuery(customer="c1"))[1]
        == 0
    )
    assert console_db.history("c2")


def test_revenue_at_risk_is_summed_by_currency(console_db: ConsoleDatabase) -> None:
    """Rule: money of different currencies is never added; the currency of most alerts comes first."""
    for name, at_risk, currency in (("a", 5.0, "EUR"), ("b", 5000.0, "JPY"), ("c", 7000.0, "JPY"), ("d", None, "EUR")):
        value = {"mrr": 1.0, "clv": 1.0, "revenue_at_risk": at_risk, "basis": "orders", "currency": currency}
        console_db.add_alerts(alerts(life(name, value=value)[0][1]))
    assert console_db.summary()["at_risk"] == [(12000.0, "JPY"), (5.0, "EUR")]
    assert {row["currency"] for row in console_db.alerts(AlertQuery())[0]} == {"EUR", "JPY"}


def test_filters_combine_and_the_highest_revenue_at_risk_comes_first(console_db: ConsoleDatabase) -> None:
    """Rule: alerts are sorted by revenue at risk; unknown values come last."""
    for name, at_risk in (("a", 5.0), ("b", 50.0), ("c", None)):
        value = {"mrr": 1.0, "clv": 1.0, "revenue_at_risk": at_risk, "basis": "orders"}
        console_db.add_alerts(alerts(life(name, value=value)[0][1]))

    def names(query: AlertQuery) -> list[str]:
        return [row["customer"] for row in console_db.alerts(query)[0]]

    assert names(AlertQuery()) == ["b", "a", "c"]
    assert names(AlertQuery(min_at_risk=10)) == ["b"]
    assert names(AlertQuery(reason="SILENCE", customer="a")) == ["a"]
    assert (
        names(AlertQuery(reason="REFUND"))
        == names(AlertQuery(state="snoozed"))
        == names(AlertQuery(segment="x' OR 1"))
        == []
    )
    assert console_db.filter_options()["reason"] == ["SILENCE"]
    assert (console_db.summary()["live"], console_db.summary()["at_risk"]) == (3, [(55.0, None)])


def test_newest_score_of_a_customer_wins_and_a_tombstone_deletes_it(console_db: ConsoleDatabase) -> None:
    """Rule: the fields that pages show are returned as published."""
    first, second = (score_of("käthe", probability=p) for p in (0.1, 0.2))
    console_db.add_scores(scores(first, second))
    stored = console_db.score("käthe")
    assert stored is not None
    assert (stored["probability"], stored["payments"], console_db.count()) == (0.2, second["payments"], 1)
    assert [row["id"] for row in console_db.customers("kä", "risk", 1)] == ["käthe"]
    assert console_db.customers("x", "risk", 1) == []
    console_db.add_scores([tombstone("käthe")])
    assert console_db.score("käthe") is None


def test_full_disk_changes_nothing_and_the_records_can_be_added_again(console_db: ConsoleDatabase) -> None:
    """Rule: a transaction is written as a whole or not at all. Once there is space, the same records are accepted."""
    console_db.add_scores(scores(score_of("c1")))
    console_db.add_alerts(alerts(life("c1")[0][1]))
    version, known = console_db.version, console_db.alerts(AlertQuery())
    [pages] = console_db._db.execute("PRAGMA page_count").fetchone()
    console_db._db.execute(f"PRAGMA max_page_count={pages}")
    many_scores = scores(*(score_of(f"c{i}") for i in range(200)))
    many_alerts = alerts(*(life(f"c{i}")[0][1] for i in range(200)))
    for _ in range(2):
        with pytest.raises(ConsoleDatabaseFailed, match="SQLITE_FULL"):
            console_db.add_scores(many_scores)
        with pytest.raises(ConsoleDatabaseFailed, match="check the free space"):
            console_db.add_alerts(many_alerts)
        assert (console_db.count(), console_db.version, console_db.alerts(AlertQuery())) == (1, version, known)
    console_db._db.execute("PRAGMA max_page_count=1000000")
    console_db.add_scores(many_scores)
    console_db.add_alerts(many_alerts)
    assert (console_db.count(), console_db.alerts(AlertQuery())[1]) == (200, 200)


def test_file_that_cannot_be_created_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConsoleDatabaseFailed, match="SQLITE_CANTOPEN"):
        ConsoleDatabase(tmp_path / "missing")


def test_ended_alerts_and_changes_are_bounded(console_db: ConsoleDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the newest are kept."""
    for name, value in (("ENDED_KEPT", 3), ("CHANGES_KEPT", 8), ("_TRIM_EVERY", 4)):
        monkeypatch.setattr(database, name, value)
    for i in range(10):
        console_db.add_alerts(alerts(*(value for _, value in life(f"c{i}"))))
    assert console_db.alerts(AlertQuery(state="ended"))[1] == 3
    assert len(console_db.history("c9")) == 4
    assert console_db.history("c0") == []


@pytest.mark.parametrize(
    ("reason", "score", "points"),
    [({"points": 12.3}, {}, 12.3), ({}, {"log_odds": 1.0}, 20.608), ({}, {"log_odds": None}, None)],
    ids=["published", "computed", "unknown"],
)
def test_main_reason_has_points(
    console_db: ConsoleDatabase, reason: dict[str, Any], score: dict[str, Any], points: float | None
) -> None:
    """Rule: the record's points win; without them, points follow from log-odds and contribution."""
    alert = json.loads(life("c1")[0][1])
    earlier = {name: value for name, value in alert["reasons"][0].items() if name != "points"}  # an earlier release's
    alert["reasons"] = [{**earlier, **reason}]
    alert["score"] |= score
    console_db.add_alerts(alerts(json.dumps(alert).encode()))
    [[row], _] = console_db.alerts(AlertQuery())
    assert row["points"] == (None if points is None else pytest.approx(points, abs=0.001))
