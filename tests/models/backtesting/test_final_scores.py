"""The newest score of every customer at the end of a log, and a history with each time once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from models.backtesting.backtest import Backtest
from models.backtesting.final_scores import FinalScores
from models.pipeline.score_history import ScoreHistory
from models.profile.keys import order_hash
from tests.models.backtesting.test_backtest import RecordingLearner
from tests.models.histories import definition, simulated

Values = dict[str, dict[str, Any]]


def decoded(values: Any) -> Values:
    found = [msgspec.json.decode(value) for value in values]
    return {value["customer"]["id"]: value for value in found}


@pytest.fixture(scope="module")
def replay() -> tuple[FinalScores, Values]:
    """Final scores of simulated customers, and the newest value that workers would have published of each."""
    run = Backtest(definition(), RecordingLearner(), 2, lambda key, count: order_hash(key) % count)
    final = FinalScores(run)
    follow = run.on_effects
    assert follow is not None
    published: Values = {}

    def publish(partition: int, effects: Any) -> None:
        fold, store = run.partitions[partition], run.stores[partition]
        records, _ = ScoreHistory(fold.context, store).to_records(effects)
        published.update(decoded(record.value for record in records if record.value is not None))
        follow(partition, effects)

    run.on_effects = publish
    list(run.run(iter(simulated(customers=40, days=45, seed=5))))
    return final, published


def test_a_score_of_the_same_time_is_the_published_one(replay: tuple[FinalScores, Values]) -> None:
    """Rule: facts, what `churn-scores` holds, except for what a newer model changes."""
    final, published = replay
    values = decoded(final.values())
    same = [name for name in values if values[name]["scored_at"] == published[name]["scored_at"]]
    assert len(same) > 10
    for name in same:
        times = [[at for at, _ in value["history"]] for value in (values[name], published[name])]
        assert times[0] == times[1]
        for field in ("customer", "features", "activity", "payments", "goals"):
            assert values[name][field] == published[name][field], (name, field)
    alerts = {name: values[name]["alert"] for name in same if values[name]["alert"]}  # others have ended since
    assert alerts
    assert alerts == {name: published[name]["alert"] for name in alerts}


def test_every_customer_is_scored_as_of_the_newest_event(replay: tuple[FinalScores, Values]) -> None:
    final, published = replay
    values = decoded(final.values())
    assert values.keys() == published.keys()
    assert all(values[name]["scored_at"] >= published[name]["scored_at"] for name in values)
    assert any(values[name]["scored_at"] > published[name]["scored_at"] for name in values)
    for name, value in values.items():
        newest = value["history"].pop()
        earlier = published[name]["history"]
        assert value["history"] == (earlier[:-1] if earlier[-1][0] == newest[0] else earlier[-31:])


def test_only_named_customers_with_a_record_are_scored(replay: tuple[FinalScores, Values]) -> None:
    final, published = replay
    name = sorted(published)[3]
    assert list(decoded(final.values([name, "stranger"]))) == [name]
