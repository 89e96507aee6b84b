"""Expected purchases of a customer who is alive: the expectation of BG/NBD as an integral without cancellation.

A customer who buys at rate lambda and leaves after each purchase with probability p makes (1 - exp(-lambda p t)) / p
purchases on average within a time t. With lambda distributed as Gamma(rate, scale) this is

    g(p) = (1 - (1 + p t / scale)^-rate) / p,

and the expectation is the mean of g over p, which is Beta(a, b) distributed. Equations 9 and 10 of Fader, Hardie, Lee
(2005) are the same number as a hypergeometric function: a product of a power that underflows and a function that
overflows for customers with hundreds of purchases, 0 / 0 where a is 1, and a small difference of large numbers for
large a and b. Here all terms are positive.

The mean is a trapezoidal sum in y, where logit p = y - e^(c - y) + e^(y - d). Both tails fall double exponentially, and
the integrand is analytic in a strip around the real line, so the error falls exponentially with the number of nodes
(Takahasi and Mori 1974). The weights are normalised by their own sum.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEP: Final = 0.3  # of the sum, relative to the scale of the tails; the relative error is below 1e-11
TAIL: Final = 40.0  # e^-40 of the mass is left out on each side
LOGIT_MIN: Final = -300.0  # g is constant below
ROWS_MAX: Final = 1_000  # at once, of some 100 nodes: the arrays of a step fit into a processor's cache


def expected_purchases(rate: Floats, scale: Floats, a: float, b: Floats, time: Floats) -> Floats:
    """The expectation for n customers and k times each, (n, k).

    Args:
        rate, scale: Of the Gamma distribution of purchase rates, (n, 1).
        a: Of the Beta distribution of the probability to leave.
        b: The same distribution's other parameter, (n, 1).
        time: Times ahead in the unit of `scale`, (n, k) or (1, k).

    >>> one = np.ones((1, 1))
    >>> expected_purchases(0.243 * one, 4.414 * one, 0.793, 2.426 * one, np.array([[0.0, 38.86]])).round(3).tolist()
    [[0.0, 1.194]]
    """
    if len(rate) > ROWS_MAX:
        parts = [slice(start, start + ROWS_MAX) for start in range(0, len(rate), ROWS_MAX)]
        times = [time if len(time) == 1 else time[part] for part in parts]
        found = [expected_purchases(rate[p], scale[p], a, b[p], t) for p, t in zip(parts, times, strict=True)]
        return np.concatenate(found)
    ahead = time / scale
    p, weights = _nodes(rate, a, b, ahead.max(axis=1, keepdims=True))
    bought = -np.expm1(-rate[:, :, None] * np.log1p(ahead[:, :, None] * p[:, None, :])) / p[:, None, :]
    return np.asarray((bought * weights[:, None, :]).sum(axis=2) / weights.sum(axis=1, keepdims=True))


def _nodes(rate: Floats, a: float, b: Floats, ahead: Floats) -> tuple[Floats, Floats]:
    """Nodes p and weights of the Beta density, each (n, nodes)."""
    middle, spread = np.log(a / b), 4 * np.minimum(np.sqrt(1 / a + 1 / b), 1.0)
    # where the tails begin: that of g, constant below 1 / (rate * ahead), but no further than 1 / p can lift p^a
    flat = -np.log1p(np.maximum(rate, 1.0) * ahead)
    left = np.minimum(middle, flat)
    if a > 1:
        left = np.maximum(left, -np.log(_reach(b) / (a - 1)))
    left = np.minimum(left, middle - spread)
    right = np.maximum(np.log(_reach(a) / b), middle + spread)
    below_scale, above_scale = np.minimum((middle - left) / 4, 1.0), np.minimum((right - middle) / 4, 1.0)
    start = left - below_scale * np.log1p((TAIL / a + np.maximum(left - flat, 0.0)) / below_scale)
    stop = right + above_scale * np.log1p(TAIL / b / above_scale)
    count = int(np.ceil(((stop - start) / (STEP * np.minimum(below_scale, above_scale))).max())) + 1
    y = start + (stop - start) * np.linspace(0.0, 1.0, count)
    below, above = np.exp((left - y) / below_scale), np.exp((y - right) / above_scale)
    logit = y - below_scale * below + above_scale * above
    log_weights = -a * np.logaddexp(0.0, -logit) - b * np.logaddexp(0.0, logit) + np.log(1 + below + above)
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return 1 / (1 + np.exp(-np.maximum(logit, LOGIT_MIN))), weights


def _reach(shape: Floats | float) -> Floats:
    """What a Gamma variable with this shape and scale 1 exceeds with a probability below e^-40."""
    return np.asarray(shape + 13 * np.sqrt(shape) + 50)


__all__ = ["expected_purchases"]
