"""The simulated population: the record of each customer, and the new customers of a day."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.simulation.calendar import DAY_MS
from models.simulation.customer import BEGIN, KINDS, SETTLED, SUBSCRIBERS_ONLY, UNPAID, draw

People = npt.NDArray[Any]

PERSON: Final = np.dtype(
    [
        ("number", "i8"),
        ("kind", "i8"),
        ("state", "i8"),
        ("before", "i8"),  # yesterday's state
        ("subscriber", "?"),
        ("anchor", "i8"),  # day on which the subscription's periods start
        ("signed_up", "i8"),  # day, negative before the start of the simulation
        ("begin_ms", "i8"),  # the customer is present today from `begin_ms` until before `end_ms`
        ("end_ms", "i8"),
        ("rate", "f8"),  # the customer's probability to be active on an ordinary day
        ("depth", "f8"),  # the customer's mean number of events beyond the first on an active day
        ("features", "i8"),  # number of features that the customer uses
        ("segment", "i8"),
        ("source", "i8"),
        ("plan", "i8"),
        ("ticket", "i8"),  # none | open | solved yesterday
        ("ticket_day", "i8"),
        ("tickets", "i8"),
        ("attempt", "i8"),  # attempts of the payment that is due
        ("steps", "i8"),  # completed onboarding steps
        ("mails", "?"),  # subscribed to mail
    ]
)

SEGMENTS: Final = ("consumer", "business")
SOURCES: Final = ("organic", "ads", "referral", "partner")
PLANS: Final = (("basic", 19.0), ("pro", 49.0), ("business", 199.0))
FEATURES: Final = ("search", "editor", "dashboard", "reports", "share", "import", "automation", "comments")
STEPS: Final = ("profile", "first_project", "invite", "connect")
TRIAL_DAYS: Final = 14
TRIALS: Final = 0.5
"""Share of new subscribers who start with a trial."""

BUSINESSES: Final = 0.4
"""Share of customers in the segment `business`; the others are consumers."""

LATEST_SIGN_UP: Final = 0.95
"""Share of a day within which customers sign up, so that the events of a sign-up are on the same day."""

ARRIVALS_A_DAY: Final = 0.0026
"""New customers per day as a share of the customers at the start: about as many as churn (7.5% in 30 days)."""

RHYTHMS: Final = ((0.6, 0.85), (0.92, 0.6), (1.0, 0.35))
"""Cumulative share, and probability to be active on a day: daily, some days a week, some days a month."""

OLDEST_DAYS: Final = 700
"""Customers at the start of the simulation signed up between 31 and this many days before."""

NEWEST_DAYS: Final = 31
"""Customers at the start of the simulation signed up at least one billing period before."""


def newcomers(
    day: int, first_number: int, customers: int, shops: float, mix: Mapping[str, float], rng: np.random.Generator
) -> People:
    """Draw the new customers of a day; on day 0 the existing customers, who may be in any state.

    `customers` is the number at the start, `shops` the share without a subscription, `mix` the weight of each kind.
    """
    start = day == 0
    n = customers if start else int(rng.poisson(customers * ARRIVALS_A_DAY))
    new = np.zeros(n, PERSON)
    new["number"] = first_number + np.arange(n)
    weights = np.cumsum([mix.get(kind, 0.0) for kind in KINDS])
    new["kind"] = draw(np.tile(weights / weights[-1], (n, 1)), rng.random(n))
    new["state"] = draw(np.cumsum((SETTLED if start else BEGIN)[new["kind"]], axis=1), rng.random(n))
    always_subscribed = np.isin(new["kind"], [KINDS.index(kind) for kind in SUBSCRIBERS_ONLY])
    new["subscriber"] = always_subscribed | (rng.random(n) >= shops)
    without_payment = ~new["subscriber"] & UNPAID[new["state"]]
    new["state"][without_payment] = np.argmax(BEGIN, axis=1)[new["kind"][without_payment]]
    new["before"] = new["state"]
    if start:
        new["signed_up"] = new["anchor"] = -rng.integers(NEWEST_DAYS, OLDEST_DAYS, n)
        new["steps"] = len(STEPS)
    else:
        new["signed_up"] = day
        new["anchor"] = day + TRIAL_DAYS * (rng.random(n) < TRIALS)
        new["begin_ms"] = (rng.random(n) * LATEST_SIGN_UP * DAY_MS).astype(np.int64)
    shares, rates = np.array(RHYTHMS).T
    own_rhythm = rates[draw(np.tile(shares, (n, 1)), rng.random(n))]
    new["rate"] = np.clip(own_rhythm * np.exp(0.2 * rng.standard_normal(n)), 0.03, 0.95)
    new["depth"] = 0.9 * np.exp(0.3 * rng.standard_normal(n))
    new["features"] = rng.integers(3, len(FEATURES) + 1, n)
    new["segment"] = rng.random(n) < BUSINESSES
    new["source"] = rng.integers(0, len(SOURCES), n)
    new["plan"] = np.minimum(rng.geometric(0.5, n) - 1 + new["segment"], len(PLANS) - 1)
    new["mails"] = True
    return new
