"""The feature space: names, order and catalogue of the values that a model reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.features.catalogue import CATALOGUE, NAMES, RELATIVE

VALUE_LIMIT = 1e9
"""Bound of raw values, so that sums of squares cannot overflow for any event (an amount of 1e300, an infinite ratio).
The catalogue's transforms are bounded by about 20; this bound protects against a transform that is not."""


PEER_WEIGHT = 0.7
"""Scale of peer-relative inputs against raw inputs: a slightly tighter prior, because each repeats a raw input. Of the
model's constants, this is the one with a large effect."""


@dataclass(frozen=True)
class FeatureSpace:
    """Names of the features, whether each is also read relative to its peer mean, and the catalogue's checksum.

    A model reads *values*: the d raw features, then the r relative features as differences from the current peer means.
    On a holiday all customers are less active; only the difference shows who is leaving.

    Parameters
    ----------
    names
        Feature names, in the order of the columns.
    relative
        For each name: whether it is also read relative to its peer mean.
    catalogue
        Checksum of the catalogue. A model snapshot with another catalogue is refused.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days", "n_7d"), (False, True), "c0ffee")
    >>> space.value_names
    ('recency_days', 'n_7d', 'n_7d~peers')
    >>> space.values(np.array([3.0, 5.0]), np.array([np.nan, 4.0]))
    array([3., 5., 1.])
    """

    names: tuple[str, ...]
    relative: tuple[bool, ...]
    catalogue: str

    def __post_init__(self) -> None:
        if len(self.names) != len(self.relative):
            raise ValueError(f"{len(self.names)} names but {len(self.relative)} relative flags")
        if len(set(self.names)) != len(self.names):
            raise ValueError("feature names are not unique")

    @property
    def size(self) -> int:
        """d, the number of features."""
        return len(self.names)

    @cached_property
    def relative_columns(self) -> NDArray[np.intp]:
        """Columns of the features that are also read relative to their peer means."""
        return np.flatnonzero(np.array(self.relative, dtype=bool))

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """Column of the feature that each value belongs to."""
        return np.concatenate([np.arange(self.size), self.relative_columns])

    @cached_property
    def value_names(self) -> tuple[str, ...]:
        """Names of the d + r values."""
        return self.names + tuple(f"{self.names[i]}~peers" for i in self.relative_columns)

    def values(self, x: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw values and differences from the peer means, NaN for missing: of one customer (d,) or a batch (n, d)."""
        raw = np.minimum(np.maximum(x, -VALUE_LIMIT), VALUE_LIMIT)
        columns = self.relative_columns
        level = np.minimum(np.maximum(m.take(columns, axis=-1), -VALUE_LIMIT), VALUE_LIMIT)
        return np.concatenate([raw, raw.take(columns, axis=-1) - level], axis=-1)

    def some_values(
        self, x: NDArray[np.float64], m: NDArray[np.float64], owner: NDArray[np.intp], raw: int
    ) -> NDArray[np.float64]:
        """Like `values`, for some values of a batch: those of the columns `owner`, of which the first `raw` are raw."""
        values = np.empty((len(x), len(owner)))
        values[:, :raw] = _bounded(x.take(owner[:raw], axis=1))
        np.subtract(_bounded(x.take(owner[raw:], axis=1)), _bounded(m.take(owner[raw:], axis=1)), out=values[:, raw:])
        return values

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the model's inputs: the values, then a hinge (`name+`) for each raw feature."""
        return self.value_names + tuple(f"{name}+" for name in self.names)

    @cached_property
    def value_scale(self) -> NDArray[np.float64]:
        """Factor from a scaled value to an input."""
        return np.concatenate([np.ones(self.size), np.full(len(self.relative_columns), PEER_WEIGHT)])

    def inputs(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert scaled values (d + r,) to the model's inputs: z raw, z relative, max(z raw, 0)."""
        return np.concatenate([z * self.value_scale, np.maximum(z[: self.size], 0.0)])


def _bounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    np.maximum(values, -VALUE_LIMIT, out=values)
    return np.minimum(values, VALUE_LIMIT, out=values)


SPACE: Final = FeatureSpace(NAMES, RELATIVE, CATALOGUE)
"""The space of the features in `models.features.catalogue`."""
