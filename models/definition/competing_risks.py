"""Two causes of one loss: what a customer does, and a payment that fails; which label each has, and who takes it up.

A customer is lost once, by whichever cause comes first: the causes are competing risks. Each label asks for the
*cumulative incidence* of its cause, the probability of being lost within the horizon *by it*. So whoever is lost by
the other cause first has label 0 and stays in, as in the risk set of the subdistribution (Fine and Gray 1999); nobody
is left out or censored. Leaving them out would estimate the risk in a world without the other cause, which no log shows
(Tsiatis 1975), and would add up to more than is lost (Putter, Fiocco and Geskus 2007). With complete follow-up, which
a label that is released at horizon plus grace has, a binary regression of that label is a direct estimate of the
cumulative incidence at the horizon (Scheike, Zhang and Gerds 2008, whose weights are 1 where nobody is censored).

The two events exclude each other, whatever their horizons, so their probabilities add up: together
F = F_voluntary + F_involuntary (1 - S(t) is the sum over the causes: Putter et al. 2007).
1 - (1 - F_v)(1 - F_i) would be right for causes that are independent and can both happen. Two regressions that do not
know of each other can exceed 1 in sum (Austin, Steyerberg and Putter 2021), which is then held just below 1.

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
"""Who takes it up: those who see to payments, or those who see to customers."""

HORIZON_MS: Final = 14 * DAY_MS
"""Card networks and processors retry a failed payment for some two weeks by default: what a billing team can still turn
is decided within them."""


@dataclass(frozen=True, slots=True)
class Involuntary:
    """The label of the second cause, `[label.involuntary]` of churn.toml: named events, and a horizon of its own."""

    definitions: tuple[str, ...]
    """Names, sorted; none of them is primary."""
    horizon_ms: int = HORIZON_MS


class Horizons(NamedTuple):
    """How far each probability looks ahead."""

    voluntary_ms: int
    involuntary_ms: int


def daily_hazard(probability: Floats, horizon_ms: int) -> Floats:
    """The constant hazard a day that means this probability within the horizon, -ln(1 - p) / days.

    >>> daily_hazard(np.array([0.5]), 14 * DAY_MS).round(4)
    array([0.0495])
    """
    hazard: Floats = -np.log1p(-np.ascontiguousarray(probability)) * (DAY_MS / horizon_ms)
    return hazard


def by_payment(voluntary: Floats, involuntary: Floats, horizons: Horizons) -> NDArray[np.bool_]:
    """Whether the payment is what threatens most: by the hazard a day, since horizons differ; ties go to success.

    >>> by_payment(np.array([0.3, 0.3]), np.array([0.2, 0.1]), Horizons(30 * DAY_MS, 14 * DAY_MS))
    array([ True, False])
    """
    return daily_hazard(involuntary, horizons.involuntary_ms) > daily_hazard(voluntary, horizons.voluntary_ms)


def route_of(billing: bool) -> str:
    """`billing` or `success`."""
    return BILLING if billing else SUCCESS
