"""Holdout evaluation: fit BG/NBD to the purchases up to a day, and compare predictions with the weeks after it."""

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
from models.value.gamma_gamma import SpendHistory, SpendingCells
from models.value.gamma_gamma import fit as fit_values
from models.value.repurchase_backtest import class_name

WEEK: Final = int(WEEK_DAYS)


class Week(msgspec.Struct, frozen=True):
    """One week of the holdout period: purchases of the customers known when it began."""

    start_day: int
    predicted: float
    actual: int


class WeekAhead(msgspec.Struct, frozen=True):
    """One week, predicted from all data before it: purchases of the customers known by then."""

    start_day: int
    predicted: float
    actual: int


class RepeatClass(msgspec.Struct, frozen=True):
    """One class of repeat purchases: predicted and actual purchases over the holdout period."""

    repeats: str
    customers: int
    alive: float  # mean P(alive)
    predicted: float
    actual: int
    returns: float  # mean probability of at least one purchase
    came_back: int
    order_value: float | None = None  # predicted mean value of a purchase, by Gamma-Gamma
    order_value_came: float | None = None  # actual mean value of a purchase


class Spending(msgspec.Struct, frozen=True):
    """Gamma-Gamma's parameters (units of the currency), and predicted and actual revenue."""

    p: float
    q: float
    gamma: float
    customers: int
    """Customers with more than one purchase before the holdout period; the parameters are fitted to them."""
    cells: int
    mean: float
    """Mean value of a purchase over all customers."""
    predicted: float
    """Predicted revenue of all weeks: the sum over customers of predicted purchases x expected value of a purchase."""
    actual: float
    currency: str = ""
    """Of all amounts; empty if events do not state one."""


class Forecast(msgspec.Struct, frozen=True):
    """BG/NBD's parameters (time in weeks), and predicted and actual purchases."""

    r: float
    alpha_weeks: float
    a: float
    b: float
    until_day: int
    customers: int
    cells: int
    learned_predicted: float
    """Repeat purchases up to `until_day` that the parameters predict for customers of these ages."""
    learned_actual: int
    weeks: list[Week]
    classes: list[RepeatClass]
    spending: Spending | None = None
    """None if purchases have no value, or too few have one."""

    @property
    def predicted(self) -> float:
        """Predicted purchases of all weeks."""
        return sum(week.predicted for week in self.weeks)

    @property
    def actual(self) -> int:
        """Actual purchases of all weeks."""
        return sum(week.actual for week in self.weeks)

    @property
    def cumulative_error(self) -> float:
        """Relative error of the repeat purchases predicted from the first day to the last (tracking plot)."""
        return (self.learned_predicted + self.predicted) / (self.learned_actual + self.actual) - 1


class PurchaseLog:
    """Purchases of a file: up to `until_day` (inclusive, days since the epoch) for the fit, later ones as the holdout.

    Profiles are built as in the fold, so duplicates do not count.
    """

    def __init__(self, until_day: int) -> None:
        self.until_day = until_day
        self.cells = PurchaseCells()
        self._spending: dict[str, SpendingCells] = defaultdict(SpendingCells)
        self.last_day = 0
        self._profiles: dict[str, Profile] = {}
        self._holdout_profiles: dict[str, Profile] = {}  # for duplicates and revenue of the holdout period
        self._days: dict[str, set[int]] = defaultdict(set)
        self._holdout_days: dict[str, set[int]] = defaultdict(set)

    def add(self, event: Event) -> None:
        """Add an event; events other than purchases are ignored."""
        if event.name != "Order Completed":
            return
        day = event.time_ms // DAY_MS
        self.last_day = max(self.last_day, day)
        profiles = self._profiles if day <= self.until_day else self._holdout_profiles
        profile = profiles.get(event.customer)
        if profile is None:
            profile = profiles[event.customer] = Profile()
        before, spent = PurchaseHistory.of(profile.commerce), SpendHistory.of(profile.commerce)
        if not apply(profile, event):
            return
        self._days[event.customer].add(day)
        if day > self.until_day:
            self._holdout_days[event.customer].add(day)
            return
        self.cells.move(before, PurchaseHistory.of(profile.commerce))
        after = SpendHistory.of(profile.commerce)
        if spent is not None:
            self._spending[spent.currency].move(spent, None)
        if after is not None:
            self._spending[after.currency].move(None, after)

    @property
    def currency(self) -> str:
        """The currency in which most customers spend; amounts of others are not evaluated."""
        return max(self._spending, key=lambda code: (self._spending[code].customers, code), default="")

    @property
    def spending(self) -> SpendingCells:
        """The spending of the customers who spend in `currency`."""
        return self._spending[self.currency]

    def forecast(self) -> Forecast:
        """Fit to the cells, and predict each whole week of the holdout period.

        Raises:
            NoEstimate: as `models.value.bg_nbd.fit`.
        """
        cohort = self.cells.as_of(self.until_day)
        model = fit(cohort)
        count = max(self.last_day - self.until_day, 0) // WEEK
        cumulative = [0.0] + [float(cohort.n @ model.forecast(cohort, week)) for week in range(1, count + 1)]
        actual = [0] * count
        bought: dict[str, int] = {}
        for customer in self._profiles.keys() & self._holdout_days.keys():
            customer_weeks = [(day - self.until_day - 1) // WEEK for day in self._holdout_days[customer]]
            inside = [week for week in customer_weeks if week < count]
            bought[customer] = len(inside)
            for week in inside:
                actual[week] += 1
        weeks = [
            Week(self.until_day + 1 + WEEK * i, cumulative[i + 1] - cumulative[i], purchases)
            for i, purchases in enumerate(actual)
        ]
        classes, spending = self._with_spending(self._classes(model, bought, count), model, count)
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
        """Days of purchases per customer, in order."""
        return {customer: sorted(days) for customer, days in self._days.items()}

    def weeks_ahead(self) -> Iterator[WeekAhead]:
        """Predict each whole week after `until_day` from all data before it, with a fit each week, as a stream would.

        Raises:
            NoEstimate: as `forecast`.
        """
        histories = {customer: PurchaseHistory.of(profile.commerce) for customer, profile in self._profiles.items()}
        cells = PurchaseCells(self.cells.sums)
        by_week: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for customer, days in self._holdout_days.items():
            for day in days:
                by_week[(day - self.until_day - 1) // WEEK].append((day, customer))
        model = None
        for week in range(max(self.last_day - self.until_day, 0) // WEEK):
            day = self.until_day + WEEK * week
            cohort = cells.as_of(day)
            model = fit(cohort) if model is None else fit(cohort, model)
            purchases = sorted(by_week[week])
            known = sum(histories.get(customer) is not None for _, customer in purchases)
            yield WeekAhead(day + 1, float(cohort.n @ model.forecast(cohort, 1.0)), known)
            for on, customer in purchases:
                before = histories.get(customer)
                after = PurchaseHistory(0, on, on) if before is None else PurchaseHistory(before[0] + 1, before[1], on)
                cells.move(before, after)
                histories[customer] = after

    def _with_spending(
        self, classes: list[RepeatClass], model: BgNbd, weeks: int
    ) -> tuple[list[RepeatClass], Spending | None]:
        """Add predicted and actual purchase values to the classes, and compute the revenue of all customers."""
        currency = self.currency
        try:
            values = fit_values(self.spending.spenders(currency=currency))
        except NoEstimate:
            return classes, None
        predicted: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  # purchases, revenue
        actual: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        expected = self._predict(model, weeks)
        for customer, profile in self._profiles.items():
            history, spent = PurchaseHistory.of(profile.commerce), SpendHistory.of(profile.commerce)
            assert history is not None  # a profile is created by a purchase
            name = class_name(bisect_right(REPEAT_CLASSES, history.repeats))
            if spent is not None and spent.currency == currency:
                purchases = expected[history]
                value = float(values.expected(spent.purchases, spent.mean))
                predicted[name][0] += purchases
                predicted[name][1] += purchases * value
            holdout = self._holdout_profiles.get(customer)
            spent = None if holdout is None else SpendHistory.of(holdout.commerce)
            if spent is not None and spent.currency == currency:
                actual[name][0] += spent.purchases
                actual[name][1] += spent.mean * spent.purchases
        with_values = [
            replace(
                each,
                order_value=_mean(*predicted[each.repeats]) if weeks else None,
                order_value_came=_mean(*actual[each.repeats]),
            )
            for each in classes
        ]
        spenders = self.spending.spenders(currency=currency)
        return with_values, Spending(
            *values,
            customers=int(spenders.n.sum()),
            cells=len(spenders.n),
            mean=values.population_mean,
            predicted=sum(revenue for _, revenue in predicted.values()),
            actual=sum(revenue for _, revenue in actual.values()),
            currency=currency,
        )

    def _predict(self, model: BgNbd, weeks: int) -> dict[PurchaseHistory, float]:
        """Predict the purchases in all weeks, once for each history that customers have."""
        found = {PurchaseHistory.of(profile.commerce) for profile in self._profiles.values()}
        histories = sorted(history for history in found if history is not None)
        repeats, first, last = np.array(histories, np.float64).T
        row = Cohort(np.ones(len(histories)), repeats, (last - first) / 7, (self.until_day - first) / 7)
        expected = model.forecast(row, weeks).tolist() if weeks else [0.0] * len(histories)
        return dict(zip(histories, expected, strict=True))

    def _classes(self, model: BgNbd, bought: dict[str, int], weeks: int) -> list[RepeatClass]:
        by_class: dict[int, list[str]] = defaultdict(list)
        for customer, profile in self._profiles.items():
            history = PurchaseHistory.of(profile.commerce)
            assert history is not None  # a profile is created by a purchase
            by_class[bisect_right(REPEAT_CLASSES, history.repeats)].append(customer)
        classes = []
        for number, customers in sorted(by_class.items()):
            cells = PurchaseCells({cell: sums for cell, sums in self.cells.sums.items() if cell[2] == number})
            cohort = cells.as_of(self.until_day)
            purchases = [bought.get(customer, 0) for customer in customers]
            classes.append(
                RepeatClass(
                    repeats=class_name(number),
                    customers=len(customers),
                    alive=float(cohort.n @ model.alive(cohort)) / len(customers),
                    predicted=float(cohort.n @ model.forecast(cohort, weeks)) if weeks else 0.0,
                    actual=sum(purchases),
                    returns=float(cohort.n @ model.returns(cohort, weeks)) / len(customers),
                    came_back=sum(number > 0 for number in purchases),
                )
            )
        return classes


def _mean(number: float, total: float) -> float | None:
    return total / number if number else None
