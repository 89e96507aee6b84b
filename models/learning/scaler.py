"""The scaler: running mean and variance per value, so that every input of the model is of the same size and bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CLIP = 4.0
"""Standard deviations an input may lie from its mean: a customer with ten thousand events must not own the weights."""

NOISE = 1e-9
"""A deviation below this share of (1 + |mean|) is rounding, not variation: 0.1 + 0.2 against 0.3 is not news."""


class Scaler:
    """Running mean and variance (Welford 1962), updated when an example is *learned*.

    ``z = clip((value - mean) / sd, -4, 4)``; missing, or a value that never varied, is 0: it says nothing, and its
    weight stays where it was. The variance is that of the population (divided by n).

    A value that was only ever seen as one number has no scale, so the first different one cannot be placed: it is 0 at
    scoring, and becomes visible with the first label that carries it.

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
        """Standard deviation, 0 where nothing varied."""
        return np.sqrt(np.where(self.inverse_sd() > 0, self._m2 / np.maximum(self.count, 1.0), 0.0))

    def inverse_sd(self) -> NDArray[np.float64]:
        """1 / sd, and 0 where nothing varied."""
        variance = self._m2 / np.maximum(self.count, 1.0)
        floor = NOISE * (1.0 + np.abs(self.mean))
        variance[variance <= floor * floor] = np.inf
        return 1.0 / np.sqrt(variance)

    def learn(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Update with one example and return it scaled: what `transform` would now say of it."""
        delta = values - self.mean
        missing = np.isnan(delta)
        delta[missing] = 0.0
        self.count += ~missing
        step = delta / np.maximum(self.count, 1.0)
        self.mean += step
        left = delta - step
        self._m2 += delta * left
        left *= self.inverse_sd()
        return np.minimum(np.maximum(left, -CLIP, out=left), CLIP, out=left)

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled values, same shape, never NaN; learns nothing."""
        return standardise(values, self.mean, self.inverse_sd())

    def state(self) -> dict[str, Any]:
        """As data, exactly."""
        return {"count": self.count.tolist(), "mean": self.mean.tolist(), "m2": self._m2.tolist()}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Scaler:
        """The scaler that `state` was taken from."""
        scaler = cls(len(state["count"]))
        scaler.count[:] = state["count"]
        scaler.mean[:] = state["mean"]
        scaler._m2[:] = state["m2"]
        return scaler


def standardise(
    values: NDArray[np.float64], centre: NDArray[np.float64], inverse: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``clip((values - centre) * inverse, -4, 4)``, 0 for missing, in the last axis' columns.

    Element by element, so a row has the same bits in any batch.
    """
    z = values - centre
    z *= inverse
    np.maximum(z, -CLIP, out=z)
    np.minimum(z, CLIP, out=z)
    np.copyto(z, 0.0, where=np.isnan(z))
    return z
