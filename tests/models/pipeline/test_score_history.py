"""Published scores and their histories are a function of the log, whatever the batches."""

from __future__ import annotations

import doctest

import orjson
import pytest

from models.backtesting.backtest import MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.features.scoring_point import DECISIVE
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.outputs.score_history import HISTORY
from models.pipeline import score_history as scorebook
from models.pipeline.effects import OffsetEvent
from models.pipeline.partition import PartitionFold
from models.pipeline.score_history import ScoreHistory, ScoreRecord
from models.profile.mergeable import DAY_MS
from models.simulation import Simulation, SimulationSettings

CHURN = ChurnDefinition.parse(
    '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "5d"\n[snapshot]\nevery = "2d"'
)
SCORER = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)).scorer()


@pytest.fixture(scope="module")
def entries() -> list[OffsetEvent]:
    values = [event.value for event in Simulation(SimulationSettings(customers=15, days=25, seed=3)).events()]
    return [
        OffsetEvent(i, event) for i, value in enumerate(values) if isinstance(event := decode(value, (), None), Event)
    ]


def records_of(
    entries: list[OffsetEvent], batch: int, *, restarts: bool = False
) -> tuple[list[ScoreRecord], dict[bytes, bytes]]:
    store = MemoryStore()
    partition = PartitionFold(CHURN, store, SCORER)
    book = ScoreHistory(partition.context, store)
    found = []
    for start in range(0, len(entries), batch):
        effects = partition.process(entries[start : start + batch])
        values, histories = book.to_records(effects)
        store.apply({**effects.changes, **histories})
        found += values
        if restarts:
            partition = PartitionFold(CHURN, store, SCORER, effects.state)
            book = ScoreHistory(partition.context, store)
    return found, store.records


def test_doctests_pass() -> None:
    assert doctest.testmod(scorebook).failed == 0


def test_batches_and_restarts_do_not_change_scores_or_history(entries: list[OffsetEvent]) -> None:
    whole = records_of(entries, 10_000)
    assert len(whole[0]) > 200
    assert records_of(entries, 17, restarts=True) == whole


def test_history_with_a_tiny_cache_gives_the_same_records(
    entries: list[OffsetEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: the data kept between batches is a bounded cache of the store, and never changes a result."""
    whole = records_of(entries, 10_000)
    monkeypatch.setattr(scorebook, "HISTORIES_KEPT", 2)
    assert records_of(entries, 17) == whole


def test_score_contains_the_history_of_earlier_scores(entries: list[OffsetEvent]) -> None:
    """Rule: the history ends with this score, and has the newest 32 published scores."""
    before: dict[bytes, list[float]] = {}
    for customer, value in records_of(entries, 100)[0]:
        assert value is not None
        document = orjson.loads(value)
        past = before.setdefault(customer, [])
        assert (document["previous"] is None) == (not past)
        past.append(document["probability"])
        assert [ppm for _, ppm in document["history"]] == [round(p * 1e6) for p in past[-HISTORY:]]
    assert max(map(len, before.values())) > 20


def test_score_is_published_when_it_is_decisive_changes_the_band_or_is_a_day_after_the_last(
    entries: list[OffsetEvent],
) -> None:
    """Rule: any other score appears only as `previous` of the next one."""
    store = MemoryStore()
    effects = PartitionFold(CHURN, store, SCORER).process(entries)
    last: dict[bytes, tuple[int, int]] = {}
    published_rows = set(effects.published_rows)
    assert 0 < len(published_rows) < len(effects.points)
    for row, (point, band) in enumerate(zip(effects.points, effects.band, strict=True)):
        when, before = last.get(point.key, (0, 0))
        by_time = point.trigger == DECISIVE or point.at_ms - when >= DAY_MS
        alert = effects.alert_after.get(row)
        if by_time or band != before:
            assert row in published_rows
        elif row in published_rows:
            assert alert is not None, "only an alert is another reason"
        last[point.key] = (point.at_ms if by_time else when), band


def test_deleted_customer_has_a_tombstone_and_then_a_new_history(entries: list[OffsetEvent]) -> None:
    """Rule: consumers get the last score, the tombstone and the first new score in order, even within a batch."""
    chosen = entries[len(entries) // 2].event.customer
    asked = OffsetEvent(
        entries[-1].offset + 1, Event(chosen, "User Deletion Requested", entries[-1].event.time_ms, 1, {}, False, False)
    )
    later = Event(chosen, "page", entries[-1].event.time_ms + DAY_MS, 2, {}, False, False)
    log = [*entries, asked, OffsetEvent(asked.offset + 1, later)]
    values, records = records_of(log[:-1], 10_000)
    assert values[-1] == (chosen.encode(), None)
    assert not [key for key in records if key[1:].startswith(chosen.encode())]
    for batch in (10_000, 17):
        values, records = records_of(log, batch, restarts=True)
        mine = [value for customer, value in values if customer == chosen.encode()]
        assert len(mine) > 3
        assert mine[-2] is None
        score = orjson.loads(mine[-1] or b"")
        assert (len(score["history"]), score["previous"], score["customer"]["tenure_days"]) == (1, None, 0)


def test_ranks_follow_probabilities(entries: list[OffsetEvent]) -> None:
    documents = [orjson.loads(value or b"") for _, value in records_of(entries, 100)[0]][-100:]
    ranked = sorted(documents, key=lambda document: document["probability"])
    low, high = (sum(d["percentile"] for d in part) / 20 for part in (ranked[:20], ranked[-20:]))
    assert 0 <= low < high <= 1
