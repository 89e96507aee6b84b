"""BG/NBD held against what came: fitted to the purchases up to a day, compared with the weeks after it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from models.events.event import Event
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile
from models.value.bg_nbd import (
    REPEAT_CLASSES,
    WEEK_DAYS,
    BgNbd,
    Cohort,
    NoEstimate,
    PurchaseCells,
    PurchaseHistory,
    fit,
)
from models.value.gamma_gamma import CENTS, SpendHistory, SpendingCells
from models.value.gamma_gamma import fit as fit_values
from models.value.repurchase_backtest import class_name

WEEK: Final = int(WEEK_DAYS)


class Week(msgspec.Struct, frozen=True):
    """One week after the day up to which was learned, of the customers known then."""

    start_day: int
    predicted: float
    actual: int


class WeekAhead(msgspec.Struct, frozen=True):
    """One week, foretold at its begin from everything before it, of the customers known by then."""

    start_day: int
    predicted: float
    actual: int


class RepeatClass(msgspec.Struct, frozen=True):
    """Customers by how often they had bought again, and what they did over all weeks of the forecast."""

    repeats: str
    customers: int
    alive: float  # mean P(alive)
    predicted: float
    actual: int
    returns: float  # mean probability of at least one purchase
    came_back: int
    order_value: float | None = None  # of the purchases foretold, by Gamma-Gamma
    order_value_came: float | None = None  # of those that came


class Spending(msgspec.Struct, frozen=True):
    """Gamma-Gamma's parameters (currency units), and what they and the purchases foretold."""

    p: float
    q: float
    gamma: float
    customers: int
    """Who bought more than once before: the parameters are theirs."""
    cells: int
    mean: float
    """What a purchase of anybody costs."""
    predicted: float
    """Revenue of all weeks: of each customer, purchases foretold x expected value of one."""
    actual: float


class Forecast(msgspec.Struct, frozen=True):
    """Parameters (time in weeks), and what they foretold."""

    r: float
    alpha_weeks: float
    a: float
    b: float
    until_day: int
    customers: int
    cells: int
    learned_predicted: float
    """Repeat purchases up to `until_day`, as the parameters say of customers of these ages."""
    learned_actual: int
    weeks: list[Week]
    classes: list[RepeatClass]
    spending: Spending | None = None
    """None where no purchase said its value, or nothing can be learned of them."""

    @property
    def predicted(self) -> float:
        """Purchases foretold for all weeks."""
        return sum(week.predicted for week in self.weeks)

    @property
    def actual(self) -> int:
        """Purchases that came in them."""
        return sum(week.actual for week in self.weeks)

    @property
    def cumulative_error(self) -> float:
        """Repeat purchases foretold from the first day to the last, against those that came: how models are tracked."""
        return (self.learned_predicted + self.predicted) / (self.learned_actual + self.actual) - 1


class PurchaseLog:
    """Purchases as they arrive: up to `until_day` (inclusive, days since the epoch) learned, after it only counted.

    Customers' profiles are those of the fold, so duplicates do not count.
    """

    def __init__(self, until_day: int) -> None:
        self.until_day = until_day
        self.cells = PurchaseCells()
        self.spending = SpendingCells()
        self.last_day = 0
        self._profiles: dict[str, Profile] = {}
        self._after: dict[str, Profile] = {}  # what came later, for its duplicates and its money
        self._known: dict[PurchaseHistory, float] = {}
        self._days: dict[str, set[int]] = defaultdict(set)
        self._later: dict[str, set[int]] = defaultdict(set)

    def add(self, event: Event) -> None:
        """Takes one event; whatever is no purchase changes nothing."""
        if event.name != "Order Completed":
            return
        day = event.time_ms // DAY_MS
        self.last_day = max(self.last_day, day)
        profiles = self._profiles if day <= self.until_day else self._after
        profile = profiles.get(event.customer)
        if profile is None:
            profile = profiles[event.customer] = Profile()
        before, spent = PurchaseHistory.of(profile.commerce), SpendHistory.of(profile.commerce)
        if not apply(profile, event):
            return
        self._days[event.customer].add(day)
        if day > self.until_day:
            self._later[event.customer].add(day)
            return
        self.cells.move(before, PurchaseHistory.of(profile.commerce))
        self.spending.move(spent, SpendHistory.of(profile.commerce))

    def forecast(self) -> Forecast:
        """Fits to the cells, and foretells every whole week that there is after them.

        Raises NoEstimate as `models.value.bg_nbd.fit` does.
        """
        cohort = self.cells.as_of(self.until_day)
        model = fit(cohort)
        count = max(self.last_day - self.until_day, 0) // WEEK
        cumulative = [0.0] + [float(cohort.n @ model.forecast(cohort, week)) for week in range(1, count + 1)]
        actual = [0] * count
        bought: dict[str, int] = {}
        for customer in self._profiles.keys() & self._later.keys():
            passed = [(day - self.until_day - 1) // WEEK for day in self._later[customer]]
            inside = [week for week in passed if week < count]
            bought[customer] = len(inside)
            for week in inside:
                actual[week] += 1
        weeks = [
            Week(self.until_day + 1 + WEEK * i, cumulative[i + 1] - cumulative[i], came)
            for i, came in enumerate(actual)
        ]
        classes, spending = self._with_money(self._classes(model, bought, count), model, count)
        return Forecast(
            *model,
            until_day=self.until_day,
            customers=self.cells.customers,
            cells=len(self.cells.sums),
            learned_predicted=float(cohort.n @ model.expected(cohort.age)),
            learned_actual=sum(sums[1] for sums in self.cells.sums.values()),
            weeks=weeks,
            classes=classes,
            spending=spending,
        )

    @property
    def days(self) -> dict[str, list[int]]:
        """The days on which each customer bought, in order."""
        return {customer: sorted(days) for customer, days in self._days.items()}

    def weeks_ahead(self) -> Iterator[WeekAhead]:
        """Each whole week after `until_day`, foretold from what came before it, with parameters learned anew: as a
        stream does it. Raises NoEstimate as `forecast`."""
        occasions = {customer: PurchaseHistory.of(profile.commerce) for customer, profile in self._profiles.items()}
        cells = PurchaseCells(self.cells.sums)
        by_week: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for customer, days in self._later.items():
            for day in days:
                by_week[(day - self.until_day - 1) // WEEK].append((day, customer))
        model = None
        for week in range(max(self.last_day - self.until_day, 0) // WEEK):
            day = self.until_day + WEEK * week
            cohort = cells.as_of(day)
            model = fit(cohort) if model is None else fit(cohort, model)
            coming = sorted(by_week[week])
            known = sum(occasions.get(customer) is not None for _, customer in coming)
            yield WeekAhead(day + 1, float(cohort.n @ model.forecast(cohort, 1.0)), known)
            for later, customer in coming:
                before = occasions.get(customer)
                after = (
                    PurchaseHistory(0, later, later)
                    if before is None
                    else PurchaseHistory(before[0] + 1, before[1], later)
                )
                cells.move(before, after)
                occasions[customer] = after

    def _with_money(
        self, classes: list[RepeatClass], model: BgNbd, weeks: int
    ) -> tuple[list[RepeatClass], Spending | None]:
        """The classes with what a purchase was foretold to cost and did, and the money of all."""
        try:
            values = fit_values(self.spending.spenders())
        except NoEstimate:
            return classes, None
        foretold: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  # purchases, revenue
        came: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for customer, profile in self._profiles.items():
            occasions, spent = PurchaseHistory.of(profile.commerce), SpendHistory.of(profile.commerce)
            assert occasions is not None  # a profile here began with a purchase
            name = class_name(bisect_right(REPEAT_CLASSES, occasions.repeats))
            if spent is not None:
                bought = self._foretold(model, occasions, weeks)
                value = float(values.expected(spent.purchases, spent.revenue / spent.purchases / CENTS))
                foretold[name][0] += bought
                foretold[name][1] += bought * value
            later = self._after.get(customer)
            if later is not None and (spent := SpendHistory.of(later.commerce)) is not None:
                came[name][0] += spent.purchases
                came[name][1] += spent.revenue / CENTS
        known = [
            replace(
                one,
                order_value=_mean(*foretold[one.repeats]) if weeks else None,
                order_value_came=_mean(*came[one.repeats]),
            )
            for one in classes
        ]
        again = self.spending.spenders()
        return known, Spending(
            *values,
            customers=int(again.n.sum()),
            cells=len(again.n),
            mean=values.population_mean,
            predicted=sum(revenue for _, revenue in foretold.values()),
            actual=sum(revenue for _, revenue in came.values()),
        )

    def _foretold(self, model: BgNbd, occasions: PurchaseHistory, weeks: int) -> float:
        """Purchases of a customer in all weeks; many are alike."""
        if occasions not in self._known:
            repeats, first, last = occasions
            row = Cohort(*(np.array([x]) for x in (1.0, repeats, (last - first) / 7, (self.until_day - first) / 7)))
            self._known[occasions] = float(model.forecast(row, weeks)[0]) if weeks else 0.0
        return self._known[occasions]

    def _classes(self, model: BgNbd, bought: dict[str, int], weeks: int) -> list[RepeatClass]:
        by_class: dict[int, list[str]] = defaultdict(list)
        for customer, profile in self._profiles.items():
            occasions = PurchaseHistory.of(profile.commerce)
            assert occasions is not None  # a profile here began with a purchase
            by_class[bisect_right(REPEAT_CLASSES, occasions.repeats)].append(customer)
        found = []
        for number, customers in sorted(by_class.items()):
            own = PurchaseCells({cell: sums for cell, sums in self.cells.sums.items() if cell[2] == number})
            cohort = own.as_of(self.until_day)
            came = [bought.get(customer, 0) for customer in customers]
            found.append(
                RepeatClass(
                    class_name(number),
                    len(customers),
                    float(cohort.n @ model.alive(cohort)) / len(customers),
                    float(cohort.n @ model.forecast(cohort, weeks)) if weeks else 0.0,
                    sum(came),
                    float(cohort.n @ model.returns(cohort, weeks)) / len(customers),
                    sum(one > 0 for one in came),
                )
            )
        return found


def _mean(number: float, total: float) -> float | None:
    return total / number if number else None
