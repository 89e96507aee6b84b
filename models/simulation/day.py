"""One simulated day: the present customers, the random generator, and draft events before they are sorted."""

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
    """Return the members of an event's JSON object that follow the envelope's fields, without braces.

    >>> body("track", event="Goal Completed", properties={"goal": "report"})
    '"type":"track","event":"Goal Completed","properties":{"goal":"report"}'
    """
    return msgspec.json.encode({"type": kind, **fields}).decode()[1:-1]


def track(event: str, properties: dict[str, Any] | None = None, **fields: Any) -> str:
    """Return the body of a track event."""
    return body("track", event=event, properties=properties or {}, **fields)


class SimulatedDay:
    """One simulated day and its draft events: row of the customer, time of day and body."""

    def __init__(self, number: int, calendar: Calendar, people: People, rng: np.random.Generator) -> None:
        self.number, self.calendar, self.people, self.rng = number, calendar, people, rng
        self.today = np.arange(len(people))
        seasonal = (people["kind"] == KINDS.index("seasonal")).astype(int)
        self.calendar_activity: Floats = calendar.activity(number)[people["segment"], seasonal]  # factor on activity
        self.rates = {name: rate[people["state"]] for name, rate in _RATES.items()}
        self.rows: list[Rows] = []
        self.times: list[npt.NDArray[np.int64]] = []
        self.bodies: list[str] = []

    def some(self, probability: Floats | float, among: npt.NDArray[np.bool_] | None = None) -> Rows:
        """Draw the rows of customers that have an event today, given its probability (n,)."""
        hit = self.rng.random(len(self.people)) < probability
        return np.flatnonzero(hit if among is None else hit & among)

    def add(self, rows: Rows, bodies: Sequence[str], times_ms: npt.ArrayLike | None = None) -> None:
        """Draft one event per row; without times, at random times between 07:00 and 22:00."""
        self.rows.append(rows)
        at = self.awake(len(rows)) if times_ms is None else np.broadcast_to(np.asarray(times_ms, np.int64), len(rows))
        self.times.append(at)
        self.bodies.extend(bodies)

    def awake(self, n: int) -> npt.NDArray[np.int64]:
        """Draw n times of day in ms between 07:00 and 22:00, most around 14:30."""
        hours = 7 + 7.5 * (self.rng.random(n) + self.rng.random(n))
        return (hours * 3_600_000).astype(np.int64)

    def ordered(self) -> tuple[list[int], list[int], list[str]]:
        """Return times, rows and bodies of the drafts while each customer is present, sorted by time, then by draft."""
        rows, times = np.concatenate(self.rows), np.concatenate(self.times)
        present = (self.people["begin_ms"][rows] <= times) & (times < self.people["end_ms"][rows])
        order = np.flatnonzero(present)
        order = order[np.argsort(times[order], kind="stable")]
        return times[order].tolist(), rows[order].tolist(), [self.bodies[i] for i in order.tolist()]

    def date_time(self, days_from_now: int) -> str:
        """Return the ISO time of midnight a number of days after today."""
        return f"{self.calendar.date(self.number + days_from_now)}T00:00:00Z"

    def barrier(self, row: int) -> str:
        """Draw a barrier of this customer's kind."""
        u = self.rng.random()
        return BARRIERS[KINDS[self.people["kind"][row]]][sum(u >= share for share in _BARRIER_SHARES)]

    def price(self, row: int) -> dict[str, Any]:
        """Return plan and monthly price as properties of a subscription event."""
        plan, mrr = PLANS[self.people["plan"][row]]
        return {"plan": plan, "mrr": mrr, "currency": "USD"}
