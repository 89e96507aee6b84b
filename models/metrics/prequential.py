"""Quality of a running model: each label judges the probability given before it was known, the past fades.

Prequential evaluation with a fading factor (Gama, Sebastiao, Rodrigues 2013). All state is sums over cells of
log-odds, so that two accumulators merge by adding, whatever the shares of labels they saw.
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
# Cells are even in log-odds, where churn rates of 1 % and of 50 % are told apart equally well: 0.1 wide from -10 to
# 10 (0.005 % to 99.995 %); an AUC from cells differs from the exact one by less than 0.001 on real scores.
CELL_WIDTH = 0.1
LOWEST_LOG_ODDS = -CELLS / 2 * CELL_WIDTH
HALF_LIFE_LABELS = 5_000  # the forgetting of the model itself: figures and weights look back equally far

_NEGATIVE, _POSITIVE, _PROBABILITY = 0, 1, 2


def cell(probability: float) -> int:
    """The cell of log-odds that a probability falls into, 0 to 199.

    >>> cell(0.0), cell(0.5), cell(1.0)
    (0, 100, 199)
    """
    p = min(max(probability, CLIP), 1 - CLIP)
    return min(max(math.floor((math.log(p / (1 - p)) - LOWEST_LOG_ODDS) / CELL_WIDTH), 0), CELLS - 1)


def _probability_at(edge: int) -> float:
    """The probability at the lower edge of a cell."""
    return 1 / (1 + math.exp(-(LOWEST_LOG_ODDS + edge * CELL_WIDTH)))


class Prequential:
    """Log loss, Brier score, AUC and ECE of the labels so far, each counting half after `half_life` more labels.

    `half_life` None never forgets. `update` takes some 2 us.

    >>> quality = Prequential()
    >>> for p, y in [(0.8, 1), (0.3, 0), (0.6, 1), (0.4, 0)]:
    ...     quality.update(p, y)
    >>> round(quality.log_loss, 4), round(quality.auc, 4)
    (0.4004, 1.0)
    """

    def __init__(self, half_life: float | None = HALF_LIFE_LABELS) -> None:
        if half_life is not None and not half_life > 0:
            raise ValueError("half_life must be above 0 labels, or None")
        self.half_life = half_life
        self.labels = 0  # not decayed: how many were seen
        self._keep = 1.0 if half_life is None else 0.5 ** (1 / half_life)
        self._log_loss = 0.0
        self._squared_error = 0.0
        self._cells: Floats = np.zeros((3, CELLS))

    def update(self, probability: float, label: int) -> None:
        """Learn one outcome. Raises ValueError for what is no probability or no label."""
        if not 0 <= probability <= 1 or label not in (0, 1):
            raise ValueError(f"probability {probability!r} and label {label!r} are not of an example")
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
        """The sums of both, as a new accumulator. Raises ValueError when they forget at different speeds."""
        if self.half_life != other.half_life:
            raise ValueError(f"half-lives differ: {self.half_life} and {other.half_life} labels")
        both = Prequential(self.half_life)
        both.labels = self.labels + other.labels
        both._log_loss = self._log_loss + other._log_loss
        both._squared_error = self._squared_error + other._squared_error
        both._cells = self._cells + other._cells
        return both

    @property
    def weight(self) -> float:
        """Decayed number of labels; at most `half_life` / ln 2, some 7,200 for 5,000."""
        return float(self._cells[: _POSITIVE + 1].sum())

    @property
    def rate(self) -> float | None:
        """Decayed share of churners."""
        return self._mean(float(self._cells[_POSITIVE].sum()))

    @property
    def mean_probability(self) -> float | None:
        return self._mean(float(self._cells[_PROBABILITY].sum()))

    @property
    def log_loss(self) -> float | None:
        return self._mean(self._log_loss)

    @property
    def brier(self) -> float | None:
        return self._mean(self._squared_error)

    @property
    def auc(self) -> float | None:
        """From the cells: customers of one cell count as tied."""
        return weighted_auc(self._cells[_NEGATIVE], self._cells[_POSITIVE])

    @property
    def ece(self) -> float | None:
        """Over 15 bins of equal mass, made of whole cells."""
        if not self.labels:
            return None
        weight, positives, probability = self._filled()
        return weighted_ece(weight, positives, probability, BINS)

    def reliability(self, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
        """What was said and what came of it, in the bins of `ece`; counts are decayed, and rounded."""
        if not self.labels:
            return ()
        weight, positives, probability = self._filled()
        edges = np.flatnonzero(self._cells[: _POSITIVE + 1].sum(axis=0))
        bin_of = equal_mass_bins(weight, bins)
        table = []
        for one in np.unique(bin_of):
            rows = bin_of == one
            n, churned = float(weight[rows].sum()), float(positives[rows].sum())
            table.append(
                ReliabilityBin(
                    round(n),
                    round(churned),
                    _probability_at(int(edges[rows][0])),
                    _probability_at(int(edges[rows][-1]) + 1),
                    float(probability[rows].sum()) / n,
                    churned / n,
                    *wilson(churned, n),
                )
            )
        return tuple(table)

    def to_state(self) -> dict[str, Any]:
        """Plain JSON values; `from_state` reads them back to the same bits."""
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
        """Raises ValueError, KeyError or TypeError for what `to_state` never writes."""
        read = cls(state["half_life"])
        read.labels = int(state["labels"])
        read._log_loss, read._squared_error = float(state["log_loss"]), float(state["squared_error"])
        for at, *sums in state["cells"]:
            if not 0 <= at < CELLS or len(sums) != 3 or not all(math.isfinite(one) and one >= 0 for one in sums):
                raise ValueError(f"cell {at!r} is not of a prequential state")
            read._cells[:, at] = sums
        return read

    def _mean(self, total: float) -> float | None:
        weight = self.weight
        return total / weight if weight > 0 else None

    def _filled(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], Floats]:
        weight = self._cells[_NEGATIVE] + self._cells[_POSITIVE]
        filled = weight > 0
        return weight[filled], self._cells[_POSITIVE][filled], self._cells[_PROBABILITY][filled]
