"""The score book: rank, band and history are functions of the log, however it is cut into batches."""

from __future__ import annotations

import doctest

import orjson
import pytest

from models import scorebook
from models.backtest import MemoryStore
from models.definition import ChurnDefinition
from models.event import Event, decode
from models.features import CATALOGUE, NAMES, RELATIVE
from models.model import Model
from models.outputs import HISTORY
from models.partition import Entry, Partition
from models.scorebook import ScoreBook, Told
from models.simulation import Settings, Simulation
from models.space import FeatureSpace

CHURN = ChurnDefinition.parse(
    '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "5d"\n[snapshot]\nevery = "2d"'
)
SCORER = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)).scorer()


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    values = [event.value for event in Simulation(Settings(customers=15, days=25, seed=3)).events()]
    return [Entry(i, event) for i, value in enumerate(values) if isinstance(event := decode(value, (), None), Event)]


def told(entries: list[Entry], batch: int, *, restarts: bool = False) -> tuple[list[Told], dict[bytes, bytes]]:
    store = MemoryStore()
    partition, book = Partition(CHURN, store, SCORER), ScoreBook(CHURN, None, 0)
    found = []
    for start in range(0, len(entries), batch):
        effects = partition.process(entries[start : start + batch])
        values, histories = book.tell(effects, store, SCORER.trust)
        store.apply({**effects.changes, **histories})
        found += values
        if restarts:
            partition = Partition(CHURN, store, SCORER, effects.state)
            book = ScoreBook(CHURN, None, 0, book.state())
    return found, store.records


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(scorebook).failed == 0


def test_batches_and_restarts_change_no_value_and_no_history(entries: list[Entry]) -> None:
    whole = told(entries, 10_000)
    assert len(whole[0]) > 300
    assert told(entries, 17, restarts=True) == whole


def test_a_value_remembers_the_ones_before_it(entries: list[Entry]) -> None:
    """Rule: the history ends with this score, holds the newest 32, and `previous` is the one before."""
    before: dict[bytes, list[float]] = {}
    for customer, value in told(entries, 100)[0]:
        document = orjson.loads(value)
        past = before.setdefault(customer, [])
        assert document["previous"] == (pytest.approx(past[-1], abs=1e-6) if past else None)
        past.append(document["probability"])
        assert [ppm for _, ppm in document["history"]] == [round(p * 1e6) for p in past[-HISTORY:]]
    assert max(map(len, before.values())) > HISTORY


def test_ranks_follow_probabilities(entries: list[Entry]) -> None:
    documents = [orjson.loads(value) for _, value in told(entries, 100)[0]][-100:]
    ranked = sorted(documents, key=lambda document: document["probability"])
    low, high = (sum(d["percentile"] for d in part) / 20 for part in (ranked[:20], ranked[-20:]))
    assert 0 <= low < high <= 1
