"""Voluntary and involuntary churn as competing risks: a label for each cause, and the team that handles it.

A customer is lost once, by the cause that occurs first: the causes are competing risks. The label of a cause has the
probability called *cumulative incidence*: the probability of being lost within the horizon *by this cause*. A customer
who is lost by the other cause first therefore has label 0. They stay in the data, as in the risk set of the
subdistribution (Fine and Gray 1999), and are neither left out nor censored. Leaving them out would estimate the risk in
a world without the other cause. No log can show that world (Tsiatis 1975), and the estimates of both causes would add
up to more than the customers lost (Putter, Fiocco and Geskus 2007). A label that is released at horizon plus grace has
complete follow-up. With it, a binary regression of the label estimates the cumulative incidence at the horizon
directly (Scheike, Zhang and Gerds 2008, whose weights are 1 without censoring).

The two events exclude each other, whatever their horizons, so their probabilities add up:
F = F_voluntary + F_involuntary (1 - S(t) is the sum over the causes: Putter et al. 2007).
1 - (1 - F_v)(1 - F_i) would be right for independent causes that can both occur. The sum of two separate regressions
can exceed 1 (Austin, Steyerberg and Putter 2021). It is then capped just below 1.

References
    Fine and Gray 1999, JASA 94, 496-509. Putter, Fiocco and Geskus 2007, Statistics in Medicine 26, 2389-2430.
    Tsiatis 1975, PNAS 72, 20-22. Scheike, Zhang and Gerds 2008, Biometrika 95, 205-220.
    Austin, Steyerberg and Putter 2021, Statistics in Medicine 40, 4200-4212.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.duration import DAY_MS

Floats = NDArray[np.float64]

VOLUNTARY: Final = "voluntary"
INVOLUNTARY: Final = "involuntary"

SUCCESS: Final = "success"
BILLING: Final = "billing"
ROUTES: Final = (BILLING, SUCCESS)
"""The team that handles an alert: billing or customer success."""

INVOLUNTARY_HORIZON_MS: Final = 14 * DAY_MS
"""Card networks and processors retry a failed payment for some two weeks by default. Within that time it is decided
whether a billing team can still recover the payment."""


@dataclass(frozen=True, slots=True)
class Involuntary:
    """The label of involuntary churn, `[label.involuntary]` of churn.toml: its definitions and its own horizon."""

    definitions: tuple[str, ...]
    """Names, sorted; none of them is primary."""
    horizon_ms: int = INVOLUNTARY_HORIZON_MS


class Horizons(NamedTuple):
    """The horizon of each probability."""

    voluntary_ms: int
    involuntary_ms: int


def daily_hazard(probability: Floats, horizon_ms: int) -> Floats:
    """Convert a probability within the horizon to the constant daily hazard, -ln(1 - p) / days.

    >>> daily_hazard(np.array([0.5]), 14 * DAY_MS).round(4)
    array([0.0495])
    """
    hazard: Floats = -np.log1p(-np.ascontiguousarray(probability)) * (DAY_MS / horizon_ms)
    return hazard


def involuntary_dominates(voluntary: Floats, involuntary: Floats, horizons: Horizons) -> NDArray[np.bool_]:
    """Check whether involuntary churn has the higher daily hazard. Hazards are compared because horizons differ.

    On equal hazards the result is False, which routes to customer success.

    >>> involuntary_dominates(np.array([0.3, 0.3]), np.array([0.2, 0.1]), Horizons(30 * DAY_MS, 14 * DAY_MS))
    array([ True, False])
    """
    return daily_hazard(involuntary, horizons.involuntary_ms) > daily_hazard(voluntary, horizons.voluntary_ms)


def route_of(billing: bool) -> str:
    """Return the name of a route, `billing` or `success`."""
    return BILLING if billing else SUCCESS
