"""The model: learns from matured labels, answers for customers, and becomes data."""

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
from models.learning.model_snapshot import SnapshotError, pack, unpack
from models.learning.prior import Prior, trust
from models.learning.quality_log import QualityLog
from models.learning.scorer import Scorer, Scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PrequentialQuality:
    """How good the model has been on labels it had not seen: decayed prequential log losses and counts."""

    champion: float
    challenger: float
    prior: float
    answer: float
    answering: str
    labels: int
    positives: int
    trust: float
    switches: tuple[ChampionSwitch, ...]


class InvoluntaryTarget(Protocol):
    """A label of losses by payment, and the probability that had been given to it; None: unknown."""

    @property
    def label(self) -> int: ...
    @property
    def probability(self) -> float | None: ...


class ModelScorer(Scorer):
    """A scorer that can be asked for losses by payment too."""

    def __init__(
        self,
        space: FeatureSpace,
        champion: Champion,
        challenger: Challenger,
        prior: Prior,
        answering: str,
        labels: int,
        version: str,
        involuntary: Scorer | None,
    ) -> None:
        super().__init__(space, champion, challenger, prior, answering, labels, version)
        self._second = involuntary

    @cached_property
    def involuntary(self) -> Scorer:
        """Of losses by payment; its prior answers until there are labels."""
        return self._second if self._second is not None else InvoluntaryModel(self.space).scorer(self.version)


class Model:
    """Champion, challenger and prior behind one small interface: `learn`, `score`, `snapshot`.

    The order of learning matters: labels that mature together must be given in an order without meaning (a hash of
    customer and snapshot), days of release ascending.

    There is no calibrator. Platt's, isotonic and bias-only calibrators on released labels all raised the log loss on
    real logs: base rates drift over a label's age, and the bias that walks already follows what can be followed.

    Examples
    --------
    >>> space = FeatureSpace(("recency_days", "n_30d"), (False, True), "c0ffee")
    >>> model = Model(space)
    >>> rng = np.random.default_rng(1)
    >>> for i in range(3000):
    ...     x = rng.normal(size=2)
    ...     y = rng.random() < 1 / (1 + np.exp(1.5 - x[0] + 2 * x[1]))
    ...     model.learn(x, np.array([np.nan, 0.0]), bool(y), release_day=i // 100)
    >>> model.version.split("-")[0], model.quality.answering, round(model.quality.champion, 2)
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
        self.contest = ChampionSelector()
        self.journal = QualityLog()
        self.labels = 0
        self.positives = 0
        self.involuntary: InvoluntaryModel | None = None  # from the first label of a loss by payment on
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
            Raw features (d,) and population means (d,), as frozen at the snapshot; NaN for missing.
        y
            The label.
        release_day
            Day since 1970 on which the label was released.
        probability
            What was answered at the snapshot. Without it, what would be answered now is judged.
        members
            What champion, challenger and prior would have answered then (`Scores.members`). Without them they are
            judged by what they say just before they learn the label.
        involuntary
            The label of losses by payment, and what was answered to it; see `models.definition.competing_risks`.
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
            probability = champion if self.contest.answering == "champion" else challenger
        self.contest.judge(label, release_day, champion, challenger, prior, probability)
        self.journal.judge(label, release_day, probability, prior)
        self.labels += 1
        self.positives += label
        if involuntary is not None:
            if self.involuntary is None:
                self.involuntary = InvoluntaryModel(self.space)
            self.involuntary.learn(x, m, bool(involuntary.label), release_day, involuntary.probability)
        self._scorer = None

    def score(self, x: Floats, m: Floats) -> Scores:
        """Score raw features (n, d) against population means (n, d)."""
        return self.scorer().score(x, m)

    def scorer(self) -> ModelScorer:
        """An immutable view for those who only score; made once per version."""
        if self._scorer is None:
            self._scorer = self._view(self.version)
        return self._scorer

    @property
    def version(self) -> str:
        """Labels learned, and a digest of all that the answer depends on."""
        return f"{self.labels}-{xxhash.xxh3_64_hexdigest(orjson.dumps(self._scoring_state()))[:10]}"

    @property
    def quality(self) -> PrequentialQuality:
        """How good it has been lately."""
        return PrequentialQuality(
            **self.contest.losses,
            answering=self.contest.answering,
            labels=self.labels,
            positives=self.positives,
            trust=trust(self.labels),
            switches=tuple(self.contest.switches),
        )

    # --- as data ---

    def snapshot(self) -> bytes:
        """The whole model as JSON."""
        training = {
            "champion": self.champion.training_state(),
            "contest": self.contest.state(),
            "journal": self.journal.state(),
            "positives": self.positives,
        }
        if self.involuntary is not None:
            training["involuntary"] = self.involuntary.training_state()
        return pack(self.space, self.version, self._scoring_state(), training)

    @classmethod
    def restore(cls, value: bytes, space: FeatureSpace) -> Model:
        """The model that a snapshot was taken from: the same bits, also in what it learns next.

        Raises
        ------
        SnapshotError
            If the snapshot is of another schema or catalogue, or damaged.
        """
        parts = unpack(value, space)
        try:
            model = cls._from_scoring(space, parts["scoring"], parts["training"])
            model.contest = ChampionSelector.restore(parts["training"]["contest"])
            model.journal = QualityLog.restore(parts["training"].get("journal"))
            model.positives = parts["training"]["positives"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SnapshotError(f"not a model snapshot: {type(error).__name__}: {error}") from error
        return model

    @classmethod
    def restore_scorer(cls, value: bytes, space: FeatureSpace) -> ModelScorer:
        """Only what scoring needs of a snapshot.

        Raises
        ------
        SnapshotError
            As `restore`.
        """
        parts = unpack(value, space)
        try:
            model = cls._from_scoring(space, parts["scoring"])
            return model._view(str(parts["version"]))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise SnapshotError(f"not a model snapshot: {type(error).__name__}: {error}") from error

    def _blended(self, log_odds: tuple[float, float, float]) -> tuple[float, float, float]:
        """Probabilities that would have been answered, from the log-odds of champion, challenger and prior."""
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
            "answering": self.contest.answering,
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
        model.contest.answering = scoring["answering"]
        model.champion = Champion.restore(
            space, scoring["champion"], None if training is None else training["champion"]
        )
        model.challenger = Challenger.restore(space, scoring["challenger"])
        model.prior = Prior.restore(space, scoring["prior"])
        if "involuntary" in scoring:
            second = None if training is None else training["involuntary"]
            model.involuntary = InvoluntaryModel.restore(space, scoring["involuntary"], second)
        return model

    def _view(self, version: str) -> ModelScorer:
        second = None if self.involuntary is None else self.involuntary.scorer(version)
        members = self.champion, self.challenger, self.prior
        return ModelScorer(self.space, *members, self.contest.answering, self.labels, version, second)
