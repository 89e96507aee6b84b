"""Retention figures the slow way: from all events at once, day by day and customer by customer, with polars.

Nothing here is taken from the accounting but what figures are called: it is what the sums are held against.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from models.events.coercion import minor_units
from models.events.event import Event
from models.events.taxonomy import MEANINGS, UNKNOWN

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
    """Customer, day, first day: a row for each day on which a customer did something by hand."""
    rows = {
        (e.customer, e.time_ms // DAY_MS) for e in events if MEANINGS.get(e.name, UNKNOWN).engaged and not e.automated
    }
    days = pl.DataFrame(sorted(rows), schema={"customer": pl.String, "day": pl.Int64}, orient="row")
    return days.with_columns(first=pl.col("day").min().over("customer"))


def use(days: pl.DataFrame, window: str) -> dict[int, tuple[int, ...]]:
    """Of each period: active, new, returning, resurrected, dormant, active in the period before."""
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
    here, was = pl.col("since").is_not_null(), pl.col("was").is_not_null()
    told = both.group_by("at").agg(
        active=here.sum(),
        new=new.sum(),
        returning=(here & was).sum(),
        resurrected=(here & ~was & ~new).sum(),
        dormant=(~here & was).sum(),
        before=was.sum(),
    )
    return {row[0]: row[1:] for row in told.iter_rows()}


def terms(events: Sequence[Event]) -> dict[str, list[tuple[int, bool, int, str, str]]]:
    """Of each customer (day, running, mrr, plan, cause of the newest end) after each change, in order of time."""
    by: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.name.startswith(SUBSCRIPTION):
            by[event.customer].append(event)
    found = {}
    for customer, mine in by.items():
        running = paused = heard = False
        price, plan, cause, course = 0, "", "unstated", []
        for event in sorted(mine, key=lambda e: (e.time_ms, e.id_hash)):
            name, properties = event.name.removeprefix(SUBSCRIPTION), event.properties
            said = minor_units(properties.get("mrr"), properties.get("currency"))
            price = said if said is not None and said >= 0 else price
            plan = properties.get("plan") or plan
            if name == "Cancelled":
                running = paused = False
                cause = CAUSE_OF.get(properties.get("reason", ""), "unstated")
            elif name == "Started" or not heard:
                running = True
            if name in ("Paused", "Resumed"):
                paused = running and name == "Paused"
            heard = True
            course.append((event.time_ms // DAY_MS, running, price if running and not paused else 0, plan, cause))
        found[customer] = course
    return found


class State:
    """The state at the end of a moment."""

    def __init__(self, course: Sequence[tuple[int, bool, int, str, str]], at: int, key: Any) -> None:
        until = [one for one in course if key(one[0]) <= at]
        _, self.running, self.mrr, self.plan, self.cause = until[-1] if until else (0, False, 0, "", "")
        self.ever = any(one[1] for one in until)


def revenue(events: Sequence[Event], window: str, moments: Sequence[int]) -> dict[int, dict[str, int]]:
    """Of each moment, what lies between it and the one before."""
    key, width = (month_of, 1) if window == "month" else (int, 1 if window == "day" else 30)
    told: dict[int, dict[str, int]] = {at: defaultdict(int) for at in moments}
    for course in terms(events).values():
        for at in moments:
            a, b, row = State(course, at - width, key), State(course, at, key), told[at]
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
    return told


def lifetimes(events: Sequence[Event], today: int) -> list[tuple[int, str]]:
    """Of each customer who ever subscribed: days of the first spell, and why it ended ("" for not)."""
    found = []
    for course in terms(events).values():
        starts = [one for one in course if one[1]]
        if starts:
            began = starts[0][0]
            after = course[course.index(starts[0]) :]
            ends = [one for one in after if not one[1]]
            found.append((ends[0][0] - began, ends[0][4]) if ends else (today - began, ""))
    return found


def ages(days: pl.DataFrame, today: int) -> list[tuple[int, int, int]]:
    """By age: customers who began so long ago, those active on that day of theirs, those active on it or later."""
    first = days.group_by("customer").agg(first=pl.col("day").min(), last=pl.col("day").max())
    age = (days["day"] - days["first"]).to_list()
    on: dict[int, int] = defaultdict(int)
    for one in age:
        on[one] += 1
    lasts, begun = (first["last"] - first["first"]).to_list(), (today - first["first"]).to_list()
    return [
        (sum(b >= n for b in begun), on[n], sum(last >= n for last in lasts)) for n in range(min(max(begun), 366) + 1)
    ]
