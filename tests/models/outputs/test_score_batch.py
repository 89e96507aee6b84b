"""Scores as data: whoever has it says the same bytes."""

from __future__ import annotations

import msgspec

from models.backtesting.backtest import MemoryStore
from models.events.event import Event, decode
from models.outputs.score_batch import CHUNK_ROWS, ScorePayload
from models.pipeline.partition import OffsetEvent, PartitionFold
from models.pipeline.score_history import ScoreHistory
from models.simulation import Simulation, SimulationSettings
from tests.models.pipeline.test_score_history import CHURN, SCORER


def test_a_telling_that_was_written_and_read_says_the_same_values() -> None:
    """Rule: however a telling travels, its values are those that the book tells, in order, in bounded pieces."""
    values = [event.value for event in Simulation(SimulationSettings(customers=25, days=40, seed=4)).events()]
    entries = [OffsetEvent(i, e) for i, value in enumerate(values) if isinstance(e := decode(value, (), None), Event)]
    store = MemoryStore()
    partition = PartitionFold(CHURN, store, SCORER)
    effects = partition.process(entries)
    pages = ScoreHistory(partition.context, store).prepare(effects)
    assert len(pages.tellings) > 1
    assert max(len(telling.scores) for telling in pages.tellings) == CHUNK_ROWS
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(pages.tellings), type=list[ScorePayload])
    said = pages.told([value for telling in travelled for value in telling.values()])
    assert said == ScoreHistory(partition.context, store).to_records(effects)[0]
    assert [one.customer for one in said] == [effects.points[row].key[1:] for row in effects.told]
