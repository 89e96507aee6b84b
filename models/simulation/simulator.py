"""The simulator: draws hidden states and events day by day, and computes the true churn probabilities."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.events.coercion import MAX_TIME_MS, MIN_TIME_MS
from models.simulation import billing, feedback, usage
from models.simulation.calendar import DAY_MS, Calendar
from models.simulation.customer import (
    BILLING_DAYS,
    HAZARD,
    KINDS,
    MIX,
    STATES,
    STEP,
    STEP_AT_RENEWAL,
    UNPAID,
    Floats,
    draw,
)
from models.simulation.day import SimulatedDay
from models.simulation.hazard import Trace, leave_probability, renews_on
from models.simulation.population import PERSON, People, newcomers

DEFAULT_START_MS: Final = 1_704_067_200_000
"""2024-01-01 00:00 UTC. The default is fixed, so that two runs of the same command give the same file."""

FAMILIES: Final[tuple[Callable[[SimulatedDay], None], ...]] = (
    usage.arrivals,
    usage.conversions,
    usage.onboarding,
    usage.sessions,
    usage.api_calls,
    usage.exports_and_errors,
    billing.draw_payments,
    billing.subscriptions,
    feedback.support,
    feedback.opinions,
    usage.mails,
    usage.referrals,
)

_HIDDEN, _NEW, _EVENTS = range(3)  # purposes with their own random generator on each day
_STEPS, _LEAVES = range(2)  # the two hidden random numbers of each customer and day
_CLOCK: Final = tuple(f"T{s // 3600:02d}:{(s // 60) % 60:02d}:{s % 60:02d}." for s in range(86_400))


class SimulatedEvent(NamedTuple):
    """One event: `value` is its JSON without a line end, `customer` its key."""

    time_ms: int
    customer: str
    value: bytes


class Hazard(NamedTuple):
    """The true churn probabilities of one customer at the start of a day."""

    customer: str
    time_ms: int
    kind: str
    state: str
    subscriber: bool
    hazard_daily: float  # probability to churn on this day
    p_churn: float  # probability to churn within the horizon, given the current state
    p_involuntary: float  # probability to churn within the horizon because of a failed payment


@dataclass(frozen=True)
class SimulationSettings:
    """Settings of a simulation.

    `customers` is the number at the start; about as many arrive later as churn. `mix` is the weight of each kind.
    `shops` is the share without a subscription: they churn by becoming inactive, all others by `Subscription
    Cancelled`. Raises ValueError with the setting, its value and the allowed values.
    """

    customers: int = 1000
    days: int = 180
    start_ms: int = DEFAULT_START_MS
    seed: int = 1
    shops: float = 0.15
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))

    def __post_init__(self) -> None:
        for name, value, lowest in (("customers", self.customers, 1), ("days", self.days, 1), ("seed", self.seed, 0)):
            if value < lowest:
                raise ValueError(f"{name} is {value}: it must be at least {lowest}")
        if not 0 <= self.shops <= 1:
            raise ValueError(f"shops is {self.shops}: it is a share, from 0 to 1")
        if unknown := sorted(set(self.mix) - set(KINDS)):
            raise ValueError(f"mix has the unknown kind {unknown[0]!r}: known are {', '.join(KINDS)}")
        if not sum(self.mix.values()) > 0 or min(self.mix.values()) < 0:
            raise ValueError("mix needs weights of at least 0, one of them above 0")
        calendar = Calendar(self.start_ms)
        if not MIN_TIME_MS <= self.start_ms <= MAX_TIME_MS - self.days * DAY_MS:
            first, last = calendar.date(0), calendar.date(self.days - 1)
            raise ValueError(f"{first} to {last} is outside the years 1990 to 2099, the valid range of event times")


class Simulation:
    """One run, day by day. With `record`, `traces` has the hidden states of every customer so far."""

    def __init__(self, settings: SimulationSettings, *, record: bool = False) -> None:
        self.settings = settings
        self.calendar = Calendar(settings.start_ms)
        self.day = 0  # next day to draw
        self.traces: dict[str, Trace] = {}
        self._record = record
        self._people: People = np.zeros(0, PERSON)
        self._customers = self._messages = 0

    def events(self) -> Iterator[SimulatedEvent]:
        """Yield all remaining events, in order of event time."""
        while self.day < self.settings.days:
            yield from self.next_day()

    def next_day(self) -> list[SimulatedEvent]:
        """Return the events of the next day, in order of event time.

        1. Hidden states take a step, new customers arrive, and churn is drawn given the states.
        2. Each family drafts events.
        3. Customers who churn have no events after that time.
        4. Customers who churned are removed.
        """
        left = self._draw_hidden()
        day = SimulatedDay(self.day, self.calendar, self._people, self._rng(_EVENTS))
        for family in FAMILIES:
            family(day)
        billing.cancellations(day, left)
        events = self._write(day)
        self._remove(left)
        return events

    def skip_day(self) -> None:
        """Draw the hidden states of the next day without its events."""
        self._remove(self._draw_hidden())

    def hazards(self, horizon_days: float = 30) -> list[Hazard]:
        """Return the true probabilities of all present customers at the midnight before the next day, in its states.

        No customer is present before the first day. The states are those that the next day will draw: the hidden random
        numbers depend on seed, day and customer only.
        """
        people = self._people
        if not len(people):
            return []
        states = self._stepped(people, self._hidden_rng(people))
        phase = np.where(people["subscriber"] & (people["anchor"] <= self.day), people["anchor"] % BILLING_DAYS, -1)
        phase = np.where(people["anchor"] > self.day, people["anchor"], phase)  # in a trial: renews much later
        _, first, back = np.unique(np.stack([states, phase, people["subscriber"]]), True, True, axis=1)
        anchor, subscriber = people["anchor"][first], people["subscriber"][first]
        when = np.full(len(first), self.day), np.zeros(len(first))
        either, unpaid = (
            leave_probability(self.calendar, states[first], anchor, subscriber, *when, horizon_days, cause)[
                back.ravel()
            ]
            for cause in (None, "involuntary")
        )
        today = (HAZARD * self.calendar.hazard(self.day))[states]
        now_ms = self.settings.start_ms + self.day * DAY_MS
        columns = (people["number"], states, people["subscriber"], today, either, unpaid)
        return [
            Hazard(_id(number), now_ms, STATES[state].kind, STATES[state].name, *rest)
            for number, state, *rest in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, self.day, purpose])

    def _hidden_rng(self, people: People) -> Floats:
        """Draw two uniform numbers (n, 2) per customer, independent of which other customers are present."""
        drawn: Floats = self._rng(_HIDDEN).random((self._customers, 2))[people["number"]]
        return drawn

    def _stepped(self, people: People, hidden: Floats) -> npt.NDArray[np.int64]:
        """Return the state of each customer on the next day."""
        renews = people["subscriber"] & renews_on(people["anchor"], self.day)
        matrix = np.where(renews[:, None], STEP_AT_RENEWAL[people["state"]], STEP[people["state"]])
        return draw(np.cumsum(matrix, axis=1), hidden[:, _STEPS])

    def _draw_hidden(self) -> npt.NDArray[np.bool_]:
        """Draw the hidden states and churn times of one day. Return whether each customer churns on it (n,)."""
        settings, people, rng = self.settings, self._people, self._rng(_NEW)
        hidden = self._hidden_rng(people)
        people["before"], people["begin_ms"] = people["state"], 0
        people["state"] = self._stepped(people, hidden)
        new = newcomers(self.day, self._customers, settings.customers, settings.shops, settings.mix, rng)
        self._customers += len(new)
        people = self._people = np.concatenate([people, new])
        uniform = np.concatenate([hidden[:, _LEAVES], rng.random(len(new))])
        hazard = (HAZARD * self.calendar.hazard(self.day))[people["state"]]
        left_ms = people["begin_ms"] + DAY_MS * np.log1p(-uniform) / np.log1p(-hazard)
        left: npt.NDArray[np.bool_] = left_ms < DAY_MS
        people["end_ms"] = np.where(left, left_ms, DAY_MS)
        if self._record:
            self._record_traces(left)
        return left

    def _remove(self, left: npt.NDArray[np.bool_]) -> None:
        self._people = self._people[~left]
        self.day += 1

    def _write(self, day: SimulatedDay) -> list[SimulatedEvent]:
        midnight_ms = self.settings.start_ms + self.day * DAY_MS
        date, stem = self.calendar.date(self.day), f'{{"messageId":"m{self.settings.seed}-'
        names = [_id(number) for number in day.people["number"].tolist()]
        events: list[SimulatedEvent] = []
        for number, (time_ms, row, inside) in enumerate(zip(*day.ordered(), strict=True), self._messages + 1):
            customer = names[row]
            line = (
                f'{stem}{number}","userId":"{customer}",'
                f'"timestamp":"{date}{_CLOCK[time_ms // 1000]}{time_ms % 1000:03d}Z",{inside}}}'
            )
            events.append(SimulatedEvent(midnight_ms + time_ms, customer, line.encode()))
        self._messages += len(events)
        return events

    def _record_traces(self, left: npt.NDArray[np.bool_]) -> None:
        """Record new customers, changed states and churn in the traces."""
        people, settings = self._people, self.settings
        midnight_ms = settings.start_ms + self.day * DAY_MS
        for person in people if self.day == 0 else people[people["signed_up"] == self.day]:
            self.traces[_id(person["number"])] = Trace(
                customer=_id(person["number"]),
                kind=KINDS[person["kind"]],
                subscriber=bool(person["subscriber"]),
                start_ms=settings.start_ms,
                since_ms=midnight_ms + int(person["begin_ms"]),
                anchor=int(person["anchor"]),
                days=[self.day],
                states=[int(person["state"])],
            )
        changed = people[people["state"] != people["before"]]
        for number, state in zip(changed["number"].tolist(), changed["state"].tolist(), strict=True):
            trace = self.traces[_id(number)]
            trace.days.append(self.day)
            trace.states.append(state)
        for person in people[left]:
            trace = self.traces[_id(person["number"])]
            trace.left_ms = midnight_ms + int(person["end_ms"])
            trace.cause = "involuntary" if UNPAID[person["state"]] else "voluntary"


def _id(number: int) -> str:
    return f"c{number:06d}"


def traces(settings: SimulationSettings) -> dict[str, Trace]:
    """Return the hidden states of every customer of a simulation, by customer id, without drawing events."""
    simulation = Simulation(settings, record=True)
    while simulation.day < settings.days:
        simulation.skip_day()
    return simulation.traces
