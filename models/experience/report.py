"""The experience report: satisfaction, barriers and goals of all customers, and by plan or tenure stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from models.definition.goals import IN_TIME, LATE, NOT_YET, median_days_to_goal
from models.experience.aggregates import (
    BOXES,
    GOALS,
    LABELS,
    NONE,
    NPS_GROUPS,
    STAGE_NAMES,
    ExperienceBlock,
    Pair,
    Sums,
)
from models.profile.apply_feedback import BARRIERS, TOP_BOXES
from models.retention.report import month_name

BY: Final = ("plan", "stage")
MINUTES_PER_DAY: Final = 1_440
_PER_MILLE: Final = 1000.0


class Churn(msgspec.Struct, frozen=True):
    """Matured labels of a group of customers, and the churned ones among them.

    >>> Churn(8, 2).churn, Churn(0, 0).churn
    (0.25, None)
    """

    labels: int
    churned: int

    @property
    def churn(self) -> float | None:
        """Share of churned labels."""
        return self.churned / self.labels if self.labels else None


class Satisfaction(msgspec.Struct, frozen=True):
    """Satisfaction from the newest answers at the snapshots: shares of the scale, and shares of the answers."""

    csat_answers: int
    csat: float | None
    top2: float | None
    nps_answers: int
    nps: float | None
    promoters: float | None
    detractors: float | None
    ces_answers: int
    ces: float | None


class GoalRow(msgspec.Struct, frozen=True):
    """One goal: snapshots that had reached it, in time or late, their churn, and the times to value."""

    goal: str
    labels: int
    rate: float | None
    in_time: float | None
    reached: Churn
    not_reached: Churn
    customers: int
    """Customers who ever reached it; not known by stage."""
    median_days: float | None
    """Median time to value in days."""
    mean_days: float | None


class ExperienceFigures(msgspec.Struct, frozen=True):
    """Figures of a group of customers."""

    all: Churn
    satisfaction: Satisfaction
    csat: dict[str, Churn]
    nps: dict[str, Churn]
    barriers: dict[str, Churn]
    goals: list[GoalRow]


class ExperienceReport(msgspec.Struct, frozen=True):
    """The complete report. Months are the months of snapshots with matured labels."""

    months: list[tuple[int, Churn, Satisfaction]]
    whole: ExperienceFigures
    by: dict[str, ExperienceFigures]


def build(sums: Sums, by: str | None = None) -> ExperienceReport | None:
    """Build the report from the sums of all partitions; None without any count. `by` is one of `BY` or None."""
    if not any(sums.values()):
        return None
    months = sorted({block.month for block, series in sums.items() if block.kind == LABELS and series})
    groups: dict[str, ExperienceFigures] = {}
    if by == "plan":
        for plan in sorted({block.plan for block in sums}):
            groups[plan] = _figures(sums, lambda block, plan=plan: block.plan == plan)  # type: ignore[misc]
    elif by == "stage":
        for stage, name in enumerate(STAGE_NAMES):
            figures = _figures(sums, stage=stage)
            if figures.all.labels:
                groups[name] = figures
    by_month = []
    for month in months:
        series = _series(sums, lambda block, month=month: block.month == month, None)  # type: ignore[misc]
        by_month.append((month, _churn(series.get("all")), _satisfaction(series)))
    return ExperienceReport(by_month, _figures(sums), groups)


def times_to_value(sums: Sums) -> dict[str, tuple[int, float | None]]:
    """Return per goal label the customers who reached it, and their median time in days."""
    by_goal = sorted(_bins(sums, _any).items())
    return {goal: (sum(times.bins.values()), median_days_to_goal(times.bins)) for goal, times in by_goal}


def goal_name(label: str) -> str:
    """Return a goal's name without the hash of its definition.

    >>> goal_name("report@66bd21a3")
    'report'
    """
    return label.rpartition("@")[0]


def as_data(report: ExperienceReport) -> dict[str, Any]:
    """Convert the report to JSON values: all counts and the shares derived from them."""
    return {
        "months": [
            {"month": month_name(month), **_churn_data(churn), **msgspec.to_builtins(satisfaction)}
            for month, churn, satisfaction in report.months
        ],
        **_data(report.whole),
        "by": {name: _data(figures) for name, figures in report.by.items()},
    }


Keep = Callable[[ExperienceBlock], bool]


def _any(_: ExperienceBlock) -> bool:
    return True


def _figures(sums: Sums, keep: Keep = _any, stage: int | None = None) -> ExperienceFigures:
    series = _series(sums, keep, stage)
    boxes = {str(box): series.get(f"csat/{box}") for box in (*range(1, BOXES + 1), NONE)}
    groups = {group: series.get(f"nps/{group}") for group in (*NPS_GROUPS, NONE)}
    tags = {tag: series.get(f"barrier/{tag}") for tag in (*BARRIERS, NONE)}
    named = [(tag, _churn(tags[tag])) for tag in BARRIERS if tags[tag]]
    named.sort(key=lambda row: (-row[1].labels, row[0]))
    times = _bins(sums, keep) if stage is None else {}
    goals = sorted({name.split("/")[1] for name in series if name.startswith("goal/")} | times.keys())
    return ExperienceFigures(
        all=_churn(series.get("all")),
        satisfaction=_satisfaction(series),
        csat={box: _churn(pair) for box, pair in boxes.items()},
        nps={group: _churn(pair) for group, pair in groups.items()},
        barriers=dict([*named, (NONE, _churn(tags[NONE]))]),
        goals=[_goal(goal, series, times.get(goal) or _Times({}, 0)) for goal in goals],
    )


def _series(sums: Sums, keep: Keep, stage: int | None) -> dict[str, Pair]:
    """Add up the label series of selected blocks, over all stages or of one stage."""
    total: dict[str, Pair] = {}
    for block, series in sums.items():
        if block.kind != LABELS or not keep(block):
            continue
        for name, (count, amount) in series.items():
            series_stage, _, rest = name.partition("/")
            if stage is None or int(series_stage) == stage:
                known = total.get(rest, (0, 0))
                total[rest] = known[0] + count, known[1] + amount
    return total


class _Times(msgspec.Struct):
    """Times to value: customers by bin, and the sum of their minutes."""

    bins: dict[int, int]
    minutes: int


def _bins(sums: Sums, keep: Keep) -> dict[str, _Times]:
    """Add up the times to value of selected blocks, by goal."""
    by_goal: dict[str, _Times] = {}
    for block, series in sums.items():
        if block.kind != GOALS or not keep(block):
            continue
        for name, (count, minutes) in series.items():
            goal, _, index = name.rpartition("/")
            times = by_goal.setdefault(goal, _Times({}, 0))
            times.bins[int(index)] = times.bins.get(int(index), 0) + count
            times.minutes += minutes
    return by_goal


def _satisfaction(series: Mapping[str, Pair]) -> Satisfaction:
    answers, csat = series.get("csat_sum", (0, 0))
    top = sum(series.get(f"csat/{box}", (0, 0))[0] for box in range(BOXES - TOP_BOXES + 1, BOXES + 1))
    detractors, passives, promoters = (series.get(f"nps/{group}", (0, 0))[0] for group in NPS_GROUPS)
    nps_answers = detractors + passives + promoters
    ces_answers, ces = series.get("ces_sum", (0, 0))
    return Satisfaction(
        csat_answers=answers,
        csat=csat / answers / _PER_MILLE if answers else None,
        top2=top / answers if answers else None,
        nps_answers=nps_answers,
        nps=100 * (promoters - detractors) / nps_answers if nps_answers else None,
        promoters=promoters / nps_answers if nps_answers else None,
        detractors=detractors / nps_answers if nps_answers else None,
        ces_answers=ces_answers,
        ces=ces / ces_answers / _PER_MILLE if ces_answers else None,
    )


def _goal(goal: str, series: Mapping[str, Pair], times: _Times) -> GoalRow:
    not_yet, late, in_time = (series.get(f"goal/{goal}/{state}", (0, 0)) for state in (NOT_YET, LATE, IN_TIME))
    reached = late[0] + in_time[0]
    labels, customers = reached + not_yet[0], sum(times.bins.values())
    return GoalRow(
        goal=goal,
        labels=labels,
        rate=reached / labels if labels else None,
        in_time=in_time[0] / labels if labels else None,
        reached=Churn(reached, late[1] + in_time[1]),
        not_reached=Churn(*not_yet),
        customers=customers,
        median_days=median_days_to_goal(times.bins),
        mean_days=times.minutes / MINUTES_PER_DAY / customers if customers else None,
    )


def _churn(pair: Pair | None) -> Churn:
    return Churn(*pair) if pair is not None else Churn(0, 0)


def _churn_data(churn: Churn) -> dict[str, Any]:
    return {"labels": churn.labels, "churned": churn.churned, "churn": churn.churn}


def _data(figures: ExperienceFigures) -> dict[str, Any]:
    def rows(named: Mapping[str, Churn]) -> dict[str, Any]:
        return {name: _churn_data(churn) for name, churn in named.items()}

    return {
        "all": _churn_data(figures.all),
        "satisfaction": msgspec.to_builtins(figures.satisfaction),
        "csat": rows(figures.csat),
        "nps": rows(figures.nps),
        "barriers": rows(figures.barriers),
        "goals": _goals(figures.goals),
    }


def _goals(rows: Iterable[GoalRow]) -> list[dict[str, Any]]:
    return [
        {
            **msgspec.to_builtins(row),
            "goal": goal_name(row.goal),
            "definition": row.goal.rpartition("@")[2],
            "reached": _churn_data(row.reached),
            "not_reached": _churn_data(row.not_reached),
        }
        for row in rows
    ]
