"""The experience sums are exact, depend only on the log, are bounded, and are published once a day."""

from __future__ import annotations

import doctest
from collections import Counter
from typing import Any

import polars as pl
import pytest

from models.definition import goals
from models.definition import predicate as where
from models.definition.churn_definition import ChurnDefinition
from models.definition.goals import Goals, bin_of
from models.experience import aggregates as experience_sums
from models.experience import context as circumstances
from models.experience import report as experience_report
from models.experience.aggregates import (
    GOALS,
    LABELS,
    MONTHS_KEPT,
    ExperienceAggregates,
    ExperienceBlock,
    SumIncrement,
    Sums,
    add,
    goal_additions,
    is_block,
    label_additions,
    label_block,
    metric_key,
    metric_value,
    read_metric,
)
from models.experience.context import ExperienceContext
from models.experience.report import as_data, build
from models.profile.mergeable import DAY_MS
from models.retention.aggregates import NAMES_MAX, OTHER
from tests.models import experience_batch as batch
from tests.models.histories import CHURN, START_MS, World, event, shaken, simulated

HOUR_MS = 3_600_000
DECLARED = """
[goals.result]
event = "Goal Completed"
within = "5d"
[goals.export]
event = "Feature Used"
where = { feature = "export" }
"""
DEFINITION = ChurnDefinition.parse(CHURN + DECLARED)
RESULT, EXPORT = sorted(DEFINITION.goals, key=lambda goal: goal.name != "result")
REACHED = [
    (RESULT, pl.col("name") == "Goal Completed"),
    (EXPORT, (pl.col("name") == "Feature Used") & (pl.col("feature") == "export")),
]


@pytest.mark.parametrize(
    "module", [experience_sums, experience_report, goals, where, circumstances], ids=lambda m: m.__name__
)
def test_docstring_examples_pass(module: Any) -> None:
    """Rule: the code gives the values in the docstrings."""
    assert doctest.testmod(module).failed == 0


def whole(world: World) -> Sums:
    return world.partition.experience.whole(world.store.records.items())


def fed(events: list[Any], size: int = 1_000, *, restarts: bool = False) -> World:
    world = World(DEFINITION)
    for start in range(0, len(events), size):
        world.feed(*events[start : start + size])
        if restarts:
            world.restart()
    return world


def plain(sums: Sums, kind: str) -> dict[tuple[str, int, str], dict[str, tuple[int, int]]]:
    return {
        (block.kind, block.month, block.plan): series for block, series in sums.items() if block.kind == kind and series
    }


@pytest.fixture(scope="module")
def log() -> list[Any]:
    return simulated(customers=45, days=60, mix={"support": 1.0, "happy": 1.0, "fading": 1.0})


@pytest.fixture(scope="module")
def in_order(log: list[Any]) -> World:
    """The world after the whole log, in large batches."""
    return fed(log)


@pytest.mark.law
@pytest.mark.parametrize("lateness_ms", [0, 30 * HOUR_MS])
def test_sums_equal_a_batch_computation(log: list[Any], in_order: World, lateness_ms: int) -> None:
    """Rule: the sums are exact, in order and reordered; a snapshot sees what had arrived by then."""
    events = shaken(log, lateness_ms) if lateness_ms else log
    world = fed(events) if lateness_ms else in_order
    sums = whole(world)
    found = batch.frame(events)
    labels = batch.labels(found, world.examples, REACHED)
    expected = batch.sums_of_labels(labels, [goal for goal, _ in REACHED])
    assert plain(sums, LABELS) == expected
    assert sum(series[name][0] for series in expected.values() for name in series if name.endswith("/all")) > 300
    bins: Counter[tuple[str, str]] = Counter()
    minutes: Counter[tuple[str, str]] = Counter()
    for (plan, goal), times in batch.times_to_value(found, REACHED).items():
        for took in times:
            bins[plan, f"{goal}/{bin_of(took)}"] += 1
            minutes[plan, f"{goal}/{bin_of(took)}"] += took // 60_000
    actual = {
        (block.plan, name): pair
        for block, series in sums.items()
        if block.kind == GOALS
        for name, pair in series.items()
        if pair != (0, 0)
    }
    assert actual == {key: (n, minutes[key]) for key, n in bins.items()}
    assert len(bins) > 20


def test_median_is_close_to_the_exact_median(log: list[Any], in_order: World) -> None:
    """Rule: the estimated median is within one bin (a quarter of a doubling) of the exact median."""
    report = build(whole(in_order))
    assert report is not None
    found = batch.frame(log)
    for row in report.whole.goals:
        times = sorted(
            t for (_, goal), own in batch.times_to_value(found, REACHED).items() if goal == row.goal for t in own
        )
        middle = times[(len(times) - 1) // 2]
        assert row.customers == len(times)
        assert row.mean_days == pytest.approx(sum(times) / len(times) / DAY_MS, abs=1 / 1440)
        assert row.median_days is not None
        assert abs(bin_of(round(row.median_days * DAY_MS)) - bin_of(middle)) <= 1


def test_times_to_value_do_not_depend_on_the_order(log: list[Any], in_order: World) -> None:
    """Rule: late events correct times to value; only labels depend on what had arrived by the snapshot."""
    sums = [plain(whole(world), GOALS) for world in (in_order, fed(shaken(log, 9 * DAY_MS)))]
    filled = [{k: {n: p for n, p in v.items() if p != (0, 0)} for k, v in each.items()} for each in sums]
    assert filled[0] == filled[1]


@pytest.mark.law
def test_batches_and_restarts_change_nothing(log: list[Any]) -> None:
    """Rule: the records in the store are equal byte for byte, and a block is written at most once a day."""
    versions: list[dict[bytes, list[bytes]]] = []
    records = []
    for size, restarts in ((997, False), (97, True)):
        world, seen = World(DEFINITION), dict[bytes, list[bytes]]()
        for start in range(0, len(log), size):
            effects = world.feed(*log[start : start + size])
            for key, value in effects.changes.items():
                if is_block(key):
                    seen.setdefault(key, []).append(value or b"")
            if restarts:
                world.restart()
        versions.append(seen)
        records.append({key: value for key, value in world.store.records.items() if key[:1] == b"e"})
    assert records[0] == records[1]
    for key, written in versions[1].items():
        assert len(written) <= 70, "at most once a day"
        assert versions[0][key][-1] == written[-1]


@pytest.mark.law
def test_published_blocks_of_partitions_add_up(log: list[Any]) -> None:
    """Rule: the published blocks of all partitions add up to the sums, except for the current day."""
    parts = [fed([e for e in log if int(e.customer[1:]) % 2 == n]) for n in (0, 1)]
    sums: Sums = {}
    for number, world in enumerate(parts):
        blocks = {key: value for key, value in world.store.records.items() if is_block(key)}
        for key, record in blocks.items():
            block, amounts = read_metric(metric_value(number, key, record))
            assert metric_key(number, key).startswith(f"experience/{number}/{block.kind}/".encode())
            add(sums, block, amounts)
    together: Sums = {}
    for world in parts:
        for block, amounts in whole(world).items():
            add(together, block, amounts)
    published, known = build(sums), build(together)
    assert published is not None
    assert known is not None
    assert 0 < published.whole.all.labels <= known.whole.all.labels
    assert as_data(known)["by"] == {}


# Days, months and bounds ----------------------------------------------------------------------------------------------


def store_of(
    aggregates: ExperienceAggregates, records: dict[bytes, bytes], additions: list[SumIncrement], clock_ms: int
) -> set[bytes]:
    changes = aggregates.apply_batch(additions, clock_ms)
    for key, value in changes.items():
        assert value is not None
        records[key] = value
    return {key for key in changes if is_block(key)}


def aggregates_on(records: dict[bytes, bytes]) -> ExperienceAggregates:
    return ExperienceAggregates(lambda keys: [records.get(key) for key in keys])


def test_day_is_published_after_its_end() -> None:
    """Rule: a day is published once, after an addition of a later day or after the clock has passed it."""
    records: dict[bytes, bytes] = {}
    aggregates = aggregates_on(records)
    block = label_block("pro", START_MS)
    increment = SumIncrement(START_MS, block, "0/all", (1, 1))
    assert store_of(aggregates, records, [increment, increment], START_MS + HOUR_MS) == set()
    assert store_of(aggregates, records, [], START_MS + 23 * HOUR_MS) == set()
    assert store_of(aggregates, records, [], START_MS + DAY_MS) == {block.key}
    assert read_metric(metric_value(1, block.key, records[block.key])) == (block, {"0/all": (2, 2)})
    assert store_of(aggregates, records, [], START_MS + 9 * DAY_MS) == set(), "once"
    late = increment._replace(clock_ms=START_MS + 9 * DAY_MS)
    assert store_of(aggregates_on(records), records, [late], START_MS + 9 * DAY_MS) == set()
    assert aggregates_on(records).whole(records.items()) == {block: {"0/all": (3, 3)}}


def test_ring_of_months_drops_the_oldest() -> None:
    """Rule: 24 months are kept; a label of a dropped month changes nothing."""
    records: dict[bytes, bytes] = {}
    aggregates = aggregates_on(records)
    clock = START_MS
    for month in (600, 601, 600 + MONTHS_KEPT, 600):
        clock += DAY_MS
        store_of(aggregates, records, [SumIncrement(clock, ExperienceBlock(LABELS, month, ""), "0/all", (1, 0))], clock)
    store_of(aggregates, records, [], clock + DAY_MS)
    found = aggregates_on(records).whole(records.items())
    assert {block.month for block in found} == {601, 600 + MONTHS_KEPT}


def test_plans_are_bounded() -> None:
    """Rule: the first plans of the log are counted separately, all others together."""
    records: dict[bytes, bytes] = {}
    aggregates = aggregates_on(records)
    additions = [
        SumIncrement(START_MS, ExperienceBlock(LABELS, 600, f"p{n}"), "0/all", (1, 0)) for n in range(NAMES_MAX + 3)
    ]
    store_of(aggregates, records, additions, START_MS)
    found = aggregates.whole(records.items())
    assert len(found) == NAMES_MAX + 1
    assert found[ExperienceBlock(LABELS, 600, OTHER)] == {"0/all": (3, 0)}


def test_label_counts_once_per_kind_of_series() -> None:
    """Rule: a label counts for one CSAT band, one NPS group and each named barrier, or for none of them."""
    context = ExperienceContext("pro", 40, csat=400, nps=1000, ces=570, barriers=0b101, goals=[("g@1", 1)])
    assert dict(label_additions(context, 1)) == {
        "1/all": (1, 1), "1/csat/2": (1, 1), "1/nps/promoter": (1, 1), "1/barrier/customer_service": (1, 1),
        "1/barrier/missing_features": (1, 1), "1/goal/g@1/1": (1, 1), "1/csat_sum": (1, 400), "1/ces_sum": (1, 570),
    }  # fmt: skip
    assert dict(label_additions(ExperienceContext("", 0), 0)) == {
        "0/all": (1, 0), "0/csat/none": (1, 0), "0/nps/none": (1, 0), "0/barrier/none": (1, 0),
    }  # fmt: skip


def test_changed_contribution_moves_the_customer() -> None:
    """Rule: an earlier first time or another plan moves the customer; nothing is counted twice."""
    before, after = (("", "g@1", 8, 900),), (("pro", "g@1", 4, 70),)
    assert [(a.block.plan, a.series, a.amount) for a in goal_additions(5, before, after)] == [
        ("", "g@1/8", (-1, -900)),
        ("pro", "g@1/4", (1, 70)),
    ]
    assert goal_additions(5, before, before) == []


def test_snapshot_without_context_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a snapshot of an earlier release has no context, so it is in no sum; its label is still learned."""
    monkeypatch.setattr("models.labels.training_example.experience_context", lambda point, goals: None)
    world = fed(simulated(customers=10, days=40))
    assert len(world.examples) > 20
    assert plain(whole(world), LABELS) == {}


def test_goal_facts_are_as_of_the_score() -> None:
    """Rule: a score shows the goals as of its time, even if a later event is in the same batch."""
    world, minute = World(DEFINITION), HOUR_MS // 60
    names = ["Ticket Created", "Feature Used"] * 2 + ["Ticket Created"]
    found = world.feed(*[event(name, START_MS + n * minute, feature="export") for n, name in enumerate(names)])
    views = [p.profile_view for p in found.points if p.trigger == "decisive"]
    facts = [Goals(DEFINITION.goals).facts(profile_view.journey, profile_view.first_ms) for profile_view in views]
    assert [row[0].times for row in facts] == [0, 1, 2]
