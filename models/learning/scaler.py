"""Standardise values with a running mean and variance, so that all inputs of the model are bounded and of one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLIP = 4.0
"""Bound of an input in standard deviations: a customer with ten thousand events must not dominate the weights."""

NOISE = 1e-9
"""A deviation below this share of (1 + |mean|) is rounding, not variation: 0.1 + 0.2 against 0.3."""


class Scaler:
    """Running mean and variance (Welford 1962), updated when an example is *learned*.

    ``z = clip((value - mean) / sd, -4, 4)``. A missing value, or a value that never varied, is 0: it has no effect, and
    its weight does not change. The variance is the population variance (divided by n).

    A value with only one number so far has no scale, so a first different number cannot be scaled: it is 0 at scoring,
    until the first label with a different number is learned.

    Parameters
    ----------
    size
        Number of values.

    Examples
    --------
    >>> scaler = Scaler(2)
    >>> for row in ([1.0, 7.0], [3.0, 7.0], [5.0, np.nan]):
    ...     z = scaler.learn(np.array(row))
    >>> scaler.mean, scaler.sd.round(3)
    (array([3., 7.]), array([1.633, 0.   ]))
    >>> scaler.transform(np.array([[1.0, 9.0], [99.0, 7.0]])).round(3)
    array([[-1.225,  0.   ],
           [ 4.   ,  0.   ]])
    """

    def __init__(self, size: int) -> None:
        self.count = np.zeros(size)
        self.mean = np.zeros(size)
        self._m2 = np.zeros(size)

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation, 0 for a value that never varied."""
        return np.sqrt(np.where(self.inverse_sd() > 0, self._m2 / np.maximum(self.count, 1.0), 0.0))

    def inverse_sd(self) -> NDArray[np.float64]:
        """1 / sd, and 0 for a value that never varied."""
        variance = self._m2 / np.maximum(self.count, 1.0)
        floor = NOISE * (1.0 + np.abs(self.mean))
        variance[variance <= floor * floor] = np.inf
        return 1.0 / np.sqrt(variance)

    def learn(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Update with one example, and return it scaled, as `transform` does after the update."""
        delta = values - self.mean
        missing = np.isnan(delta)
        delta[missing] = 0.0
        self.count += ~missing
        step = delta / np.maximum(self.count, 1.0)
        self.mean += step
        centred = delta - step
        self._m2 += delta * centred
        centred *= self.inverse_sd()
        return np.minimum(np.maximum(centred, -CLIP, out=centred), CLIP, out=centred)

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return scaled values of the same shape, never NaN, without an update."""
        return standardise(values, self.mean, self.inverse_sd())

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`, exact to the bit."""
        return {"count": self.count.tolist(), "mean": self.mean.tolist(), "m2": self._m2.tolist()}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Scaler:
        """Return the scaler that `state` was taken from."""
        scaler = cls(len(state["count"]))
        scaler.count[:] = state["count"]
        scaler.mean[:] = state["mean"]
        scaler._m2[:] = state["m2"]
        return scaler


def standardise(
    values: NDArray[np.float64], centre: NDArray[np.float64], inverse: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``clip((values - centre) * inverse, -4, 4)`` along the last axis, 0 for missing values.

    Elementwise, so that a row has the same bits in any batch.
    """
    z = values - centre
    z *= inverse
    np.maximum(z, -CLIP, out=z)
    np.minimum(z, CLIP, out=z)
    np.copyto(z, 0.0, where=np.isnan(z))
    return z
