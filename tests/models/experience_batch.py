"""Reference implementation of the experience sums: a batch computation over all events with polars.

Tests compare the sums of the fold with it. A snapshot sees the events that arrived before the clock passed it: those
before the first index at which the newest event time is the snapshot's or later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import polars as pl

from models.definition.goals import Goal
from models.events.event import Event
from models.profile.apply_feedback import BARRIERS
from models.profile.mergeable import DAY_MS

ANSWER = "Survey Response Submitted"
SCALES = {"csat": 5, "nps": 10, "ces": 7}
TAGGED = ("Ticket Created", "Ticket Reopened", ANSWER)
PLANNED = ("identify", "group", "Signed Up")
ENDS = (30, 90, 180, 365)


def frame(events: Sequence[Event]) -> pl.DataFrame:
    """Return one row per event, in order of arrival, with the clock after it."""
    rows = []
    for index, e in enumerate(events):
        p = e.properties
        kind = p.get("kind") if e.name == ANSWER else None
        scale = p.get("scale_max") or SCALES.get(str(kind), 1)
        named = list(p.get("tags") or []) if e.name in TAGGED else []
        if e.name in ("Subscription Cancelled", "Subscription Cancel Scheduled") and p.get("feedback"):
            named.append(p["feedback"])
        rows.append(
            {
                "index": index, "customer": e.customer, "name": e.name, "at": e.time_ms, "id": e.id_hash, "kind": kind,
                "score": round(1000 * (p["score"] / scale)) if kind in SCALES else None,
                "plan": p.get("plan") if e.name in PLANNED or e.name.startswith("Subscription ") else None,
                "tags": [BARRIERS.index(tag) for tag in named if tag in BARRIERS], "feature": p.get("feature"),
            }
        )  # fmt: skip
    schema: dict[str, Any] = {
        "id": pl.UInt64,
        "tags": pl.List(pl.Int64),
        "score": pl.Int64,
        "kind": pl.String,
        "plan": pl.String,
    }
    schema["feature"] = pl.String
    return pl.DataFrame(rows, schema_overrides=schema).with_columns(clock=pl.col("at").cum_max())


def labels(found: pl.DataFrame, examples: Sequence[Any], goals: Sequence[tuple[Goal, pl.Expr]]) -> pl.DataFrame:
    """Return one row per matured label, with the context of the customer."""
    snapshots = pl.DataFrame(
        [{"customer": e.customer, "snapshot": e.snapshot_ms, "label": e.label} for e in examples]
    ).with_row_index("row")
    until = found["clock"].search_sorted(snapshots["snapshot"], side="left")
    snapshots = snapshots.with_columns(until=until)
    seen = snapshots.join(found, on="customer").filter(pl.col("index") < pl.col("until"))
    newest = seen.sort("at", "id")
    contexts = snapshots.join(
        seen.group_by("row").agg(first=pl.col("at").min()), on="row", how="left"
    ).with_columns(tenure=(pl.col("snapshot") - pl.col("first")) // DAY_MS)  # fmt: skip
    for kind in SCALES:
        last = newest.filter(pl.col("kind") == kind).group_by("row").agg(pl.col("score").last().alias(kind))
        contexts = contexts.join(last, on="row", how="left")
    plans = (
        seen.filter(pl.col("plan").is_not_null()).sort("at", "id", "plan").group_by("row").agg(pl.col("plan").last())
    )
    contexts = contexts.join(plans, on="row", how="left")
    tags = (
        seen.explode("tags", empty_as_null=True).filter(pl.col("tags").is_not_null()).sort("at", "id", "tags")
        .group_by("row", maintain_order=True).tail(16)
        .filter(pl.col("at") > pl.col("snapshot") - 90 * DAY_MS)
        .group_by("row").agg(pl.col("tags").unique())
    )  # fmt: skip
    contexts = contexts.join(tags, on="row", how="left")
    for goal, reached in goals:
        contexts = contexts.join(_goal_status(seen, goal, reached), on="row", how="left")
    return contexts


def _goal_status(seen: pl.DataFrame, goal: Goal, reached: pl.Expr) -> pl.DataFrame:
    hit = seen.filter(reached).group_by("row").agg(hit=pl.col("at").min())
    began = seen.group_by("row").agg(
        signed=pl.col("at").filter(pl.col("name") == "Signed Up").min(), first=pl.col("at").min()
    )
    both = hit.join(began, on="row").with_columns(took=_took())
    state = pl.when(pl.col("took") <= goal.within_ms).then(2).otherwise(1) if goal.within_ms else pl.lit(2)
    return both.select("row", state.alias(goal.label))


def _took() -> pl.Expr:
    return (pl.col("hit") - pl.min_horizontal(pl.col("signed").fill_null(pl.col("first")), "hit")).alias("took")


def sums_of_labels(
    contexts: pl.DataFrame, goals: Sequence[Goal]
) -> dict[tuple[str, int, str], dict[str, tuple[int, int]]]:
    """Return (kind, month, plan) -> series -> (labels, churned labels)."""
    month = pl.from_epoch("snapshot", time_unit="ms")
    contexts = contexts.with_columns(
        month=(month.dt.year().cast(pl.Int64) - 1970) * 12 + month.dt.month().cast(pl.Int64) - 1,
        plan=pl.col("plan").fill_null(""),
        stage=sum((pl.col("tenure") >= end).cast(pl.Int64) for end in ENDS),
    )
    nps = pl.col("nps")
    known = pl.when(nps >= 900).then(pl.lit("promoter")).when(nps >= 700).then(pl.lit("passive"))
    group = known.when(nps >= 0).then(pl.lit("detractor")).otherwise(pl.lit("none"))
    fifth = ((pl.col("csat") + 199) // 200).clip(1, 5).cast(pl.String).fill_null("none")
    named = pl.col("tags").list.eval(pl.element().replace_strict(dict(enumerate(BARRIERS)), return_dtype=pl.String))
    kinds: list[tuple[pl.DataFrame, pl.Expr, pl.Expr]] = [
        (contexts, pl.lit("all"), pl.col("label")),
        (contexts, pl.lit("csat/") + fifth, pl.col("label")),
        (contexts, pl.lit("nps/") + group, pl.col("label")),
        (contexts.filter(pl.col("csat").is_not_null()), pl.lit("csat_sum"), pl.col("csat")),
        (contexts.filter(pl.col("ces").is_not_null()), pl.lit("ces_sum"), pl.col("ces")),
        (contexts.filter(pl.col("tags").is_null()), pl.lit("barrier/none"), pl.col("label")),
        (
            contexts.with_columns(named=named)
            .explode("named", empty_as_null=True)
            .filter(pl.col("named").is_not_null()),
            pl.lit("barrier/") + pl.col("named"),
            pl.col("label"),
        ),
    ]
    for goal in goals:
        state = pl.col(goal.label).fill_null(0).cast(pl.String)
        kinds.append((contexts, pl.lit(f"goal/{goal.label}/") + state, pl.col("label")))
    sums: dict[tuple[str, int, str], dict[str, tuple[int, int]]] = defaultdict(dict)
    for rows, series, amount in kinds:
        counted = rows.group_by("month", "plan", "stage", series.alias("series")).agg(n=pl.len(), amount=amount.sum())
        for at, plan, stage, name, n, total in counted.iter_rows():
            sums["labels", at, plan][f"{stage}/{name}"] = n, total
    return sums


def times_to_value(found: pl.DataFrame, goals: Sequence[tuple[Goal, pl.Expr]]) -> dict[tuple[str, str], list[int]]:
    """Return (latest plan, goal) -> times to value of its customers in ms, sorted."""
    plans = found.filter(pl.col("plan").is_not_null()).sort("at", "id", "plan").group_by("customer").agg(
        pl.col("plan").last()
    )  # fmt: skip
    began = found.group_by("customer").agg(
        signed=pl.col("at").filter(pl.col("name") == "Signed Up").min(), first=pl.col("at").min()
    )
    by_goal: dict[tuple[str, str], list[int]] = defaultdict(list)
    for goal, reached in goals:
        hit = found.filter(reached).group_by("customer").agg(hit=pl.col("at").min())
        rows = hit.join(began, on="customer").join(plans, on="customer", how="left").with_columns(_took())
        for plan, took in rows.select("plan", "took").iter_rows():
            by_goal[plan or "", goal.label].append(took)
    return {key: sorted(times) for key, times in by_goal.items()}
