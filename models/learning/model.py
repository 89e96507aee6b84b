"""The churn model: learns from matured labels, scores customers, and serialises to a model snapshot.

The active model is blended with a prior in log-odds, with a weight that grows with the number of labels
(`models.learning.prior.trust`). Which of champion and challenger is active is decided by their prequential log loss
(`models.learning.champion_challenger`). A separate model predicts involuntary churn
(`models.learning.involuntary_model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import orjson
import xxhash
from numpy.typing import NDArray

from models.learning.bayesian_logistic import sigmoid
from models.learning.challenger import Challenger
from models.learning.champion import Champion
from models.learning.champion_challenger import ChampionSelector, ChampionSwitch
from models.learning.feature_space import FeatureSpace
from models.learning.involuntary_model import InvoluntaryModel
from models.learning.model_snapshot import ModelSnapshotError, pack, unpack
from models.learning.prior import Prior, trust
from models.learning.quality_log import QualityLog
from models.learning.scorer import Scorer, Scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PrequentialQuality:
    """Prequential quality: decayed log losses of predictions made before their label was known, and counts.

    `answer` is the log loss of the published probability, `active` the name of the active model.
    """

    champion: float
    challenger: float
    prior: float
    answer: float
    active: str
    labels: int
    positives: int
    trust: float
    switches: tuple[ChampionSwitch, ...]


class InvoluntaryTarget(Protocol):
    """An involuntary label and the probability that was predicted for it, None if unknown."""

    @property
    def label(self) -> int: ...
    @property
    def probability(self) -> float | None: ...


class ModelScorer(Scorer):
    """A scorer of voluntary churn, with a scorer of involuntary churn."""

    def __init__(
        self,
        space: FeatureSpace,
        champion: Champion,
        challenger: Challenger,
        prior: Prior,
        active: str,
        labels: int,
        version: str,
        involuntary: Scorer | None,
    ) -> None:
        super().__init__(space, champion, challenger, prior, active, labels, version)
        self._involuntary = involuntary

    @cached_property
    def involuntary(self) -> Scorer:
        """Scorer of involuntary churn; until there are labels it scores by its prior."""
        return self._involuntary if self._involuntary is not None else InvoluntaryModel(self.space).scorer(self.version)


class Model:
    """Champion, challenger and prior behind one small interface: `learn`, `score`, `snapshot`.

    The order of learning matters. Days of release must ascend; labels that mature together must come in an arbitrary
    but fixed order (by a hash of customer and snapshot).

    There is no calibrator. Platt scaling, isotonic regression and bias-only calibration on released labels all raised
    the log loss on real logs: base rates drift while labels mature, and the drifting bias already follows them as far
    as possible.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days", "n_30d"), (False, True), "c0ffee")
    >>> model = Model(space)
    >>> rng = np.random.default_rng(1)
    >>> for i in range(3000):
    ...     x = rng.normal(size=2)
    ...     y = rng.random() < 1 / (1 + np.exp(1.5 - x[0] + 2 * x[1]))
    ...     model.learn(x, np.array([np.nan, 0.0]), bool(y), release_day=i // 100)
    >>> model.version.split("-")[0], model.quality.active, round(model.quality.champion, 2)
    ('3000', 'champion', 0.42)
    >>> scores = model.score(np.array([[1.0, -1.0], [0.0, 1.0]]), np.array([[np.nan, 0.0], [np.nan, 0.0]]))
    >>> scores.probability.round(2), scores.ci90().round(2)
    (array([0.67, 0.06]), array([[0.63, 0.71],
           [0.05, 0.07]]))
    """

    def __init__(self, space: FeatureSpace) -> None:
        self.space = space
        self.champion = Champion(space)
        self.challenger = Challenger(space)
        self.prior = Prior(space)
        self.selector = ChampionSelector()
        self.quality_log = QualityLog()
        self.labels = 0
        self.positives = 0
        self.involuntary: InvoluntaryModel | None = None  # created by the first involuntary label
        self._scorer: ModelScorer | None = None

    def learn(
        self,
        x: Floats,
        m: Floats,
        y: bool,
        release_day: int,
        probability: float | None = None,
        members: Sequence[float] | None = None,
        involuntary: InvoluntaryTarget | None = None,
    ) -> None:
        """Learn one matured label.

        Parameters
        ----------
        x, m
            Raw features (d,) and peer means (d,), as frozen at the snapshot; NaN for missing.
        y
            The label.
        release_day
            Day since 1970 on which the label was released.
        probability
            The probability that was predicted at the snapshot. Without it, the current prediction is measured.
        members
            The probabilities that champion, challenger and prior predicted at the snapshot (`Scores.members`). Without
            them, their predictions just before learning the label are measured.
        involuntary
            The involuntary label and the probability predicted for it; see `models.definition.competing_risks`.
        """
        values = self.space.values(x, m)
        label = bool(y)
        before = (
            self.champion.learn(values, label, release_day),
            self.challenger.learn(values, label),
            self.prior.learn(values, label),
        )
        champion, challenger, prior = self._blended(before) if members is None else members
        if probability is None or probability != probability:
            probability = champion if self.selector.active == "champion" else challenger
        self.selector.update(label, release_day, champion, challenger, prior, probability)
        self.quality_log.update(label, release_day, probability, prior)
        self.labels += 1
        self.positives += label
        if involuntary is not None:
            if self.involuntary is None:
                self.involuntary = InvoluntaryModel(self.space)
            self.involuntary.learn(x, m, bool(involuntary.label), release_day, involuntary.probability)
        self._scorer = None

    def score(self, x: Floats, m: Floats) -> Scores:
        """Score raw features (n, d) against peer means (n, d)."""
        return self.scorer().score(x, m)

    def scorer(self) -> ModelScorer:
        """Return an immutable view for scoring, created once per version."""
        if self._scorer is None:
            self._scorer = self._view(self.version)
        return self._scorer

    @property
    def version(self) -> str:
        """Number of labels learned, and a digest of all state that scores depend on."""
        return f"{self.labels}-{xxhash.xxh3_64_hexdigest(orjson.dumps(self._scoring_state()))[:10]}"

    @property
    def quality(self) -> PrequentialQuality:
        """Decayed prequential quality."""
        return PrequentialQuality(
            **self.selector.losses,
            active=self.selector.active,
            labels=self.labels,
            positives=self.positives,
            trust=trust(self.labels),
            switches=tuple(self.selector.switches),
        )

    # --- model snapshot ---

    def snapshot(self) -> bytes:
        """Serialise the whole model as JSON."""
        training = {
            "champion": self.champion.training_state(),
            "contest": self.selector.state(),
            "journal": self.quality_log.state(),
            "positives": self.positives,
        }
        if self.involuntary is not None:
            training["involuntary"] = self.involuntary.training_state()
        return pack(self.space, self.version, self._scoring_state(), training)

    @classmethod
    def restore(cls, value: bytes, space: FeatureSpace) -> Model:
        """Restore the model of a model snapshot: it scores and learns with the same bits.

        Raises
        ------
        ModelSnapshotError
            If the snapshot has another schema or catalogue, or is damaged.
        """
        parts = unpack(value, space)
        try:
            model = cls._from_scoring(space, parts["scoring"], parts["training"])
            model.selector = ChampionSelector.restore(parts["training"]["contest"])
            model.quality_log = QualityLog.restore(parts["training"].get("journal"))
            model.positives = parts["training"]["positives"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelSnapshotError(f"not a model snapshot: {type(error).__name__}: {error}") from error
        return model

    @classmethod
    def restore_scorer(cls, value: bytes, space: FeatureSpace) -> ModelScorer:
        """Restore only the scorer of a model snapshot.

        Raises
        ------
        ModelSnapshotError
            As `restore`.
        """
        parts = unpack(value, space)
        try:
            model = cls._from_scoring(space, parts["scoring"])
            return model._view(str(parts["version"]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelSnapshotError(f"not a model snapshot: {type(error).__name__}: {error}") from error

    def _blended(self, log_odds: tuple[float, float, float]) -> tuple[float, float, float]:
        """Probabilities of champion and challenger blended with the prior, and of the prior alone, from log-odds."""
        w = trust(self.labels)
        champion, challenger, prior = log_odds
        return (
            sigmoid(w * champion + (1.0 - w) * prior),
            sigmoid(w * challenger + (1.0 - w) * prior),
            sigmoid(prior),
        )

    def _scoring_state(self) -> dict[str, Any]:
        state = {
            "labels": self.labels,
            "answering": self.selector.active,
            "champion": self.champion.scoring_state(),
            "challenger": self.challenger.state(),
            "prior": self.prior.state(),
        }
        return state if self.involuntary is None else state | {"involuntary": self.involuntary.scoring_state()}

    @classmethod
    def _from_scoring(
        cls, space: FeatureSpace, scoring: dict[str, Any], training: dict[str, Any] | None = None
    ) -> Model:
        model = cls(space)
        model.labels = scoring["labels"]
        model.selector.active = scoring["answering"]
        model.champion = Champion.restore(
            space, scoring["champion"], None if training is None else training["champion"]
        )
        model.challenger = Challenger.restore(space, scoring["challenger"])
        model.prior = Prior.restore(space, scoring["prior"])
        if "involuntary" in scoring:
            involuntary = None if training is None else training["involuntary"]
            model.involuntary = InvoluntaryModel.restore(space, scoring["involuntary"], involuntary)
        return model

    def _view(self, version: str) -> ModelScorer:
        return ModelScorer(
            space=self.space,
            champion=self.champion,
            challenger=self.challenger,
            prior=self.prior,
            active=self.selector.active,
            labels=self.labels,
            version=version,
            involuntary=None if self.involuntary is None else self.involuntary.scorer(version),
        )
