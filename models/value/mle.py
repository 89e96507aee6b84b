"""Maximum likelihood search for positive parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

LOG_BOUND: Final = 7.0  # a parameter above e^7 means "all customers are alike", whatever its size


class NoEstimate(ValueError):
    """The data are insufficient for an estimate. The message names what is missing."""


def maximize(
    log_likelihood: Callable[[Sequence[float]], float],
    customers: float,
    starts: Sequence[tuple[float, ...]],
    name: str,
) -> tuple[float, ...]:
    """Return the parameters with the maximum likelihood. Tries each start until a search converges.

    Args:
        log_likelihood: Log likelihood of all customers, given the parameters.
        customers: Number of customers; makes the tolerance independent of it.
        starts: Starting points.
        name: The model's name, for the error.

    Raises:
        NoEstimate: no search converged.

    >>> from math import log
    >>> [round(x, 2) for x in maximize(lambda p: 30 * log(p[0]) - 10 * p[0], 10, [(1.0,)], "Poisson")]
    [3.0]
    """
    from scipy.optimize import minimize  # a tenth of a worker's start, for a fit every four weeks of event time

    scale, message = 1.0 / customers, ""

    def loss(logs: Sequence[float]) -> float:
        return -scale * log_likelihood(np.exp(logs).tolist())

    for first in dict.fromkeys(starts):
        bounds = [(-LOG_BOUND, LOG_BOUND)] * len(first)
        options = {"ftol": 1e-12, "gtol": 1e-8, "maxiter": 500}
        result = minimize(loss, np.log(first), method="L-BFGS-B", bounds=bounds, options=options)
        if not result.success:  # on a plateau finite differences are noise: continue without gradients
            options = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 4_000}
            result = minimize(loss, result.x, method="Nelder-Mead", bounds=bounds, options=options)
        if result.success:
            return tuple(np.exp(result.x).tolist())
        message = str(result.message)
    raise NoEstimate(f"the {name} fit did not converge ({message})")
