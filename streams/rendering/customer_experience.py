"""Lines of the customer page about survey answers, barriers, the CX index and goals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from streams.rendering.formats import count_text, percent_text
from streams.rendering.terminal import printable

INDEX_PARTS: Final = ("satisfaction", "effort", "waiting", "reopened", "errors")


def experience_lines(experience: dict[str, Any] | None) -> Iterator[str]:
    """Yield lines for the `experience` of a score; none if it is missing (no feedback yet, or an earlier release)."""
    if experience is None:
        return
    if (cx := experience["cx"]) is not None:
        parts = ", ".join(
            f"{name} {'unknown' if cx[name] is None else format(cx[name], '.0f')}" for name in INDEX_PARTS
        )
        yield f"CX index {cx['index']:.0f} of 100 ({parts})"
    if (csat := experience["csat"]) is not None:
        top2 = "" if csat["top2"] is None else f", top-2 {_share(csat['top2'])}"
        yield (
            f"CSAT: last {_share(csat['last'])}, mean {_share(csat['mean'])} of {count_text(csat['answers'], 'answer')}"
            f" (shrunk {_share(csat['shrunk'])}){top2}{_trend(csat['trend'])}"
        )
    surveys = []
    if (nps := experience["nps"]) is not None:
        surveys.append(f"NPS: {10 * nps['last']:.0f} of 10, {nps['group']}")
    if (ces := experience["ces"]) is not None:
        surveys.append(f"ease (CES): last {_share(ces['last'])}, mean {_share(ces['mean'])}")
    if (rate := experience["answer_rate"]) is not None:
        surveys.append(f"answered {_share(rate)} of {experience['surveys_sent']} surveys")
    if surveys:
        yield "; ".join(surveys)
    for title, rows in (("touchpoint", experience["touchpoints"]), ("survey", experience["surveys"])):
        for row in rows:
            yield printable(
                f"{title} {row['name']} ({row['kind']}): last {_share(row['last'])},"
                f" mean {_share(row['mean'])} of {count_text(row['answers'], 'answer')}"
            )
    if barriers := experience["barriers"]:
        tags = ", ".join(
            f"{row['tag'].replace('_', ' ')} ({row['times']}, last on {row['last'][:10]})" for row in barriers
        )
        yield printable(f"barriers: {tags}")


Times = dict[str, tuple[int, float | None]]
"""By goal and definition hash: how many customers reached it, and their median number of days."""


def goal_lines(goals: list[dict[str, Any]], times: Times) -> Iterator[str]:
    """Yield a line for each of a score's `goals`, compared with the median time to value of all customers."""
    for goal in goals:
        customers, median_days = times.get(f"{goal['name']}@{goal['definition']}", (0, None))
        target = "" if goal["target_days"] is None else f", target {goal['target_days']:g} days"
        median = "" if median_days is None else f"; median of {customers:,} customers {median_days:.1f} days"
        if goal["reached"]:
            late = " (late)" if goal["in_time"] is False else ""
            yield (
                f"goal {goal['name']}: reached after {goal['days']:.1f} days{late}{target}{median};"
                f" reached {count_text(goal['times'], 'time')}, last on {goal['last'][:10]}"
            )
        else:
            yield f"goal {goal['name']}: not reached{target}{median}"


def _share(value: float) -> str:
    return percent_text(value, 0)


def _trend(value: float | None) -> str:
    return "" if value is None else f", {100 * value:+.0f} points compared with earlier answers"
