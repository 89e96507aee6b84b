"""Published retention sums: `churn-signals retention` gives the same figures from the topic as from a file."""

from __future__ import annotations

import orjson
import pytest

from models.backtesting.retention_log import RetentionLog
from models.events.event import Event, decode
from models.retention.aggregates import METRIC_PREFIX, Sums, add, is_sums, metric_key, metric_value, read_metric
from models.retention.report import as_data, build
from models.simulation import Simulation, SimulationSettings
from tests.laws.published import published
from tests.streams.scoring.test_event_processor import break_on, shared

BROKEN = "Ticket Reopened"


def test_topic_and_file_give_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: two partitions, a new processor for every batch, and an input that also has events which cannot be applied
    and events of the other partition.

    Rule: the newest record of a key is the store's block, and all blocks add up to the figures of a file.
    """
    values = [event.value for event in Simulation(SimulationSettings(customers=40, days=40, seed=5)).events()]
    events = [event for value in values if isinstance(event := decode(value, (), None), Event)]
    assert sum(event.name == BROKEN for event in events) > 3
    break_on(monkeypatch, BROKEN)
    both, log, sums = shared(), RetentionLog(), Sums(int)
    for event in events:
        if event.name != BROKEN:
            log.add(event)
    for number in (0, 1):
        store, newest, _ = published(both, number, values, METRIC_PREFIX)
        blocks = {key: value for key, value in store.records.items() if is_sums(key)}
        found = {key: value for key, value in newest.items() if value is not None}
        assert found == {metric_key(number, key): metric_value(number, key, value) for key, value in blocks.items()}
        for value in found.values():
            assert orjson.loads(value)["partition"] == number
            add(sums, read_metric(value))
    report, by_file = build(sums, "plan"), build(log.sums(), "plan")
    assert report is not None
    assert by_file is not None
    assert report.whole.subscribed
    assert as_data(report) == as_data(by_file)
