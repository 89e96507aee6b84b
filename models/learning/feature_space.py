"""The feature space: which values a model sees of a customer, in which order, under which catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.features.catalogue import CATALOGUE, NAMES, RELATIVE

VALUE_LIMIT = 1e9
"""Raw values are held within this, so that sums of squares stay far from overflow whatever an event said (an amount of
1e300, an infinite ratio). The catalogue's transforms are bounded by about 20; this is for those that forget to be."""


PEER_WEIGHT = 0.7
"""Scale of the inputs that are relative to the population, against the raw ones: a slightly tighter prior, since each
repeats a raw one. The one constant of the recipe that matters much."""


@dataclass(frozen=True)
class FeatureSpace:
    """Names of the features, which of them are also read relative to the population, and the catalogue's checksum.

    A model works on *values*: the d raw features, then the r features that are relative, as difference from the
    population's current level. A holiday makes everybody silent; only the difference says who is leaving.

    Parameters
    ----------
    names
        Feature names, in the order of the columns.
    relative
        For each name: is it also used relative to the population?
    catalogue
        Checksum of the catalogue. A snapshot of another catalogue is refused.

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
        """Columns of the features that are also read relative to the population."""
        return np.flatnonzero(np.array(self.relative, dtype=bool))

    @cached_property
    def owner(self) -> NDArray[np.intp]:
        """For each value, the column of the feature it belongs to."""
        return np.concatenate([np.arange(self.size), self.relative_columns])

    @cached_property
    def value_names(self) -> tuple[str, ...]:
        """Names of the d + r values."""
        return self.names + tuple(f"{self.names[i]}~peers" for i in self.relative_columns)

    def values(self, x: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw values and differences from the population, NaN for missing: of one customer (d,) or a batch (n, d)."""
        raw = np.minimum(np.maximum(x, -VALUE_LIMIT), VALUE_LIMIT)
        columns = self.relative_columns
        level = np.minimum(np.maximum(m.take(columns, axis=-1), -VALUE_LIMIT), VALUE_LIMIT)
        return np.concatenate([raw, raw.take(columns, axis=-1) - level], axis=-1)

    def some_values(
        self, x: NDArray[np.float64], m: NDArray[np.float64], owner: NDArray[np.intp], raw: int
    ) -> NDArray[np.float64]:
        """The same of a batch, some values only: `owner` has their columns, of which the first `raw` are raw."""
        values = np.empty((len(x), len(owner)))
        values[:, :raw] = _held(x.take(owner[:raw], axis=1))
        np.subtract(_held(x.take(owner[raw:], axis=1)), _held(m.take(owner[raw:], axis=1)), out=values[:, raw:])
        return values

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Names of the model's inputs: the values, then a hinge (`name+`) for each raw feature."""
        return self.value_names + tuple(f"{name}+" for name in self.names)

    @cached_property
    def value_scale(self) -> NDArray[np.float64]:
        """What a scaled value is multiplied by to become an input."""
        return np.concatenate([np.ones(self.size), np.full(len(self.relative_columns), PEER_WEIGHT)])

    def inputs(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled values (d + r,) as the model's inputs: z raw, z relative, max(z raw, 0)."""
        return np.concatenate([z * self.value_scale, np.maximum(z[: self.size], 0.0)])


def _held(values: NDArray[np.float64]) -> NDArray[np.float64]:
    np.maximum(values, -VALUE_LIMIT, out=values)
    return np.minimum(values, VALUE_LIMIT, out=values)


SPACE: Final = FeatureSpace(NAMES, RELATIVE, CATALOGUE)
"""The space of the features in `models.features.catalogue`."""
