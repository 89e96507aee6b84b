"""Published experience aggregates: `churn-signals experience` gives the same figures from the topic as from a file."""

from __future__ import annotations

import msgspec
import pytest

from models.backtesting.experience_log import ExperienceLog
from models.events.event import Event, decode
from models.experience.aggregates import METRIC_PREFIX, Sums, add, is_block, metric_key, metric_value, read_metric
from models.experience.report import as_data, build
from models.profile.keys import EXPERIENCE
from models.simulation import Simulation, SimulationSettings
from streams.kafka.partitioner import partition_of
from tests.laws.published import published
from tests.streams.scoring.test_event_processor import CHURN, break_on, shared

BROKEN = "Ticket Reopened"
DECLARED = CHURN + '\n[goals.result]\nevent = "Goal Completed"\nwithin = "3d"\n'


def test_topic_and_file_give_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: two partitions, a new processor for every batch, and an input that also has events which cannot be applied
    and events of the other partition.

    Rule: the newest record of a key is the store's block. Together with the current day, the blocks equal the figures
    of a file with the partition's events. A block is published at most once a day.
    """
    values = [event.value for event in Simulation(SimulationSettings(customers=60, days=40, seed=5)).events()]
    events = [event for value in values if isinstance(event := decode(value, (), None), Event)]
    both = shared(DECLARED)
    for number in (0, 1):
        applied = [e for e in events if e.name != BROKEN and partition_of(e.customer.encode(), 2) == number]
        log = ExperienceLog(both.definition, both.scorer)
        for _ in log.read(applied):
            pass
        expected = log.sums()
        with monkeypatch.context() as patch:
            break_on(patch, BROKEN)
            store, newest, count = published(both, number, values, METRIC_PREFIX)
        stored = {key: value for key, value in store.records.items() if is_block(key)}
        assert newest == {metric_key(number, key): metric_value(number, key, value) for key, value in stored.items()}
        assert count <= 40 * len(newest)
        sums: Sums = {}
        for value in newest.values():
            assert value is not None
            add(sums, *read_metric(value))
        for name, amounts in msgspec.msgpack.decode(store.records[EXPERIENCE])[2].items():
            kind, month, plan = name.split(" ", 2)
            add(
                sums,
                type(next(iter(sums)))(kind, int(month), plan),
                {k: tuple(v) for k, v in amounts.items()},
            )
        report, by_file = build(sums, "plan"), build(expected, "plan")
        assert report is not None
        assert by_file is not None
        assert report.whole.all.labels > 50
        assert report.whole.goals[0].customers > 5
        assert as_data(report) == as_data(by_file)
