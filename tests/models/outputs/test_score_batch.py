"""Scores as data: whoever has it says the same bytes."""

from __future__ import annotations

import msgspec

from models.backtesting.backtest import MemoryStore
from models.events.event import Event, decode
from models.outputs.score_batch import CHUNK_ROWS, Telling
from models.pipeline.partition import Entry, Partition
from models.pipeline.score_history import ScoreBook
from models.simulation import Settings, Simulation
from tests.models.pipeline.test_score_history import CHURN, SCORER


def test_a_telling_that_was_written_and_read_says_the_same_values() -> None:
    """Rule: however a telling travels, its values are those that the book tells, in order, in bounded pieces."""
    values = [event.value for event in Simulation(Settings(customers=25, days=40, seed=4)).events()]
    entries = [Entry(i, e) for i, value in enumerate(values) if isinstance(e := decode(value, (), None), Event)]
    store = MemoryStore()
    partition = Partition(CHURN, store, SCORER)
    effects = partition.process(entries)
    pages = ScoreBook(partition.context, store).prepare(effects)
    assert len(pages.tellings) > 1
    assert max(len(telling.scores) for telling in pages.tellings) == CHUNK_ROWS
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(pages.tellings), type=list[Telling])
    said = pages.told([value for telling in travelled for value in telling.values()])
    assert said == ScoreBook(partition.context, store).tell(effects)[0]
    assert [one.customer for one in said] == [effects.points[row].key[1:] for row in effects.told]
