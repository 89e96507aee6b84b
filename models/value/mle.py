"""The search for parameters of the largest likelihood, all of them positive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy.optimize import minimize

LOG_BOUND: Final = 7.0  # e^7: beyond it a parameter says "everybody is alike", however large it is


class NoEstimate(ValueError):
    """There is too little to learn the parameters from; the message says what is missing."""


def largest(
    log_likelihood: Callable[[Sequence[float]], float],
    customers: float,
    starts: Sequence[tuple[float, ...]],
    what: str,
) -> tuple[float, ...]:
    """The parameters of the largest likelihood, sought from each start until one settles.

    Args:
        log_likelihood: Of all customers, from the parameters.
        customers: How many there are: the search's tolerance is the same for any number.
        starts: Where to begin.
        what: The model's name, for the error.

    Raises NoEstimate where no search settles.

    >>> from math import log
    >>> [round(x, 2) for x in largest(lambda p: 30 * log(p[0]) - 10 * p[0], 10, [(1.0,)], "Poisson")]
    [3.0]
    """
    scale, message = 1.0 / customers, ""

    def worse(logs: Sequence[float]) -> float:
        return -scale * log_likelihood(np.exp(logs).tolist())

    for first in dict.fromkeys(starts):
        bounds = [(-LOG_BOUND, LOG_BOUND)] * len(first)
        options = {"ftol": 1e-12, "gtol": 1e-8, "maxiter": 500}
        found = minimize(worse, np.log(first), method="L-BFGS-B", bounds=bounds, options=options)
        if not found.success:  # where it is flat, differences are noise: a search that takes none goes on from there
            options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 4_000}
            found = minimize(worse, found.x, method="Nelder-Mead", bounds=bounds, options=options)
        if found.success:
            return tuple(np.exp(found.x).tolist())
        message = str(found.message)
    raise NoEstimate(f"the parameters of {what} do not settle ({message})")
