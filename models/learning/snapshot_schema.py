"""The layout of a model snapshot: types, sizes and ranges that every number must have before a model is restored.

A snapshot comes from a topic, so another program may have written it. The ranges are far beyond what any labels can
cause, and far below where a product or a sum of them overflows.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from models.learning.champion_challenger import SWITCHES_KEPT
from models.learning.feature_space import VALUE_LIMIT
from models.learning.quality_log import DAYS_KEPT, UNDEFINED
from models.metrics.prequential import CELLS

NAMES_MAX: Final = 2_000
"""Inputs of a model. A snapshot of 80 features has 240, and a message has no room for the covariance of 600."""

WEIGHT_MAX: Final = 1e6
"""Log-odds per standard deviation. Probabilities are bounded at log-odds of 15, and weights follow them."""

COVARIANCE_MAX: Final = 1e4
"""Largest variance: the bias starts at 10 and gains at most 10 per day, until all variances are capped every 200
labels."""

ROUNDING: Final = 1e-9
"""How far an AUC or ECE may exceed 1 in a snapshot of an earlier release, which did not bound them."""

COUNT_MAX: Final = 10**15
TOTAL_MAX: Final = 1e18

Name = Annotated[str, Meta(max_length=256)]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Day = Annotated[int, Meta(ge=-1_000_000, le=10_000_000)]
Weight = Annotated[float, Meta(ge=-WEIGHT_MAX, le=WEIGHT_MAX)]
Value = Annotated[float, Meta(ge=-4 * VALUE_LIMIT, le=4 * VALUE_LIMIT)]
Variance = Annotated[float, Meta(ge=0.0, le=16 * VALUE_LIMIT**2)]
SquaredSum = Annotated[float, Meta(ge=0.0, le=16 * VALUE_LIMIT**2 * COUNT_MAX)]
Decayed = Annotated[float, Meta(ge=0.0, le=TOTAL_MAX)]
Total = Annotated[float, Meta(ge=-TOTAL_MAX, le=TOTAL_MAX)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
MaybeShare = Annotated[float, Meta(ge=UNDEFINED, le=1.0 + ROUNDING)]
Covariance = Annotated[float, Meta(ge=-COVARIANCE_MAX, le=COVARIANCE_MAX)]
Names = Annotated[list[Name], Meta(max_length=NAMES_MAX)]
Triangle = Annotated[list[Covariance], Meta(max_length=(NAMES_MAX + 2) * (NAMES_MAX + 3) // 2)]
Four = Meta(min_length=4, max_length=4)
Two = Meta(min_length=2, max_length=2)
Five = Meta(min_length=5, max_length=5)


class ScalerState(Struct):
    """`models.learning.scaler.Scaler`."""

    count: Annotated[list[Annotated[float, Meta(ge=0.0, le=COUNT_MAX)]], Meta(max_length=NAMES_MAX)]
    mean: Annotated[list[Value], Meta(max_length=NAMES_MAX)]
    m2: Annotated[list[SquaredSum], Meta(max_length=NAMES_MAX)]


class ChampionState(Struct):
    """The scoring state of `models.learning.champion.Champion`."""

    scaler: ScalerState
    names: Names
    weights: Annotated[list[Weight], Meta(max_length=NAMES_MAX + 2)]
    growth: Annotated[float, Meta(ge=0.1, le=10.0)]
    covariance: Triangle


class ChampionTraining(Struct):
    """The training state of `models.learning.bayesian_logistic.BayesianLogisticRegression`."""

    labels: Count
    day: Day | None
    credit: Share
    restarts: Count


class ChallengerState(Struct):
    """`models.learning.challenger.Challenger`."""

    scaler: Annotated[list[tuple[Name, Count, Value, Variance]], Meta(max_length=NAMES_MAX)]
    weights: Annotated[list[tuple[Name, Weight]], Meta(max_length=NAMES_MAX)]
    intercept: Weight
    iterations: Count
    constant: Annotated[list[tuple[Count, Count, Value]], Meta(max_length=NAMES_MAX)]


class PriorState(Struct):
    """`models.learning.prior.Prior`."""

    base: Annotated[float, Meta(ge=-1e3, le=1e3)]
    variance: Annotated[float, Meta(ge=0.0, le=1e3)]


class InvoluntaryState(Struct):
    """The scoring state of `models.learning.involuntary_model.InvoluntaryModel`."""

    positives: Count
    champion: ChampionState
    prior: PriorState


class ScoringState(Struct):
    """What predicting needs."""

    labels: Count
    answering: Literal["champion", "challenger"]
    champion: ChampionState
    challenger: ChallengerState
    prior: PriorState
    involuntary: InvoluntaryState | UnsetType = UNSET


class SwitchState(Struct):
    """`models.learning.champion_challenger.ChampionSwitch`."""

    labels: Count
    day: Day
    answering: Literal["champion", "challenger"]
    champion: Decayed
    challenger: Decayed


class SelectorState(Struct):
    """`models.learning.champion_challenger.ChampionSelector`."""

    answering: Literal["champion", "challenger"]
    switches: Annotated[list[SwitchState], Meta(max_length=SWITCHES_KEPT)]
    counts: tuple[Count, Count, Count, Day]
    weight: Decayed
    sums: Annotated[list[Decayed], Four]
    today: Annotated[list[Total], Two]
    totals: Annotated[list[Total], Five]


class PrequentialState(Struct):
    """`models.metrics.prequential.Prequential`."""

    half_life: Annotated[float, Meta(ge=1.0, le=1e9)]
    labels: Count
    log_loss: Decayed
    squared_error: Decayed
    cells: Annotated[
        list[tuple[Annotated[int, Meta(ge=0, lt=CELLS)], Decayed, Decayed, Decayed]], Meta(max_length=CELLS)
    ]


class QualityLogState(Struct):
    """`models.learning.quality_log.QualityLog`."""

    quality: PrequentialState
    days: Annotated[
        list[tuple[Day, Count, Count, Decayed, Decayed, MaybeShare, MaybeShare]], Meta(max_length=DAYS_KEPT)
    ]
    today: tuple[Day, Count, Count]
    sums: tuple[Decayed, Decayed, Decayed]


class InvoluntaryTraining(Struct):
    """The training state of `models.learning.involuntary_model.InvoluntaryModel`."""

    champion: ChampionTraining
    journal: QualityLogState
    labels: Count


class TrainingState(Struct):
    """What learning needs in addition."""

    champion: ChampionTraining
    contest: SelectorState
    positives: Count
    journal: QualityLogState | UnsetType = UNSET  # not written by earlier releases
    involuntary: InvoluntaryTraining | UnsetType = UNSET


class SnapshotState(Struct):
    """A whole model snapshot."""

    schema: int
    catalogue: str
    version: Annotated[str, Meta(pattern=r"^[0-9A-Za-z._-]{1,64}\Z")]
    scoring: ScoringState
    training: TrainingState
    features: int | UnsetType = UNSET  # not written by earlier releases
