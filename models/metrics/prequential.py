"""Prequential evaluation of a running model: each label scores the probability predicted before it was known.

A fading factor discounts old labels (Gama, Sebastiao, Rodrigues 2013). All state is sums over cells of log-odds, so two
accumulators merge by addition, whatever their shares of the labels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from models.metrics.classification import (
    BINS,
    CLIP,
    Floats,
    ReliabilityBin,
    equal_mass_bins,
    weighted_auc,
    weighted_ece,
    wilson,
)

CELLS = 200
# Cells have equal width in log-odds, so they resolve churn rates of 1% and of 50% equally well: 0.1 wide from -10 to 10
# (0.005% to 99.995%). An AUC from cells differs from the exact one by less than 0.001 on real scores.
CELL_WIDTH = 0.1
LOWEST_LOG_ODDS = -CELLS / 2 * CELL_WIDTH
HALF_LIFE_LABELS = 5_000  # equal to the model's own forgetting

_NEGATIVE, _POSITIVE, _PROBABILITY = 0, 1, 2


def cell(probability: float) -> int:
    """Return the log-odds cell of a probability, 0 to 199.

    >>> cell(0.0), cell(0.5), cell(1.0)
    (0, 100, 199)
    """
    p = min(max(probability, CLIP), 1 - CLIP)
    return min(max(math.floor((math.log(p / (1 - p)) - LOWEST_LOG_ODDS) / CELL_WIDTH), 0), CELLS - 1)


def _probability_at(edge: int) -> float:
    """Return the probability at the lower edge of a cell."""
    return 1 / (1 + math.exp(-(LOWEST_LOG_ODDS + edge * CELL_WIDTH)))


class Prequential:
    """Log loss, Brier score, AUC and ECE of the labels so far. A label's weight halves every `half_life` labels.

    With `half_life` None nothing fades. `update` takes some 2 us.

    >>> quality = Prequential()
    >>> for p, y in [(0.8, 1), (0.3, 0), (0.6, 1), (0.4, 0)]:
    ...     quality.update(p, y)
    >>> round(quality.log_loss, 4), round(quality.auc, 4)
    (0.4004, 1.0)
    """

    def __init__(self, half_life: float | None = HALF_LIFE_LABELS) -> None:
        if half_life is not None and not half_life > 0:
            raise ValueError("half_life must be a number of labels above 0, or None")
        self.half_life = half_life
        self.labels = 0  # number of labels, not decayed
        self._keep = 1.0 if half_life is None else 0.5 ** (1 / half_life)
        self._log_loss = 0.0
        self._squared_error = 0.0
        self._cells: Floats = np.zeros((3, CELLS))

    def update(self, probability: float, label: int) -> None:
        """Add one outcome. Raises ValueError for an invalid probability or label."""
        if not 0 <= probability <= 1 or label not in (0, 1):
            raise ValueError(f"probability {probability!r} must be in [0, 1] and label {label!r} must be 0 or 1")
        p = min(max(probability, CLIP), 1 - CLIP)
        keep = self._keep
        self.labels += 1
        self._log_loss = keep * self._log_loss - (math.log(p) if label else math.log1p(-p))
        self._squared_error = keep * self._squared_error + (probability - label) ** 2
        if keep != 1.0:
            self._cells *= keep
        at = cell(probability)
        self._cells[_POSITIVE if label else _NEGATIVE, at] += 1
        self._cells[_PROBABILITY, at] += probability

    def merge(self, other: Prequential) -> Prequential:
        """Add up two accumulators as a new one. Raises ValueError if their half-lives differ."""
        if self.half_life != other.half_life:
            raise ValueError(f"half-lives differ: {self.half_life} and {other.half_life} labels")
        merged = Prequential(self.half_life)
        merged.labels = self.labels + other.labels
        merged._log_loss = self._log_loss + other._log_loss
        merged._squared_error = self._squared_error + other._squared_error
        merged._cells = self._cells + other._cells
        return merged

    @property
    def weight(self) -> float:
        """Decayed number of labels; at most `half_life` / ln 2, some 7,200 for 5,000."""
        return float(self._cells[: _POSITIVE + 1].sum())

    @property
    def rate(self) -> float | None:
        """Decayed churn rate."""
        return self._mean(float(self._cells[_POSITIVE].sum()))

    @property
    def mean_probability(self) -> float | None:
        """Decayed mean of the predicted probabilities."""
        return self._mean(float(self._cells[_PROBABILITY].sum()))

    @property
    def log_loss(self) -> float | None:
        """Decayed mean log loss."""
        return self._mean(self._log_loss)

    @property
    def brier(self) -> float | None:
        """Decayed mean squared error of the probability."""
        return self._mean(self._squared_error)

    @property
    def auc(self) -> float | None:
        """AUC from the cells; customers in one cell count as tied."""
        return weighted_auc(self._cells[_NEGATIVE], self._cells[_POSITIVE])

    @property
    def ece(self) -> float | None:
        """ECE over 15 bins of equal mass, made of whole cells."""
        if not self.labels:
            return None
        weight, positives, probability = self._filled()
        return weighted_ece(weight, positives, probability, BINS)

    def reliability(self, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
        """Return predicted and actual rates in the bins of `ece`. Counts are decayed and rounded."""
        if not self.labels:
            return ()
        weight, positives, probability = self._filled()
        edges = np.flatnonzero(self._cells[: _POSITIVE + 1].sum(axis=0))
        bin_of = equal_mass_bins(weight, bins)
        table = []
        for index in np.unique(bin_of):
            rows = bin_of == index
            n, churned = float(weight[rows].sum()), float(positives[rows].sum())
            low, high = wilson(churned, n)
            table.append(
                ReliabilityBin(
                    n=round(n),
                    positives=round(churned),
                    lowest=_probability_at(int(edges[rows][0])),
                    highest=_probability_at(int(edges[rows][-1]) + 1),
                    mean_probability=float(probability[rows].sum()) / n,
                    rate=churned / n,
                    rate_low=low,
                    rate_high=high,
                )
            )
        return tuple(table)

    def to_state(self) -> dict[str, Any]:
        """Return the state as JSON values. `from_state` restores the same bits."""
        filled = np.flatnonzero(self._cells[: _POSITIVE + 1].sum(axis=0))
        return {
            "half_life": self.half_life,
            "labels": self.labels,
            "log_loss": self._log_loss,
            "squared_error": self._squared_error,
            "cells": [[int(at), *self._cells[:, at].tolist()] for at in filled],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Prequential:
        """Restore a state of `to_state`. Raises ValueError, KeyError or TypeError for an invalid state."""
        restored = cls(state["half_life"])
        restored.labels = int(state["labels"])
        restored._log_loss, restored._squared_error = float(state["log_loss"]), float(state["squared_error"])
        for at, *sums in state["cells"]:
            if not 0 <= at < CELLS or len(sums) != 3 or not all(math.isfinite(value) and value >= 0 for value in sums):
                raise ValueError(f"cell {at!r} of the prequential state is invalid")
            restored._cells[:, at] = sums
        return restored

    def _mean(self, total: float) -> float | None:
        weight = self.weight
        return total / weight if weight > 0 else None

    def _filled(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Floats]:
        weight = self._cells[_NEGATIVE] + self._cells[_POSITIVE]
        filled = weight > 0
        return weight[filled], self._cells[_POSITIVE][filled], self._cells[_PROBABILITY][filled]
