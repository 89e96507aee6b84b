"""Laws of the aggregates of satisfaction, barriers and goals, for any batches, order and partitions."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from models.experience.aggregates import (
    GOALS,
    LABELS,
    ExperienceAggregates,
    ExperienceBlock,
    SumIncrement,
    Sums,
    add,
    goal_additions,
    is_block,
    metric_value,
    read_metric,
)
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile
from tests.models.histories import GOALS as DECLARED
from tests.models.histories import START_MS, event, shaken

HOUR_MS = 3_600_000
blocks = st.builds(
    ExperienceBlock, st.just(LABELS), st.integers(640, 655), st.sampled_from(["", "pro", "a b"])
) | st.builds(ExperienceBlock, st.just(GOALS), st.just(0), st.sampled_from(["", "pro"]))
amounts = st.tuples(st.integers(-2, 2), st.integers(-2, 2))
series = {
    LABELS: st.sampled_from(["0/all", "1/csat/3", "4/goal/report@00000001/done"]),
    GOALS: st.sampled_from(["report@00000001/7", "report@00000001/12"]),
}


@st.composite
def logs(draw: st.DrawFn) -> list[SumIncrement]:
    """Increments in log order: the partition's clock never goes back."""
    clock, found = START_MS, []
    for _ in range(draw(st.integers(0, 25))):
        clock += draw(st.sampled_from([0, HOUR_MS, 7 * HOUR_MS, DAY_MS, 40 * DAY_MS]))
        block = draw(blocks)
        found.append(SumIncrement(clock, block, draw(series[block.kind]), draw(amounts)))
    return found


def run(
    log: list[SumIncrement], cuts: set[int], end_ms: int
) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]], Sums]:
    """Apply batches, each with a new instance; the records, all versions of each block, and the total."""
    records: dict[bytes, bytes] = {}
    versions: dict[bytes, list[bytes]] = {}
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(log)), len(log)]
    for start, stop in pairwise(edges):
        aggregates = ExperienceAggregates(lambda keys: [records.get(key) for key in keys])
        clock = end_ms if stop == len(log) else log[stop - 1].clock_ms
        for key, value in aggregates.apply_batch(log[start:stop], clock).items():
            assert value is not None
            records[key] = value
            if is_block(key):
                versions.setdefault(key, []).append(value)
    aggregates = ExperienceAggregates(lambda keys: [records.get(key) for key in keys])
    return records, versions, aggregates.whole(records.items())


def plain(sums: Sums) -> dict[tuple[ExperienceBlock, str], tuple[int, int]]:
    return {(block, name): pair for block, found in sums.items() for name, pair in found.items() if pair != (0, 0)}


@settings(max_examples=200, deadline=None)
@given(logs(), st.sets(st.integers(0, 25)), st.integers(0, 3))
def test_batches_do_not_matter_and_a_block_is_published_once_a_day(
    log: list[SumIncrement], cuts: set[int], days: int
) -> None:
    end_ms = (log[-1].clock_ms if log else START_MS) + days * DAY_MS
    records, versions, whole = run(log, cuts, end_ms)
    assert (records, whole) == (run(log, set(), end_ms)[0], run(log, set(), end_ms)[2])
    expected: Counter[tuple[ExperienceBlock, str, int]] = Counter()
    for increment in log:
        expected[increment.block, increment.series, 0] += increment.amount[0]
        expected[increment.block, increment.series, 1] += increment.amount[1]
    totals = plain(whole)
    assert {(b, s, i): n for (b, s), pair in totals.items() for i, n in enumerate(pair) if n} == {
        key: n for key, n in expected.items() if n
    }
    for found in versions.values():
        assert len(found) <= len({increment.clock_ms // DAY_MS for increment in log})
    published: Sums = {}
    for key, record in records.items():
        if is_block(key):
            add(published, *read_metric(metric_value(1, key, record)))
    past_days: Sums = {}
    for increment in log:
        if increment.clock_ms // DAY_MS < end_ms // DAY_MS:
            add(past_days, increment.block, {increment.series: increment.amount})
    assert plain(published) == plain(past_days), "all past days must be published, and nothing else"


names = st.sampled_from(["Goal Completed", "Level Finished", "Signed Up", "identify", "page"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(names, st.integers(0, 30 * 24), st.sampled_from([1, 3, 5])), max_size=14),
    st.integers(0, 1_000),
    st.sampled_from([HOUR_MS, DAY_MS, 40 * DAY_MS]),
)
def test_times_to_value_do_not_depend_on_event_order(
    drawn: list[tuple[str, int, int]], seed: int, lateness_ms: int
) -> None:
    """Rule: the increments add up to the customer's final contribution, in any order."""
    events = [
        event(name, START_MS + hour * HOUR_MS, score=score, plan=("pro", "basic", "pro")[score // 2])
        for name, hour, score in drawn
    ]
    ends = []
    for order in (sorted(events, key=lambda e: e.time_ms), shaken(events, lateness_ms, seed)):
        profile, sums = Profile(), Sums()
        for each in order:
            before = DECLARED.contributions(profile)
            assert apply(profile, each)
            DECLARED.record(profile, each)
            for addition in goal_additions(0, before, DECLARED.contributions(profile)):
                add(sums, addition.block, {addition.series: addition.amount})
        final: Sums = {}
        for addition in goal_additions(0, (), DECLARED.contributions(profile)):
            add(final, addition.block, {addition.series: addition.amount})
        assert plain(sums) == plain(final)
        ends.append(plain(final))
    assert ends[0] == ends[1]
