"""Laws of the sums of satisfaction, barriers and goals: any batches, any order, any partitions."""

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
series = st.sampled_from(["0/all", "1/csat/3", "report@00000001/7"])


@st.composite
def logs(draw: st.DrawFn) -> list[SumIncrement]:
    """Additions in the order of the log: the partition's clock never goes back."""
    clock, found = START_MS, []
    for _ in range(draw(st.integers(0, 25))):
        clock += draw(st.sampled_from([0, HOUR_MS, 7 * HOUR_MS, DAY_MS, 40 * DAY_MS]))
        found.append(SumIncrement(clock, draw(blocks), draw(series), draw(amounts)))
    return found


def run(
    log: list[SumIncrement], cuts: set[int], end_ms: int
) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]], Sums]:
    """In batches, each by a book made anew: the records, every version of each block, and the whole."""
    records: dict[bytes, bytes] = {}
    versions: dict[bytes, list[bytes]] = {}
    edges = [0, *sorted(cut for cut in cuts if 0 < cut < len(log)), len(log)]
    for start, stop in pairwise(edges):
        book = ExperienceAggregates(lambda keys: [records.get(key) for key in keys])
        clock = end_ms if stop == len(log) else log[stop - 1].clock_ms
        for key, value in book.apply_batch(log[start:stop], clock).items():
            assert value is not None
            records[key] = value
            if is_block(key):
                versions.setdefault(key, []).append(value)
    book = ExperienceAggregates(lambda keys: [records.get(key) for key in keys])
    return records, versions, book.whole(records.items())


def plain(sums: Sums) -> dict[tuple[ExperienceBlock, str], tuple[int, int]]:
    return {(block, name): pair for block, found in sums.items() for name, pair in found.items() if pair != (0, 0)}


@settings(max_examples=200, deadline=None)
@given(logs(), st.sets(st.integers(0, 25)), st.integers(0, 3))
def test_batches_change_nothing_and_a_block_is_told_at_most_once_a_day(
    log: list[SumIncrement], cuts: set[int], days: int
) -> None:
    end_ms = (log[-1].clock_ms if log else START_MS) + days * DAY_MS
    records, versions, whole = run(log, cuts, end_ms)
    assert (records, whole) == (run(log, set(), end_ms)[0], run(log, set(), end_ms)[2])
    expected: Counter[tuple[ExperienceBlock, str, int]] = Counter()
    for one in log:
        expected[one.block, one.series, 0] += one.amount[0]
        expected[one.block, one.series, 1] += one.amount[1]
    told = plain(whole)
    assert {(b, s, i): n for (b, s), pair in told.items() for i, n in enumerate(pair) if n} == {
        key: n for key, n in expected.items() if n
    }
    for found in versions.values():
        assert len(found) <= len({one.clock_ms // DAY_MS for one in log})
    published: Sums = {}
    for key, record in records.items():
        if is_block(key):
            add(published, *read_metric(metric_value(1, key, record)))
    over = [one for one in log if one.clock_ms // DAY_MS < end_ms // DAY_MS]
    left: Sums = {}
    for one in over:
        add(left, one.block, {one.series: one.amount})
    assert plain(published) == plain(left), "all days that are over, and nothing else"


names = st.sampled_from(["Goal Completed", "Level Finished", "Signed Up", "identify", "page"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(names, st.integers(0, 30 * 24), st.sampled_from([1, 3, 5])), max_size=14),
    st.integers(0, 1_000),
    st.sampled_from([HOUR_MS, DAY_MS, 40 * DAY_MS]),
)
def test_times_to_value_are_those_of_the_profile_whatever_the_order(
    told: list[tuple[str, int, int]], seed: int, lateness_ms: int
) -> None:
    """Rule: what was added on the way is what the customer contributes at the end, in any order the same."""
    events = [
        event(name, START_MS + hour * HOUR_MS, score=score, plan=("pro", "basic", "pro")[score // 2])
        for name, hour, score in told
    ]
    ends = []
    for order in (sorted(events, key=lambda e: e.time_ms), shaken(events, lateness_ms, seed)):
        profile, sums = Profile(), Sums()
        for one in order:
            before = DECLARED.contributions(profile)
            assert apply(profile, one)
            DECLARED.record(profile, one)
            for addition in goal_additions(0, before, DECLARED.contributions(profile)):
                add(sums, addition.block, {addition.series: addition.amount})
        final: Sums = {}
        for addition in goal_additions(0, (), DECLARED.contributions(profile)):
            add(final, addition.block, {addition.series: addition.amount})
        assert plain(sums) == plain(final)
        ends.append(plain(final))
    assert ends[0] == ends[1]
