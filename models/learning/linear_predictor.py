"""A linear predictor on scaled values: the common form in which champion, challenger and prior are scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.learning.scaler import standardise

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinearPredictor:
    """``log-odds = bias + sum(weight * z + hinge * max(z, 0))`` with ``z = clip((value - centre) * inverse, -4, 4)``.

    Champion, challenger and prior all have this form. So one vectorised product scores any of them, and its terms are
    the contributions of the values to the log-odds.

    Attributes
    ----------
    centre, inverse
        Mean and 1 / sd of each value (0: never varied, contributes nothing).
    weight, hinge
        Weight of z, and the addition to it above the mean.
    bias
        Log-odds of a customer at the mean of every value.
    """

    centre: Floats
    inverse: Floats
    weight: Floats
    hinge: Floats
    bias: float

    def used(self) -> NDArray[np.bool_]:
        """Values that can change the log-odds."""
        return (self.inverse != 0.0) & ((self.weight != 0.0) | (self.hinge != 0.0))

    def take(self, columns: NDArray[np.intp], share: float = 1.0) -> LinearPredictor:
        """Select some of the values, with weights and bias multiplied by `share`."""
        return LinearPredictor(
            centre=self.centre[columns],
            inverse=self.inverse[columns],
            weight=self.weight[columns] * share,
            hinge=self.hinge[columns] * share,
            bias=self.bias * share,
        )

    def terms(self, values: Floats) -> Floats:
        """Contribution of each value to the log-odds: (n, k) for values (n, k), C-contiguous."""
        z = standardise(values, self.centre, self.inverse)
        terms = z * self.weight
        if self.hinge.any():
            np.maximum(z, 0.0, out=z)
            z *= self.hinge
            terms += z
        return terms

    def log_odds(self, values: Floats) -> Floats:
        """Log-odds (n,) of values (n, k): a sum per row, with the same bits in any batch."""
        return np.add.reduce(self.terms(values), axis=1) + self.bias
