"""Print the experience report: satisfaction by month, and churn by survey answer, barrier and goal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from models.experience.aggregates import NONE
from models.experience.report import Churn, ExperienceReport, GoalRow, Satisfaction, goal_name
from models.retention.report import month_name
from streams.rendering.formats import MISSING, percent_text
from streams.rendering.retention import UNKNOWN
from streams.rendering.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

MONTHS_SHOWN: Final = 6
_SATISFACTION: Final = ("CSAT", "top-2", "answers", "NPS", "promoters", "detractors", "answers", "CES", "answers")


def print_experience(page: Console, report: ExperienceReport) -> None:
    """Print the figures of all customers."""
    whole = report.whole
    page.print(
        f"Experience and churn: {whole.all.labels:,} matured labels, {percent_text(whole.all.churn)} churned."
        " A label is a customer at a snapshot, with the newest answers at that time."
    )
    rows = [(month_name(month), _row(churn, answers)) for month, churn, answers in report.months[-MONTHS_SHOWN:]]
    rows.append(("all", _row(whole.all, whole.satisfaction)))
    _print_table(page, "\nSatisfaction by snapshot month", ("labels", "churn", *_SATISFACTION), rows)
    _print_churn(page, "\nChurn by newest CSAT answer, in fifths of its scale", whole.csat, whole.all)
    _print_churn(page, "\nChurn by newest NPS answer", whole.nps, whole.all)
    title = "\nChurn by barrier named in the 90 days before the snapshot (several per customer possible)"
    _print_churn(page, title, whole.barriers, whole.all)
    if whole.goals:
        _print_goals(page, "\nGoals", [(_goal_name(row, whole.goals), row) for row in whole.goals])


def print_experience_groups(page: Console, report: ExperienceReport, by: str) -> None:
    """Print one row per plan or stage of tenure."""
    named = [(printable(name) or UNKNOWN, figures) for name, figures in report.by.items()]
    named.append(("all", report.whole))
    page.print(f"Experience and churn by {by}." + (f" {UNKNOWN}: no plan was ever sent." if by == "plan" else ""))
    rows = [(name, _row(figures.all, figures.satisfaction)) for name, figures in named]
    _print_table(page, "\nSatisfaction", ("labels", "churn", *_SATISFACTION), rows)
    for title, kind in (("CSAT answer, in fifths", "csat"), ("NPS answer", "nps"), ("barrier", "barriers")):
        groups = [(name, getattr(figures, kind)) for name, figures in named]
        _print_crossed(page, f"\nChurn by {title} (number of labels)", groups)
    goals = [
        (f"{name}: {_goal_name(row, figures.goals)}", row) for name, figures in named for row in figures.goals
    ]  # fmt: skip
    if goals:
        _print_goals(page, "\nGoals", goals)


def _row(churn: Churn, answers: Satisfaction) -> list[str]:
    return [
        f"{churn.labels:,}",
        percent_text(churn.churn),
        percent_text(answers.csat),
        percent_text(answers.top2),
        f"{answers.csat_answers:,}",
        MISSING if answers.nps is None else f"{answers.nps:+.0f}",
        percent_text(answers.promoters),
        percent_text(answers.detractors),
        f"{answers.nps_answers:,}",
        percent_text(answers.ces),
        f"{answers.ces_answers:,}",
    ]


def _print_churn(page: Console, title: str, rows: Mapping[str, Churn], whole: Churn) -> None:
    _print_table(
        page,
        title,
        ("labels", "share", "churned", "churn"),
        [
            (
                _words(name),
                [
                    f"{row.labels:,}",
                    percent_text(row.labels / whole.labels if whole.labels else None),
                    f"{row.churned:,}",
                    percent_text(row.churn),
                ],
            )
            for name, row in rows.items()
        ],
    )


def _print_crossed(page: Console, title: str, groups: list[tuple[str, dict[str, Churn]]]) -> None:
    names = list(dict.fromkeys(name for _, rows in reversed(groups) for name in rows))
    cells = [
        (group, [_cell(rows.get(name, Churn(0, 0))) for name in names]) for group, rows in groups
    ]  # fmt: skip
    _print_table(page, title, [_words(name) for name in names], cells)


def _cell(row: Churn) -> str:
    return f"{percent_text(row.churn)} ({row.labels:,})" if row.labels else MISSING


def _print_goals(page: Console, title: str, rows: list[tuple[str, GoalRow]]) -> None:
    columns = ("labels", "reached", "in time", "churn if reached", "if not", "customers", "median days")
    _print_table(
        page,
        title,
        columns,
        [
            (
                name,
                [
                    f"{row.labels:,}",
                    percent_text(row.rate),
                    percent_text(row.in_time),
                    percent_text(row.reached.churn),
                    percent_text(row.not_reached.churn),
                    f"{row.customers:,}",
                    MISSING if row.median_days is None else f"{row.median_days:.1f}",
                ],
            )
            for name, row in rows
        ],
    )


def _goal_name(row: GoalRow, rows: Iterable[GoalRow]) -> str:
    """The name of a goal, with its definition hash if two goals have had this name."""
    name = goal_name(row.goal)
    return name if sum(goal_name(other.goal) == name for other in rows) == 1 else row.goal


def _words(name: str) -> str:
    return "no answer or tag" if name == NONE else name.replace("_", " ")


def _print_table(page: Console, title: str, columns: Iterable[str], rows: Iterable[tuple[str, list[str]]]) -> None:
    from rich.table import Table

    table = Table("", *columns, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, cells in rows:
        table.add_row(printable(name), *cells)
    page.print(title)
    page.print(table)
