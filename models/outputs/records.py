"""The values of `churn-scores` and `churn-alerts`, each readable on its own.

A batch's scores are explained together (`ScoredBatch`), then encoded one by one. Values are functions of the log and
the model: no clock enters, and a row's bytes do not depend on the rest of the batch. Schemas: docs/schemas.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.detractor_rule import FEATURE_OF, DetractorResponse
from models.alerts.policy import BANDS, STATES, AlertEvent, AlertState
from models.definition.competing_risks import Horizons, route_of
from models.definition.goals import GoalFacts, Goals
from models.duration import DAY_MS, rfc3339
from models.experience.barriers import recent_barriers
from models.experience.indices import Experience, experience_indices
from models.explanations.reasons import Explanation, Reason, evidence, explain, playbook, with_reason
from models.explanations.sentences import natural, natural_levels
from models.features.catalogue import CATALOGUE, NAMES
from models.features.scoring_point import ScoringPoint
from models.learning.combined_scores import CombinedScores
from models.outputs.customer_facts import Activity, CustomerFacts, activity, customer_facts
from models.profile.dunning import PaymentFacts, payment_facts, unpaid_days
from models.profile.view import ProfileView
from models.value.clv import CustomerValue, customer_value
from models.value.forecast_state import DailyForecasts, ValueForecast

Floats = NDArray[np.float64]

CONTRIBUTION_DIGITS: Final = 6
CE_SOURCE: Final = "/churn-signals"
_encode: Final = msgspec.json.Encoder().encode
_WITH_CAUSES: Final = b'{"risks":'
_WITHOUT: Final = b',"risks":null,"payments":null,'  # kept by a release that knew of none
"""Fields that a note of an earlier release lacks, as null."""


class Lineage(NamedTuple):
    """Where the outputs of a partition come from, and under which definition."""

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
    horizons: Horizons | None = None  # of both causes, where losses by payment have a label of their own
    goals: Goals = Goals(())  # that are declared

    @property
    def lineage(self) -> Lineage:
        """The part that scores contain."""
        return Lineage(*self[:5])


# Values ------------------------------------------------------------------------------------------------------------


class _Lineage(msgspec.Struct, gc=False):
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
    """Voluntary and involuntary churn, where involuntary churn has a label of its own."""

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
    lineage: _Lineage


class _ScoreOfAlert(msgspec.Struct, gc=False):
    probability: float
    ci90: tuple[float, float] | None
    percentile: float
    band: str
    previous: float | None
    horizon_days: float
    definition: str
    model: str
    evidence: str
    log_odds: float
    bias: float
    rest: float


class _Action(msgspec.Struct, gc=False):
    playbook: str
    treatment: str | None


class _Timing(msgspec.Struct, gc=False):
    event_time: str
    scored_at: str
    trigger: str


class _Note(msgspec.Struct, gc=False):
    risks: CauseProbabilities | None
    payments: PaymentFacts | None
    customer: CustomerFacts
    score: _ScoreOfAlert
    reasons: list[Reason]
    protective: list[Reason]
    barriers: list[str]
    experience: Experience | None
    value: CustomerValue
    action: _Action
    timing: _Timing
    lineage: _Lineage


class _AlertHead(msgspec.Struct, gc=False):
    alert_id: str
    seq: int
    dedup_key: str
    type: str
    state: str
    severity: str
    time: str
    opened_at: str
    resolution: str | None
    snoozed_until: str | None
    rule: str | None
    route: str


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
    value_forecast: int  # place among those of the batch, `ScoredBatch.value_forecasts`
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
    """To the log-odds, (n, d)."""
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


class ScoredBatch:
    """Scores of a batch, explained together.

    Args:
        context: What all outputs of the partition share.
        points: The batch's scoring points.
        x, m: Features and population level as scored, (n, d).
        scores: The model's scores (`models.learning.scorer.Scores`).
        trust: w of the model's w = n / (n + k).
        value_forecasts: The partition's forecasts for the days in the batch.
        rows: The points that are published; None: all.
    """

    def __init__(
        self,
        context: OutputContext,
        points: Sequence[ScoringPoint],
        x: Floats,
        m: Floats,
        scores: Any,
        trust: float,
        value_forecasts: DailyForecasts,
        rows: Sequence[int] | None = None,
    ) -> None:
        self._chosen = chosen = list(range(len(points)) if rows is None else rows)
        self.context = context
        self._points, self._value_forecasts = points, value_forecasts
        self._days: dict[int, int] = {}  # places of their outlooks
        self.value_forecasts: list[bytes] = []
        """The forecasts that published scores refer to (`models.value.forecast_state.ValueForecast.data`)."""
        self._place = {row: i for i, row in enumerate(chosen)}
        self._scores = scores
        self._both = scores if isinstance(scores, CombinedScores) else None
        self._probability = scores.probability
        self._x, self._m, self._trust = x[chosen], m[chosen], trust
        self._horizon_days = context.horizon_ms / DAY_MS

    @cached_property
    def _explained(self) -> Explained:
        views = [(self._points[row].profile_view, self._points[row].at_ms) for row in self._chosen]
        return self.weighed().explained([unpaid_days(view.dunning, at) for view, at in views])

    def weighed(self) -> ScoreContributions:
        """All that explaining the chosen rows needs."""
        chosen, scores = self._chosen, self._scores
        return ScoreContributions(
            self._x, self._m, scores.contributions(chosen), scores.bias(chosen), scores.log_odds[chosen], self._trust
        )

    @cached_property
    def _ci90(self) -> list[tuple[float, float]]:
        """90% intervals of the chosen rows: expensive one by one, cheaper together."""
        return [(low, high) for low, high in self._scores.ci90(list(self._place)).tolist()]

    def explanation(self, row: int) -> Explanation:
        """Why point `row` has its probability."""
        return self._explained.found[self._place[row]]

    def ci90(self, row: int) -> tuple[float, float]:
        """90% interval of the probability: expensive, so only for alerts and on request."""
        low, high = self._scores.ci90([row])[0].tolist()
        return low, high

    def told(
        self,
        row: int,
        percentile: float,
        band: int,
        history: bytes,
        previous: float | None = None,
        alert: AlertState | None = None,
        ci90: tuple[float, float] | None = None,
    ) -> PublishedScore:
        """The `churn-scores` value of point `row`, without features and explanation.

        Args:
            percentile, band: The rank of the probability; see `models.learning.percentile_rank`, `AlertSettings.band`.
            history: The newest published scores, this one included, as JSON; see `history_json`.
            previous: Probability of the score before.
            alert: The customer's alert after this score.
            ci90: `self.ci90(row)` where it is wanted.
        """
        point, probability = self._points[row], float(self._probability[row])
        return PublishedScore(
            point.key,
            point.at_ms,
            point.trigger,
            point.offset,
            point.profile_view,
            probability,
            percentile,
            band,
            previous,
            history,
            current_alert(alert),
            self._value_forecast(point.clock_ms),
            self.context.goals.facts(point.profile_view.journey, point.profile_view.first_ms),
            self._route(row),
            self._causes(row),
            ci90,
        )

    def note(
        self,
        row: int,
        percentile: float,
        band: int,
        previous: float | None = None,
        event_ms: int | None = None,
        answer: DetractorResponse | None = None,
    ) -> bytes:
        """The score of point `row` as alerts contain it, kept as `AlertState.note`: a reminder needs no new score.

        Args:
            event_ms: The time of the event that made the point, if it is another than the point's.
            answer: A detractor's answer that stands: a reason in any case, and the first if it made the point.
        """
        i, point, explained = self._place[row], self._points[row], self._explained
        found, at, profile_view = explained.found[i], point.at_ms, point.profile_view
        if answer is not None:
            index = NAMES.index(FEATURE_OF[answer.code])
            values, levels = natural(self._x[[i]]), natural_levels(self._m[[i]])
            found = with_reason(found, answer.code, index, values, levels, answer.fresh)
        probability = float(self._probability[row])
        score = _ScoreOfAlert(
            probability,
            self._ci90[i],
            round(percentile, 4),
            BANDS[band],
            previous,
            self._horizon_days,
            self.context.definition,
            self._scores.model,
            explained.evidence[i],
            found.log_odds,
            found.bias,
            found.rest,
        )
        return _encode(
            _Note(
                self._causes(row),
                payment_facts(profile_view.dunning, at),
                customer_facts(point.key[1:].decode(), profile_view, at),
                score,
                found.raising,
                found.protective,
                recent_barriers(profile_view, at),
                experience_indices(profile_view, explained.values[i], at),
                self._worth(point, probability),
                _Action(playbook(found), None),
                _Timing(rfc3339(at if event_ms is None else event_ms), rfc3339(at), point.trigger),
                _lineage(self.context.lineage, point.offset),
            )
        )

    def _value_forecast(self, clock_ms: int) -> int:
        day = clock_ms // DAY_MS
        place = self._days.get(day)
        if place is None:
            data = self._value_forecasts.at(clock_ms).data
            if data not in self.value_forecasts:
                self.value_forecasts.append(data)
            place = self._days[day] = self.value_forecasts.index(data)
        return place

    def _worth(self, point: ScoringPoint, probability: float) -> CustomerValue:
        value_forecast = self._value_forecasts.at(point.clock_ms)
        return customer_value(point.profile_view, probability, self.context.horizon_ms, point.at_ms, value_forecast)

    def _route(self, row: int) -> str:
        """The team that handles the alert; always `success` without a label for involuntary churn."""
        return route_of(self._both is not None and bool(self._both.billing[row]))

    def _causes(self, row: int) -> CauseProbabilities | None:
        both, horizons = self._both, self.context.horizons
        if both is None or horizons is None:
            return None
        return CauseProbabilities(
            CauseProbability(float(both.voluntary.probability[row]), horizons.voluntary_ms / DAY_MS),
            CauseProbability(float(both.involuntary.probability[row]), horizons.involuntary_ms / DAY_MS),
        )


def _lineage(context: Lineage, offset: int) -> _Lineage:
    return _Lineage(context.topic, context.partition, offset if offset >= 0 else None, CATALOGUE, context.config)


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
            _lineage(context, score.offset),
        )
    )


def current_alert(alert: AlertState | None) -> CurrentAlert | None:
    """The current alert as scores contain it; None before it has opened."""
    if alert is None or not alert.seq:
        return None
    return CurrentAlert(
        alert.alert_id, STATES[alert.phase], alert.seq, BANDS[alert.band], rfc3339(alert.since_ms)
    )  # fmt: skip


def alert_value(event: AlertEvent, note: bytes = b"") -> bytes:
    """The `churn-alerts` value; `note` is that of the present score, for events that do not carry one."""
    head = _encode(
        _AlertHead(
            event.alert_id,
            event.seq,
            event.dedup_key,
            event.type,
            event.state,
            event.severity,
            rfc3339(event.at_ms),
            rfc3339(event.opened_ms),
            event.resolution or None,
            rfc3339(event.until_ms) if event.until_ms else None,
            event.rule or None,
            event.route,
        )
    )
    published = note if event.note is None else event.note
    return head[:-1] + (b"," if published.startswith(_WITH_CAUSES) else _WITHOUT) + published[1:]


def alert_headers(event: AlertEvent, customer: str) -> list[tuple[str, bytes]]:
    """Headers of a CloudEvent in binary mode (Kafka protocol binding 1.0.2, 3.2); the id is that of the effect.

    >>> event = AlertEvent("opened", "a1", "c/d", 1, "open", "high", 0, 0)
    >>> dict(alert_headers(event, "c"))["ce_type"]
    b'churn.alert.opened.v1'
    """
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{event.alert_id}-{event.seq}".encode()),
        ("ce_source", CE_SOURCE.encode()),
        ("ce_type", f"churn.alert.{event.type}.v1".encode()),
        ("ce_time", rfc3339(event.at_ms).encode()),
        ("ce_subject", customer.encode()),
        ("content-type", b"application/json"),
    ]


__all__ = [
    "OutputContext",
    "ScoredBatch",
    "alert_headers",
    "alert_value",
    "current_alert",
]
