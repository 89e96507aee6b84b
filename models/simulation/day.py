"""One simulated day: who is there, the dice, and the drafts of what happens, before they are put in order."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.simulation.calendar import Calendar
from models.simulation.customer import BARRIERS, KINDS, Floats, column
from models.simulation.population import PLANS, People

Rows = npt.NDArray[np.int64]

_BARRIER_SHARES: Final = (0.6, 0.85)
"""Cumulative shares of a kind's first and second barrier."""

_SHOWN: Final = (
    *("activity", "depth", "breadth", "exports", "errors"),
    *("tickets", "reopens", "mood", "speaks", "opens", "refers"),
)
_RATES: Final = {name: column(name) for name in _SHOWN}


def body(kind: str, **fields: Any) -> str:
    """The inside of an event's JSON object, without braces, that follows the envelope's fields.

    >>> body("track", event="Goal Completed", properties={"goal": "report"})
    '"type":"track","event":"Goal Completed","properties":{"goal":"report"}'
    """
    return msgspec.json.encode({"type": kind, **fields}).decode()[1:-1]


def track(event: str, properties: dict[str, Any] | None = None, **fields: Any) -> str:
    """The body of a track event."""
    return body("track", event=event, properties=properties or {}, **fields)


class SimulatedDay:
    """One simulated day: who is there, the dice, and the drafts so far (row of the customer, time of day, body)."""

    def __init__(self, number: int, calendar: Calendar, people: People, rng: np.random.Generator) -> None:
        self.number, self.calendar, self.people, self.rng = number, calendar, people, rng
        self.today = np.arange(len(people))
        seasonal = (people["kind"] == KINDS.index("seasonal")).astype(int)
        self.quiet: Floats = calendar.activity(number)[people["segment"], seasonal]  # factor on what people do today
        self.rates = {name: rate[people["state"]] for name, rate in _RATES.items()}
        self.rows: list[Rows] = []
        self.times: list[npt.NDArray[np.int64]] = []
        self.bodies: list[str] = []

    def some(self, probability: Floats | float, among: npt.NDArray[np.bool_] | None = None) -> Rows:
        """Rows of those to whom something happens that has this probability (n,) today."""
        hit = self.rng.random(len(self.people)) < probability
        return np.flatnonzero(hit if among is None else hit & among)

    def add(self, rows: Rows, bodies: Sequence[str], times_ms: npt.ArrayLike | None = None) -> None:
        """Drafts one event for each row; without a time, at some time when people are awake."""
        self.rows.append(rows)
        at = self.awake(len(rows)) if times_ms is None else np.broadcast_to(np.asarray(times_ms, np.int64), len(rows))
        self.times.append(at)
        self.bodies.extend(bodies)

    def awake(self, n: int) -> npt.NDArray[np.int64]:
        """Times of day in ms between 07:00 and 22:00, most around 14:30."""
        hours = 7 + 7.5 * (self.rng.random(n) + self.rng.random(n))
        return (hours * 3_600_000).astype(np.int64)

    def ordered(self) -> tuple[list[int], list[int], list[str]]:
        """Times, rows and bodies of what happens while each customer is there, by time; ties as they were drafted."""
        rows, times = np.concatenate(self.rows), np.concatenate(self.times)
        there = (self.people["begin_ms"][rows] <= times) & (times < self.people["end_ms"][rows])
        order = np.flatnonzero(there)
        order = order[np.argsort(times[order], kind="stable")]
        return times[order].tolist(), rows[order].tolist(), [self.bodies[i] for i in order.tolist()]

    def date_time(self, days_from_now: int) -> str:
        """ISO time of the midnight so many days from today's."""
        return f"{self.calendar.date(self.number + days_from_now)}T00:00:00Z"

    def barrier(self, row: int) -> str:
        """One of the things that stand in this customer's way."""
        u = self.rng.random()
        return BARRIERS[KINDS[self.people["kind"][row]]][sum(u >= share for share in _BARRIER_SHARES)]

    def price(self, row: int) -> dict[str, Any]:
        """Plan and monthly price, as subscription events carry them."""
        plan, mrr = PLANS[self.people["plan"][row]]
        return {"plan": plan, "mrr": mrr, "currency": "USD"}
