"""Simulated feedback events: tickets, survey responses, reviews and social mentions."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.simulation.day import Rows, SimulatedDay, track

NO_TICKET, OPEN, SOLVED = range(3)
ASKED_EVERY_DAYS: Final = 30
ASKED: Final = {
    "nps": {"survey": "monthly"},
    "csat": {"survey": "solved", "touchpoint": "support"},
    "ces": {"survey": "solved", "touchpoint": "support"},
}
"""Survey and touchpoint of each kind of question."""


def support(day: SimulatedDay) -> None:
    """Draft tickets with barrier tags: opened, solved after some days, reopened the day after, rated when solved."""
    people = day.people
    reopened = day.some(day.rates["reopens"], people["ticket"] == SOLVED)
    solved = day.some(np.where(day.rates["mood"] < 0.6, 0.25, 0.55) * day.calendar_activity, people["ticket"] == OPEN)
    opened = day.some(day.rates["tickets"] * day.calendar_activity, people["ticket"] == NO_TICKET)
    people["ticket"][people["ticket"] == SOLVED] = NO_TICKET
    people["tickets"][opened] += 1
    people["ticket_day"][opened] = day.number
    for rows, event in ((opened, "Ticket Created"), (reopened, "Ticket Reopened")):
        people["ticket"][rows] = OPEN
        bodies = [track(event, {"ticket_id": _ticket(day, row), "tags": [day.barrier(row)]}) for row in rows.tolist()]
        day.add(rows, bodies)
    people["ticket"][solved] = SOLVED
    at = day.awake(len(solved))
    ages = (day.number - people["ticket_day"][solved]).tolist()
    bodies = [
        track("Ticket Solved", {"ticket_id": _ticket(day, row), "resolution_seconds": age * 86_400 + 14_400})
        for row, age in zip(solved.tolist(), ages, strict=True)
    ]
    day.add(solved, bodies, at)
    rated = day.rng.random(len(solved)) < 0.5
    surveys(day, solved[rated], "csat", 5, at[rated] + 1_200_000)
    rated_effort = day.rng.random(len(solved)) < 0.2
    surveys(day, solved[rated_effort], "ces", 7, at[rated_effort] + 1_300_000)


def _ticket(day: SimulatedDay, row: int) -> str:
    return f"c{day.people['number'][row]:06d}-{day.people['tickets'][row]}"


def surveys(day: SimulatedDay, rows: Rows, kind: str, scale_max: int, at_ms: npt.ArrayLike | None = None) -> None:
    """Draft survey responses, scattered around the state's mood. A low score has a barrier tag. CES 7: least effort."""
    lowest = 0 if kind == "nps" else 1
    responses = day.rates["mood"][rows] + 0.16 * day.rng.standard_normal(len(rows))
    scores = np.rint(lowest + np.clip(responses, 0, 1) * (scale_max - lowest)).astype(np.int64)
    bodies = []
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        properties: dict[str, Any] = {"kind": kind, "score": score, "scale_max": scale_max, **ASKED[kind]}
        if score <= scale_max * 0.6:
            properties["tags"] = [day.barrier(row)]
        bodies.append(track("Survey Response Submitted", properties))
    day.add(rows, bodies, at_ms)


def opinions(day: SimulatedDay) -> None:
    """Draft a monthly survey (sent to all, answered by some), reviews and social mentions."""
    asked = np.flatnonzero((day.people["number"] + day.number) % ASKED_EVERY_DAYS == 0)
    day.add(asked, [track("Survey Sent", {"kind": "nps", **ASKED["nps"]})] * len(asked), 28_800_000)
    response_rate = 0.2 + 0.35 * np.minimum(day.rates["activity"][asked], 1)
    surveys(day, asked[day.rng.random(len(asked)) < response_rate], "nps", 10)
    for event, probability in (("Review Posted", 0.5), ("Social Mention", 0.5)):
        rows = day.some(probability * day.rates["speaks"] * day.calendar_activity)
        sentiments = day.rates["mood"][rows] + 0.15 * day.rng.standard_normal(len(rows))
        ratings = np.rint(1 + 4 * np.clip(sentiments, 0, 1)).astype(int).tolist()
        if event == "Review Posted":
            day.add(rows, [track(event, {"rating": rating, "scale_max": 5}) for rating in ratings])
        else:
            day.add(rows, [track(event, {"sentiment": ("negative", "positive")[rating > 2]}) for rating in ratings])
