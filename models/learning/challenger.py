"""The challenger: River's StandardScaler | LogisticRegression, trained on the same values from the first label on.

River's linear models import SciPy's statistics, which takes half of a worker's start. Workers predict and never learn,
so River is imported with the first label or the first use of the pipeline.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from models.learning.bayesian_logistic import logit
from models.learning.feature_space import FeatureSpace
from models.learning.linear_predictor import LinearPredictor
from models.learning.scaler import CLIP

if TYPE_CHECKING:
    from river import compose

LEARNING_RATE = 0.002
"""Learning rate of stochastic gradient descent: the best of .001 to .01 on two real logs with these inputs."""


def clip(x: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Clip scaled values to 4 standard deviations.

    River's scaler does not bound its output: after a thousand zeros a value of 1 is 31 standard deviations away, and
    one such label costs more log loss than a hundred ordinary labels.

    >>> clip({"a": 31.6, "b": -0.5})
    {'a': 4.0, 'b': -0.5}
    """
    return {name: min(max(value, -CLIP), CLIP) for name, value in x.items()}


def pipeline() -> compose.Pipeline:
    """Return an untrained `StandardScaler | clip | LogisticRegression`."""
    from river import compose, linear_model, optim, preprocessing

    return compose.Pipeline(
        ("scale", preprocessing.StandardScaler()),
        ("clip", compose.FuncTransformer(clip)),
        ("classify", linear_model.LogisticRegression(optim.SGD(LEARNING_RATE))),
    )


_UNTRAINED: Final[Mapping[str, Any]] = {
    "scaler": [],
    "weights": [],
    "intercept": 0.0,
    "iterations": 0,
    "constant": [],
}


class Challenger:
    """River's pipeline behind the same interface as the champion.

    Pitfalls of the pipeline, and how this class handles them:

    * `StandardScaler` silently maps a value without variance to 0. The champion does the same; in this project it is
      the documented rule that a value that never varied has no effect.
    * A missing value must be absent from the dictionary: NaN would turn every weight into NaN.
    * Inputs are unbounded, and so is the log loss: `clip`.
    * Sums follow the order of a dictionary. Values are always passed in the order of the catalogue, a model snapshot
      keeps the order in which weights were created, and scores are computed from arrays (`linear`), equal to
      `predict_proba_one` to 1e-9.
    * A dictionary entry costs the same for a value that never varies, although it has no effect. Such a value is only
      counted, and enters the scaler with its count and mean when it first varies, as if it had always been there.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days",), (True,), "c0ffee")
    >>> challenger = Challenger(space)
    >>> for i in range(400):
    ...     p = challenger.learn(space.values(np.array([float(i % 7)]), np.array([3.0])), i % 7 > 3)
    >>> [round(challenger.pipeline.predict_proba_one({"recency_days": v})[True], 2) for v in (0.0, 6.0)]
    [0.35, 0.56]
    """

    def __init__(self, space: FeatureSpace) -> None:
        self.space = space
        self._pipeline: compose.Pipeline | None = None
        self._stored = _UNTRAINED
        size = len(space.value_names)
        self._constant = np.full(size, np.nan)  # the only number so far of a value that never varied
        self._seen = np.zeros(size, dtype=np.int64)
        self._varied = np.zeros(size, dtype=bool)
        self._inputs: tuple[NDArray[np.intp], tuple[str, ...]] = (np.zeros(0, dtype=np.intp), ())

    @property
    def pipeline(self) -> compose.Pipeline:
        """River's pipeline."""
        if self._pipeline is None:
            self._pipeline = _filled(self._stored)
        return self._pipeline

    def learn(self, values: NDArray[np.float64], y: bool) -> float:
        """Learn one label. Return the log-odds predicted before."""
        scaler, classifier = self.pipeline["scale"], self.pipeline["classify"]
        self._count(values)
        x = self.input_one(values)
        # the steps of pipeline.learn_one, with the prediction in the same pass
        scaler.learn_one(x)
        z = clip(scaler.transform_one(x))
        before = logit(float(classifier.predict_proba_one(z)[True]))
        classifier.learn_one(z, y)
        return before

    def input_one(self, values: NDArray[np.float64]) -> dict[str, float]:
        """Values of one example by name, without missing values and values that never varied."""
        columns, names = self._inputs
        named = zip(names, values.take(columns).tolist(), strict=True)
        return {name: value for name, value in named if value == value}

    def _count(self, values: NDArray[np.float64]) -> None:
        """Count values that never varied; a value that varies for the first time enters the scaler with its count."""
        known = ~(np.isnan(values) | self._varied)
        if not known.any():
            return
        first = known & np.isnan(self._constant)
        self._constant[first] = values[first]
        fresh = (known & (values != self._constant)).nonzero()[0]
        if len(fresh):
            scaler = self.pipeline["scale"]
            for i in fresh.tolist():
                name = self.space.value_names[i]
                scaler.counts[name], scaler.means[name] = int(self._seen[i]), float(self._constant[i])
            self._varied[fresh] = True
            self._seen[fresh] = 0
            self._constant[fresh] = np.nan
            self._list_inputs()
            known[fresh] = False
        self._seen += known

    def _list_inputs(self) -> None:
        columns = self._varied.nonzero()[0]
        self._inputs = (columns, tuple(self.space.value_names[i] for i in columns.tolist()))

    def linear(self) -> LinearPredictor:
        """Return the pipeline as weights on scaled values."""
        names, state = self.space.value_names, self.state()
        means = {name: mean for name, _, mean, _ in state["scaler"]}
        variances = {name: variance for name, _, _, variance in state["scaler"]}
        weights = dict(state["weights"])
        variance = np.array([variances.get(name, 0.0) for name in names])
        variance[variance <= 0.0] = np.inf
        return LinearPredictor(
            centre=np.array([means.get(name, 0.0) for name in names]),
            inverse=1.0 / np.sqrt(variance),
            weight=np.array([float(weights.get(name, 0.0)) for name in names]),
            hinge=np.zeros(len(names)),
            bias=float(state["intercept"]),
        )

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`, exact to the bit, each mapping in its own order."""
        if self._pipeline is None:
            return dict(self._stored)
        scaler, classifier = self.pipeline["scale"], self.pipeline["classify"]
        return {
            "scaler": [[name, n, scaler.means[name], scaler.vars[name]] for name, n in scaler.counts.items()],
            "weights": [[name, weight] for name, weight in classifier.weights.items()],
            "intercept": classifier.intercept,
            "iterations": classifier.optimizer.n_iterations,
            "constant": [[int(i), int(self._seen[i]), float(self._constant[i])] for i in self._seen.nonzero()[0]],
        }

    @classmethod
    def restore(cls, space: FeatureSpace, state: Mapping[str, Any]) -> Challenger:
        """Return the challenger that `state` was taken from."""
        challenger = cls(space)
        challenger._stored = state
        challenger._varied[[space.value_names.index(name) for name, *_ in state["scaler"]]] = True
        challenger._list_inputs()
        for column, seen, constant in state["constant"]:
            challenger._seen[column], challenger._constant[column] = seen, constant
        return challenger


def _filled(state: Mapping[str, Any]) -> compose.Pipeline:
    """Return the pipeline with a state that `Challenger.state` returned."""
    from river.utils import VectorDict

    filled = pipeline()
    scaler, classifier = filled["scale"], filled["classify"]
    for name, count, mean, variance in state["scaler"]:
        scaler.counts[name], scaler.means[name], scaler.vars[name] = count, mean, variance
    classifier._weights = VectorDict(dict(state["weights"]))
    classifier.intercept = state["intercept"]
    classifier.optimizer.n_iterations = state["iterations"]
    return filled
