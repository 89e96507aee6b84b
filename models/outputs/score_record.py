"""The values of `churn-scores`, each readable on its own.

Values are functions of the log and the model: no clock enters, and a row's bytes do not depend on the rest of the
batch. Schemas: docs/schemas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.alert_state import STATES, AlertState
from models.alerts.settings import BANDS
from models.definition.competing_risks import Horizons
from models.definition.goals import GoalFacts, Goals
from models.duration import DAY_MS, rfc3339
from models.experience.barriers import recent_barriers
from models.experience.indices import Experience, experience_indices
from models.explanations.reasons import Explanation, Reason, evidence, explain
from models.explanations.sentences import natural
from models.features.catalogue import CATALOGUE, NAMES
from models.outputs.customer_facts import Activity, CustomerFacts, activity, customer_facts
from models.profile.dunning import PaymentFacts, payment_facts
from models.profile.view import ProfileView
from models.value.clv import CustomerValue, customer_value
from models.value.forecast_state import ValueForecast

Floats = NDArray[np.float64]

_encode: Final = msgspec.json.Encoder().encode
CONTRIBUTION_DIGITS: Final = 6


class Lineage(NamedTuple):
    """The source and the churn definition of a partition's outputs."""

    definition: str
    config: str
    horizon_ms: int
    topic: str | None
    partition: int | None


class OutputContext(NamedTuple):
    """What all outputs of a partition have in common."""

    definition: str  # hash of what a label means
    config: str  # hash of the whole churn.toml
    horizon_ms: int
    topic: str | None = None  # where the events came from; None in a backtest
    partition: int | None = None
    horizons: Horizons | None = None  # of both causes, if involuntary churn has its own label
    goals: Goals = Goals(())  # declared in churn.toml

    @property
    def lineage(self) -> Lineage:
        """The part that scores contain."""
        return Lineage(*self[:5])


class LineageFields(msgspec.Struct, gc=False):
    """The lineage as records contain it."""

    topic: str | None
    partition: int | None
    offset: int | None
    features: str
    config: str


class CurrentAlert(msgspec.Struct, gc=False):
    """The current alert as scores carry it."""

    id: str
    state: str
    seq: int
    severity: str
    since: str


# Structs instead of dicts: names are written from a table, not one by one.
_ZERO: Final = 0.0
_Features: Any = msgspec.defstruct("_Features", [(name, float) for name in NAMES], gc=False)
_Contributions: Any = msgspec.defstruct(
    "_Contributions", [(name, float, _ZERO) for name in NAMES], gc=False, omit_defaults=True
)


class CauseProbability(msgspec.Struct, gc=False):
    """The probability of churn by one cause within its horizon."""

    probability: float
    horizon_days: float


class CauseProbabilities(msgspec.Struct, gc=False):
    """Voluntary and involuntary churn, if involuntary churn has its own label."""

    voluntary: CauseProbability
    involuntary: CauseProbability


class _ScoreValue(msgspec.Struct, gc=False):
    customer: CustomerFacts
    scored_at: str
    trigger: str
    probability: float
    percentile: float
    band: str
    previous: float | None
    ci90: tuple[float, float] | None
    horizon_days: float
    definition: str
    model: str
    evidence: str
    log_odds: float
    bias: float
    rest: float
    reasons: list[Reason]
    protective: list[Reason]
    contributions: Any  # of the features that contribute
    features: Any
    history: msgspec.Raw
    activity: Activity
    alert: CurrentAlert | None
    value: CustomerValue
    barriers: list[str]
    experience: Experience | None
    goals: list[GoalFacts]
    route: str
    risks: CauseProbabilities | None
    payments: PaymentFacts | None
    lineage: LineageFields


class PublishedScore(msgspec.Struct, array_like=True, gc=False):
    """A score without its features and its explanation."""

    key: bytes
    at_ms: int
    trigger: str
    offset: int
    profile_view: ProfileView
    probability: float
    percentile: float
    band: int
    previous: float | None
    history: bytes
    alert: CurrentAlert | None
    value_forecast: int  # index in `ScoredBatch.value_forecasts`
    goals: list[GoalFacts]
    route: str
    causes: CauseProbabilities | None
    ci90: tuple[float, float] | None


class ScoreContributions(NamedTuple):
    """n scores, with the contribution of each feature."""

    x: Floats
    """As scored, (n, d)."""
    m: Floats
    """The population's level, (n, d)."""
    contributions: Floats
    """Contributions to the log-odds, (n, d)."""
    bias: Floats
    log_odds: Floats
    trust: float

    def explained(self, unpaid_days: Sequence[float]) -> Explained:
        """The reasons, in words; `unpaid_days` as `models.explanations.reasons.explain` takes them."""
        values = natural(self.x)
        listed = values.tolist()
        return Explained(
            explain(self.contributions, self.bias, self.log_odds, self.x, self.m, values, listed, unpaid_days),
            evidence(values, self.trust),
            listed,
            (np.round(self.contributions, CONTRIBUTION_DIGITS) + 0.0).tolist(),
        )


class Explained(NamedTuple):
    """Of n scores: explanations, evidence, features in natural units, and rounded contributions."""

    found: list[Explanation]
    evidence: list[str]
    values: list[list[float]]
    contributions: list[list[float]]


def lineage_fields(context: Lineage, offset: int) -> LineageFields:
    """The lineage of the record at an offset; a negative one is unknown."""
    return LineageFields(context.topic, context.partition, offset if offset >= 0 else None, CATALOGUE, context.config)


def score_value(
    context: Lineage, model: str, score: PublishedScore, explained: Explained, i: int, value_forecast: ValueForecast
) -> bytes:
    """The `churn-scores` value of one score; `i` is its row in `explained`."""
    found, at, profile_view, values = explained.found[i], score.at_ms, score.profile_view, explained.values[i]
    return _encode(
        _ScoreValue(
            customer_facts(score.key[1:].decode(), profile_view, at),
            rfc3339(at),
            score.trigger,
            score.probability,
            round(score.percentile, 4),
            BANDS[score.band],
            score.previous,
            score.ci90,
            context.horizon_ms / DAY_MS,
            context.definition,
            model,
            explained.evidence[i],
            found.log_odds,
            found.bias,
            found.rest,
            found.raising,
            found.protective,
            _Contributions(*[c or _ZERO for c in explained.contributions[i]]),
            _Features(*values),
            msgspec.Raw(score.history),
            activity(profile_view, at),
            score.alert,
            customer_value(profile_view, score.probability, context.horizon_ms, at, value_forecast),
            recent_barriers(profile_view, at),
            experience_indices(profile_view, values, at),
            score.goals,
            score.route,
            score.causes,
            payment_facts(profile_view.dunning, at),
            lineage_fields(context, score.offset),
        )
    )


def current_alert(alert: AlertState | None) -> CurrentAlert | None:
    """The current alert as scores contain it; None before it has opened."""
    if alert is None or not alert.seq:
        return None
    return CurrentAlert(
        alert.alert_id, STATES[alert.phase], alert.seq, BANDS[alert.band], rfc3339(alert.since_ms)
    )  # fmt: skip
