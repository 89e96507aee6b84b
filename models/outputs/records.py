"""The scores of a batch, explained together, and the records made from them.

Records are functions of the log and the model: no clock enters, and a row's bytes do not depend on the rest of the
batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.alert_state import AlertState
from models.alerts.detractor_rule import FEATURE_OF, DetractorResponse
from models.alerts.settings import BANDS
from models.definition.competing_risks import route_of
from models.duration import DAY_MS, rfc3339
from models.experience.barriers import recent_barriers
from models.experience.indices import Experience, experience_indices
from models.explanations.reasons import Explanation, Reason, playbook, with_reason
from models.explanations.sentences import natural, natural_levels
from models.features.catalogue import NAMES
from models.features.scoring_point import ScoringPoint
from models.learning.combined_scores import CombinedScores
from models.outputs.customer_facts import CustomerFacts, customer_facts
from models.outputs.score_record import (
    CauseProbabilities,
    CauseProbability,
    Explained,
    LineageFields,
    OutputContext,
    PublishedScore,
    ScoreContributions,
    current_alert,
    lineage_fields,
)
from models.profile.dunning import PaymentFacts, payment_facts, unpaid_days
from models.value.clv import CustomerValue, customer_value
from models.value.forecast_state import DailyForecasts

Floats = NDArray[np.float64]

_encode: Final = msgspec.json.Encoder().encode


# Values ------------------------------------------------------------------------------------------------------------


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
    lineage: LineageFields


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
        self._days: dict[int, int] = {}  # by day: index of its value forecast
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
        return self.contributions().explained([unpaid_days(view.dunning, at) for view, at in views])

    def contributions(self) -> ScoreContributions:
        """The input for explaining the chosen rows."""
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

    def published_score(
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
                lineage_fields(self.context.lineage, point.offset),
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
