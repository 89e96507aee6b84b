"""Reference implementation of the retention figures: a batch computation over all events with polars.

It shares only the names of the figures with the accounting, and tests compare the sums with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from models.events.event import Event
from models.events.money import minor_units
from models.events.taxonomy import meaning

DAY_MS = 86_400_000
CAUSE_OF = {
    "cancellation_requested": "voluntary",
    "payment_failed": "involuntary",
    "payment_disputed": "involuntary",
}
SUBSCRIPTION = "Subscription "


def month_of(day: int) -> int:
    on = date(1970, 1, 1) + timedelta(days=day)
    return 12 * (on.year - 1970) + on.month - 1


def active_days(events: Sequence[Event]) -> pl.DataFrame:
    """Return customer, day and first day: a row for each active day of a customer."""
    rows = {(e.customer, e.time_ms // DAY_MS) for e in events if meaning(e.name).engaged and not e.automated}
    days = pl.DataFrame(sorted(rows), schema={"customer": pl.String, "day": pl.Int64}, orient="row")
    return days.with_columns(first=pl.col("day").min().over("customer"))


def use(days: pl.DataFrame, window: str) -> dict[int, tuple[int, ...]]:
    """Return per period: active, new, returning, resurrected, dormant, active in the period before."""
    if window == "month":
        months = {day: month_of(day) for day in sorted({*days["day"], *days["first"]})}
        periods = days.with_columns(
            at=pl.col("day").replace_strict(months), since=pl.col("first").replace_strict(months)
        )
        step = 1
    else:
        step = 1 if window == "day" else 30
        reach = pl.DataFrame({"more": list(range(step))})
        periods = days.join(reach, how="cross").with_columns(since="first", at=pl.col("day") + pl.col("more"))
    periods = periods.select("customer", "at", "since").unique()
    before = periods.select("customer", at=pl.col("at") + step, was=pl.lit(True))
    both = periods.join(before, ["customer", "at"], "full", coalesce=True)
    new = pl.col("since").is_not_null() & (pl.col("since") > pl.col("at") - step)
    active, was = pl.col("since").is_not_null(), pl.col("was").is_not_null()
    counts = both.group_by("at").agg(
        active=active.sum(),
        new=new.sum(),
        returning=(active & was).sum(),
        resurrected=(active & ~was & ~new).sum(),
        dormant=(~active & was).sum(),
        before=was.sum(),
    )
    return {row[0]: row[1:] for row in counts.iter_rows()}


def terms(events: Sequence[Event]) -> dict[str, list[tuple[int, bool, int, str, str]]]:
    """Return per customer (day, running, mrr, plan, cause of the newest end) after each change, in order of time."""
    by: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.name.startswith(SUBSCRIPTION):
            by[event.customer].append(event)
    timelines = {}
    for customer, changes in by.items():
        running = paused = started = False
        price, plan, cause, timeline = 0, "", "unstated", []
        for event in sorted(changes, key=lambda e: (e.time_ms, e.id_hash)):
            name, properties = event.name.removeprefix(SUBSCRIPTION), event.properties
            stated = minor_units(properties.get("mrr"), properties.get("currency"))
            price = stated if stated is not None and stated >= 0 else price
            plan = properties.get("plan") or plan
            if name == "Cancelled":
                running = paused = False
                cause = CAUSE_OF.get(properties.get("reason", ""), "unstated")
            elif name == "Started" or not started:
                running = True
            if name in ("Paused", "Resumed"):
                paused = running and name == "Paused"
            started = True
            timeline.append((event.time_ms // DAY_MS, running, price if running and not paused else 0, plan, cause))
        timelines[customer] = timeline
    return timelines


class State:
    """The state of a subscription at the end of a period."""

    def __init__(self, timeline: Sequence[tuple[int, bool, int, str, str]], at: int, key: Any) -> None:
        until = [row for row in timeline if key(row[0]) <= at]
        _, self.running, self.mrr, self.plan, self.cause = until[-1] if until else (0, False, 0, "", "")
        self.ever = any(row[1] for row in until)


def revenue(events: Sequence[Event], window: str, moments: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return the flows up to each time, since the time before it."""
    key, width = (month_of, 1) if window == "month" else (int, 1 if window == "day" else 30)
    flows: dict[int, dict[str, int]] = {at: defaultdict(int) for at in moments}
    for timeline in terms(events).values():
        for at in moments:
            a, b, row = State(timeline, at - width, key), State(timeline, at, key), flows[at]
            if a.running:
                row["start"] += 1
                row["start_mrr"] += a.mrr
                if not b.running:
                    row[f"lost_{b.cause}"] += 1
                    row[f"lost_{b.cause}_mrr"] += a.mrr
                else:
                    row["up"] += max(b.mrr - a.mrr, 0)
                    row["down"] += max(a.mrr - b.mrr, 0)
            elif b.running:
                kind = "back" if a.ever else "new"
                row[kind] += 1
                row[f"{kind}_mrr"] += b.mrr
    return flows


def lifetimes(events: Sequence[Event], today: int) -> list[tuple[int, str]]:
    """Return per customer who ever subscribed: days of the first spell, and the cause of its end ("" if it runs)."""
    spells = []
    for timeline in terms(events).values():
        starts = [row for row in timeline if row[1]]
        if starts:
            start = starts[0][0]
            after = timeline[timeline.index(starts[0]) :]
            ends = [row for row in after if not row[1]]
            spells.append((ends[0][0] - start, ends[0][4]) if ends else (today - start, ""))
    return spells


def ages(days: pl.DataFrame, today: int) -> list[tuple[int, int, int]]:
    """Return per age: customers who started so long ago, active on that day of theirs, active on it or later."""
    first = days.group_by("customer").agg(first=pl.col("day").min(), last=pl.col("day").max())
    on: dict[int, int] = defaultdict(int)
    for age in (days["day"] - days["first"]).to_list():
        on[age] += 1
    lasts, starts = (first["last"] - first["first"]).to_list(), (today - first["first"]).to_list()
    return [
        (sum(start >= n for start in starts), on[n], sum(last >= n for last in lasts))
        for n in range(min(max(starts), 366) + 1)
    ]
