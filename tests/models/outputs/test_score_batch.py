"""Scores as data: every process renders the same bytes."""

from __future__ import annotations

import msgspec

from models.backtesting.backtest import MemoryStore
from models.events.event import Event, decode
from models.outputs.score_batch import CHUNK_ROWS, ScorePayload
from models.pipeline.effects import OffsetEvent
from models.pipeline.partition import PartitionFold
from models.pipeline.score_history import ScoreHistory
from models.simulation import Simulation, SimulationSettings
from tests.models.pipeline.test_score_history import CHURN, SCORER


def test_payload_renders_the_same_values_after_a_round_trip() -> None:
    """Rule: after any transport, the values equal those of the score history, in order and in bounded chunks."""
    values = [event.value for event in Simulation(SimulationSettings(customers=25, days=40, seed=4)).events()]
    entries = [OffsetEvent(i, e) for i, value in enumerate(values) if isinstance(e := decode(value, (), None), Event)]
    store = MemoryStore()
    partition = PartitionFold(CHURN, store, SCORER)
    effects = partition.process(entries)
    pages = ScoreHistory(partition.context, store).prepare(effects)
    assert len(pages.payloads) > 1
    assert max(len(payload.scores) for payload in pages.payloads) == CHUNK_ROWS
    travelled = msgspec.msgpack.decode(msgspec.msgpack.encode(pages.payloads), type=list[ScorePayload])
    records = pages.records([value for payload in travelled for value in payload.values()])
    assert records == ScoreHistory(partition.context, store).to_records(effects)[0]
    assert [one.customer for one in records] == [effects.points[row].key[1:] for row in effects.published_rows]
