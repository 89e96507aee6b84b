"""The champion: scaler, input encoding and Bayesian logistic regression, on the inputs that have varied so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.learning.bayesian_logistic import BIAS, BayesianLogisticRegression
from models.learning.feature_space import FeatureSpace
from models.learning.linear_predictor import LinearPredictor
from models.learning.scaler import Scaler


class Champion:
    """`BayesianLogisticRegression` on scaled values of a feature space.

    An input takes part from the first label in which it is not 0. Before, its weight is 0 and its row of the covariance
    is its prior. So leaving it out is exact, and the cost of learning depends on the inputs in use only.
    """

    def __init__(self, space: FeatureSpace) -> None:
        self.space = space
        self.scaler = Scaler(len(space.value_names))
        self.classifier = BayesianLogisticRegression()
        self._columns = np.zeros(0, dtype=np.intp)  # inputs by position in the classifier, from 2 on
        self._idle = np.ones(len(space.input_names), dtype=bool)

    @property
    def input_columns(self) -> NDArray[np.intp]:
        """Columns of the inputs that the classifier knows, in the order of its positions from 2 on."""
        return self._columns

    def learn(self, values: NDArray[np.float64], y: bool, day: int) -> float:
        """Learn one label. Return the log-odds predicted before, without the cohort effect."""
        inputs = self.space.inputs(self.scaler.learn(values))
        fresh = np.logical_and(inputs, self._idle).nonzero()[0]
        if len(fresh):
            self._add_inputs(fresh)
        row = np.empty(2 + len(self._columns))
        row[BIAS] = 1.0
        row[2:] = inputs.take(self._columns)
        weights = self.classifier.weights
        before = float(np.add.reduce(weights[2:] * row[2:]) + weights[BIAS])
        self.classifier.learn_row(row, y, day)
        return before

    def input_one(self, values: NDArray[np.float64]) -> dict[str, float]:
        """Inputs of one example by name, for the classifier's River interface."""
        inputs = self.space.inputs(self.scaler.transform(values))
        return dict(zip(self.space.input_names, inputs.tolist(), strict=True))

    def linear(self) -> LinearPredictor:
        """Return the classifier as weights on scaled values."""
        full = np.zeros(len(self.space.input_names))
        full[self._columns] = self.classifier.weights[2:]
        size = len(self.space.value_names)
        hinge = np.zeros(size)
        hinge[: self.space.size] = full[size:]
        return LinearPredictor(
            centre=self.scaler.mean.copy(),
            inverse=self.scaler.inverse_sd(),
            weight=full[:size] * self.space.value_scale,
            hinge=hinge,
            bias=float(self.classifier.weights[BIAS]),
        )

    def _add_inputs(self, fresh: NDArray[np.intp]) -> None:
        self._columns = np.concatenate([self._columns, fresh])
        self._idle[fresh] = False
        self.classifier.add(self.space.input_names[i] for i in fresh)

    def scoring_state(self) -> dict[str, Any]:
        """The state that predicting needs."""
        return {"scaler": self.scaler.state(), **self.classifier.scoring_state()}

    def training_state(self) -> dict[str, Any]:
        """The additional state that learning needs."""
        return self.classifier.training_state()

    @classmethod
    def restore(
        cls, space: FeatureSpace, scoring: Mapping[str, Any], training: Mapping[str, Any] | None = None
    ) -> Champion:
        """Return the champion that the states were taken from."""
        champion = cls(space)
        champion.scaler = Scaler.restore(scoring["scaler"])
        champion.classifier.restore(scoring, training)
        column = {name: i for i, name in enumerate(space.input_names)}
        champion._columns = np.array([column[name] for name in scoring["names"]], dtype=np.intp)
        champion._idle[champion._columns] = False
        return champion
