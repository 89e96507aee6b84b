"""What a customer said and met with, as lines of the page that `churn-signals customer` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from streams.cli.ask import plain

PARTS: Final = ("satisfaction", "effort", "waiting", "reopened", "errors")


def experience_lines(found: dict[str, Any] | None) -> Iterator[str]:
    """Of a score's `experience`; none where nothing was ever said, or an earlier release wrote the score."""
    if found is None:
        return
    if (cx := found["cx"]) is not None:
        parts = ", ".join(f"{name} {'unknown' if cx[name] is None else format(cx[name], '.0f')}" for name in PARTS)
        yield f"experience {cx['index']:.0f} of 100 ({parts})"
    if (csat := found["csat"]) is not None:
        top2 = "" if csat["top2"] is None else f", top-2 {_share(csat['top2'])}"
        yield (
            f"satisfaction {_share(csat['last'])} last, mean {_share(csat['mean'])} of {csat['answers']}"
            f" (shrunk {_share(csat['shrunk'])}){top2}{_trend(csat['trend'])}"
        )
    said = []
    if (nps := found["nps"]) is not None:
        said.append(f"would recommend {10 * nps['last']:.0f} of 10, a {nps['group']}")
    if (ces := found["ces"]) is not None:
        said.append(f"found it easy {_share(ces['last'])} last, mean {_share(ces['mean'])}")
    if (rate := found["answer_rate"]) is not None:
        said.append(f"answers {_share(rate)} of {found['surveys_sent']} surveys")
    if said:
        yield "; ".join(said)
    for title, rows in (("touchpoint", found["touchpoints"]), ("survey", found["surveys"])):
        for row in rows:
            yield plain(
                f"{title} {row['name']} ({row['kind']}): {_share(row['mean'])} of {row['answers']},"
                f" last {_share(row['last'])}"
            )
    if barriers := found["barriers"]:
        told = ", ".join(f"{row['tag']} ({row['times']}, last {row['last'][:10]})" for row in barriers)
        yield f"named as barriers: {told}"


Times = dict[str, tuple[int, float | None]]
"""By goal and the hash of its meaning: customers who reached it, and the median of their days."""


def goal_lines(goals: list[dict[str, Any]], times: Times) -> Iterator[str]:
    """Of a score's `goals`, each beside the population's time to value."""
    for goal in goals:
        customers, median = times.get(f"{goal['name']}@{goal['definition']}", (0, None))
        aim = "" if goal["target_days"] is None else f", aim {goal['target_days']:g} days"
        others = "" if median is None else f"; half of {customers:,} customers within {median:.1f} days"
        if goal["reached"]:
            late = " (late)" if goal["in_time"] is False else ""
            yield (
                f"goal {goal['name']}: reached after {goal['days']:.1f} days{late}{aim}{others};"
                f" {goal['times']:,} in all, last {goal['last'][:10]}"
            )
        else:
            yield f"goal {goal['name']}: not reached{aim}{others}"


def _share(value: float) -> str:
    return f"{value:.0%}"


def _trend(value: float | None) -> str:
    return "" if value is None else f", {100 * value:+.0f} points against those before"
