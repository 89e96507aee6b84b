"""The experience report for people: satisfaction by month, churn by answer, barrier and goal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from models.experience.aggregates import NONE
from models.experience.report import Churn, ExperienceReport, GoalRow, Satisfaction, name_of
from models.retention.report import month_name
from streams.cli.ask import plain
from streams.rendering.retention import UNKNOWN

if TYPE_CHECKING:
    from rich.console import Console

MONTHS_SHOWN: Final = 6
_SATISFACTION: Final = ("CSAT", "top-2", "answers", "NPS", "promoters", "detractors", "answers", "CES", "answers")


def print_report(page: Console, report: ExperienceReport) -> None:
    """Everybody's figures."""
    whole = report.whole
    page.print(
        f"Experience and churn: {whole.all.labels:,} labels that matured, {_percent(whole.all.churn)} of them churn."
        " A label is a customer at a snapshot; answers are the newest at it."
    )
    rows = [(month_name(month), _row(churn, said)) for month, churn, said in report.months[-MONTHS_SHOWN:]]
    rows.append(("all", _row(whole.all, whole.satisfaction)))
    _table(page, "\nSatisfaction, by month of the snapshot", ("labels", "churn", *_SATISFACTION), rows)
    _churn(page, "\nChurn by the newest CSAT answer, in fifths of its scale", whole.csat, whole.all)
    _churn(page, "\nChurn by the newest NPS answer", whole.nps, whole.all)
    _churn(
        page, "\nChurn by barrier named in the 90 days before (a customer may name several)", whole.barriers, whole.all
    )
    if whole.goals:
        _goals(page, "\nGoals", [(_goal_name(row, whole.goals), row) for row in whole.goals])


def print_groups(page: Console, report: ExperienceReport, by: str) -> None:
    """A row for each plan or stage of tenure."""
    named = [(plain(name) or UNKNOWN, figures) for name, figures in report.by.items()]
    named.append(("all", report.whole))
    page.print(f"Experience and churn by {by}; {UNKNOWN} is whoever never said." if by == "plan" else f"By {by}.")
    rows = [(name, _row(figures.all, figures.satisfaction)) for name, figures in named]
    _table(page, "\nSatisfaction", ("labels", "churn", *_SATISFACTION), rows)
    for title, kind in (("CSAT answer, in fifths", "csat"), ("NPS answer", "nps"), ("barrier", "barriers")):
        _crossed(page, f"\nChurn by {title} (and labels)", [(name, getattr(figures, kind)) for name, figures in named])
    goals = [
        (f"{name}: {_goal_name(row, figures.goals)}", row) for name, figures in named for row in figures.goals
    ]  # fmt: skip
    if goals:
        _goals(page, "\nGoals", goals)


def _row(churn: Churn, said: Satisfaction) -> list[str]:
    return [
        f"{churn.labels:,}",
        _percent(churn.churn),
        _percent(said.csat),
        _percent(said.top2),
        f"{said.csat_answers:,}",
        "–" if said.nps is None else f"{said.nps:+.0f}",
        _percent(said.promoters),
        _percent(said.detractors),
        f"{said.nps_answers:,}",
        _percent(said.ces),
        f"{said.ces_answers:,}",
    ]


def _churn(page: Console, title: str, rows: Mapping[str, Churn], whole: Churn) -> None:
    _table(
        page,
        title,
        ("labels", "share", "churned", "churn"),
        [
            (
                _words(name),
                [
                    f"{row.labels:,}",
                    _percent(row.labels / whole.labels if whole.labels else None),
                    f"{row.churned:,}",
                    _percent(row.churn),
                ],
            )
            for name, row in rows.items()
        ],
    )


def _crossed(page: Console, title: str, groups: list[tuple[str, dict[str, Churn]]]) -> None:
    names = list(dict.fromkeys(name for _, rows in reversed(groups) for name in rows))
    cells = [
        (group, [_cell(rows.get(name, Churn(0, 0))) for name in names]) for group, rows in groups
    ]  # fmt: skip
    _table(page, title, [_words(name) for name in names], cells)


def _cell(row: Churn) -> str:
    return f"{_percent(row.churn)} ({row.labels:,})" if row.labels else "–"


def _goals(page: Console, title: str, rows: list[tuple[str, GoalRow]]) -> None:
    columns = ("labels", "reached", "in time", "churn if reached", "if not", "customers", "median days")
    _table(
        page,
        title,
        columns,
        [
            (
                name,
                [
                    f"{row.labels:,}",
                    _percent(row.rate),
                    _percent(row.in_time),
                    _percent(row.reached.churn),
                    _percent(row.not_reached.churn),
                    f"{row.customers:,}",
                    "–" if row.median_days is None else f"{row.median_days:.1f}",
                ],
            )
            for name, row in rows
        ],
    )


def _goal_name(row: GoalRow, rows: Iterable[GoalRow]) -> str:
    """With what it means where two goals have had the same name."""
    name = name_of(row.goal)
    return name if sum(name_of(other.goal) == name for other in rows) == 1 else row.goal


def _words(name: str) -> str:
    return "no answer or tag" if name == NONE else name.replace("_", " ")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _table(page: Console, title: str, columns: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> None:
    from rich.table import Table

    table = Table("", *columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, cells in rows:
        table.add_row(plain(name), *cells)
    page.print(title)
    page.print(table)


__all__ = ["print_groups", "print_report"]
