"""Pure parts of the growth benchmark: customers copied from samples, their next events, and the tables."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from benchmarks.growth import figures, history
from benchmarks.growth.population import Population, events, folded, name_of, partitioned, sampled
from models.events.event import Event, decode
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.profile.codec import decode as decode_profile
from models.profile.mergeable import DAY_MS
from streams.kafka.partitioner import partition_of


@pytest.fixture(scope="module")
def model() -> bytes:
    return Model(SPACE).snapshot()


@pytest.fixture(scope="module")
def population(model: bytes) -> Population:
    return sampled(model, customers=40, events=2_000)


def test_customer_has_the_records_of_a_sample_under_a_unique_id(population: Population) -> None:
    """Rule: a customer has all records of the sample, in its own partition, and none contains the sample's id."""
    found = [list(transactions) for transactions in partitioned(population, 200, 3, 50)]
    assert all(len(changes) > 0 for transactions in found for changes in transactions)
    for number, transactions in enumerate(found):
        for changes in transactions:
            for key, value in changes.items():
                if key in population.shared:
                    continue
                assert partition_of(key[1 : 1 + len(name_of(0))], 3) == number
                if key[:1] == b"c":
                    assert decode_profile(value or b"").newest_ms > 0
    profiles = [key for transactions in found for changes in transactions for key in changes if key[:1] == b"c"]
    assert sorted(profiles) == [b"c" + name_of(number) for number in range(200)]
    assert {key[:1] for transactions in found for changes in transactions for key in changes} >= {b"c", b"h"}
    assert all(population.shared.items() <= transactions[0].items() for transactions in found)
    other = population.state_of(len(population.names) + 1)
    assert not any(population.names[1] in key or population.names[1] in (value or b"") for key, value in other.items())


def test_more_customers_have_fewer_events_each(population: Population) -> None:
    """Rule: two events per customer and day, in order, after the samples' log, in visits that end with the log."""
    for customers, days in ((20, 10), (2_000, 0.1)):
        found = events(population, customers, 400)
        assert found == events(population, customers, 400)
        read = [decode(value, (), None) for _, value in found]
        assert all(isinstance(event, Event) for event in read)
        times = [event.time_ms for event in read if isinstance(event, Event)]
        assert times == sorted(times)
        assert times[0] > population.newest_ms
        assert 0.5 * days < (times[-1] - times[0]) / DAY_MS < days + 0.05
        assert [event.customer.encode() for event in read if isinstance(event, Event)] == [key for key, _ in found]
    assert max(Counter(key for key, _ in events(population, 20, 400)).values()) > 10


def test_fold_applies_every_sample_event(model: bytes) -> None:
    """Rule: every event is applied, whatever the transactions, and the state is that at the end of the log."""
    log = events(sampled(model, customers=5, events=200), 5, 300)
    store, state, newest_ms = folded(log, model)
    assert state
    last = decode(log[-1][1], (), None)
    assert isinstance(last, Event)
    assert newest_ms == last.time_ms
    assert len({key[1:] for key in store.records if key[:1] == b"c"}) == len({key for key, _ in log})


def test_history_is_measured_at_the_requested_lengths(model: bytes) -> None:
    """Rule: longer histories make larger records at either rate, and all records exceed the profile."""
    rows = history.sizes(model, (5, 60))
    assert [(row["a_day"], row["events"]) for row in rows] == [(2, 5), (2, 60), (40, 5), (40, 60)]
    assert rows[0]["profile_bytes"] < rows[1]["profile_bytes"]
    assert all(row["profile_bytes"] < row["all_bytes"] for row in rows)


def test_tables_show_every_row() -> None:
    """Setup: rates, memory and disk by customers and partitions, and bytes by events."""
    row: dict[str, Any] = {
        "customers": 1_000_000,
        "partitions": 4,
        "rate": 12_345.0,
        "cpu_us_per_event": 80.5,
        "broker_cpu_us_per_event": 5.0,
        "peak_mib": 600.0,
        "store_mib": 1_400.0,
        "ready_s": 9.5,
    }
    sizes = {"a_day": 2, "events": 10_000, "profile_bytes": 9_452, "all_bytes": 9_724}
    shown = figures.render({"events": 100_000, "rows": [row], "histories": [sizes]})
    assert "1,000,000           4    12,345" in shown
    assert "9,452" in shown
