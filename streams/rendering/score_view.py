"""Read a score as published: the fields that pages show, each checked for type and bounds.

Anyone with write access to the scores topic can write a value. Only values that pass these checks are stored or shown.
Fields with a default are missing in scores of earlier releases. Tested by
tests/streams/console/test_published_records.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from models.alerts.settings import BANDS
from models.definition.competing_risks import SUCCESS
from models.events.coercion import time_ms
from streams.rendering.field_types import (
    Amount,
    Change,
    Count,
    Currency,
    Day,
    Days,
    Id,
    LogOdds,
    Millionths,
    Number,
    Points,
    Second,
    Sequence,
    Share,
    ShortText,
    Time,
    check_key,
)

_ROWS_MAX: Final = 100
_NAMES_MAX: Final = 2_000


class _ScoredCustomer(msgspec.Struct, gc=False):
    id: Id
    account: ShortText | None
    segment: ShortText | None
    plan: ShortText | None
    stage: ShortText
    tenure_days: Days
    consent: bool | None = None  # missing in records of earlier releases


class _PurchaseFacts(msgspec.Struct, gc=False):
    alive: Share
    expected: Amount
    order_value: Amount


class _ScoredValue(msgspec.Struct, gc=False):
    mrr: Amount | None
    clv: Amount | None
    revenue_at_risk: Amount | None
    basis: ShortText | None
    clv_at_risk: Amount | None = None
    purchases: _PurchaseFacts | None = None
    currency: Currency | None = None
    other_amounts: Count = 0


class _ScoredReason(msgspec.Struct, gc=False):
    sentence: ShortText
    contribution: LogOdds
    points: Points | None = None


class _ScoredAlert(msgspec.Struct, gc=False):
    id: Id
    state: ShortText
    seq: Sequence
    severity: ShortText
    since: Time


class _ActivityCounts(msgspec.Struct, gc=False):
    until: Day
    counts: Annotated[list[Count], Meta(min_length=1, max_length=1_000)]


class _Cause(msgspec.Struct, gc=False):
    probability: Share
    horizon_days: Days


class _Causes(msgspec.Struct, gc=False):
    voluntary: _Cause
    involuntary: _Cause


class _Payments(msgspec.Struct, gc=False):
    dunning_since: Day | None
    dunning_days: Count | None
    failed: Count
    recovered: Count
    recovered_rate: Share | None
    card_expires_in_days: Number | None


class _CsatFacts(msgspec.Struct, gc=False):
    answers: Count
    last: Share
    mean: Share
    shrunk: Share
    top2: Share | None
    trend: Change | None


class _NpsFacts(msgspec.Struct, gc=False):
    last: Share
    group: ShortText


class _CesFacts(msgspec.Struct, gc=False):
    last: Share
    mean: Share


class _Answers(msgspec.Struct, gc=False):
    name: ShortText
    kind: ShortText
    answers: Count
    mean: Share
    last: Share


class _NamedBarrier(msgspec.Struct, gc=False):
    tag: ShortText
    times: Count
    last: ShortText


class _CxFacts(msgspec.Struct, gc=False):
    index: Number
    known: Share
    satisfaction: Number | None
    effort: Number | None
    waiting: Number | None
    reopened: Number | None
    errors: Number | None


class _ExperienceFacts(msgspec.Struct, gc=False):
    csat: _CsatFacts | None
    nps: _NpsFacts | None
    ces: _CesFacts | None
    surveys_sent: Count
    answer_rate: Share | None
    touchpoints: Annotated[list[_Answers], Meta(max_length=_ROWS_MAX)]
    surveys: Annotated[list[_Answers], Meta(max_length=_ROWS_MAX)]
    barriers: Annotated[list[_NamedBarrier], Meta(max_length=_ROWS_MAX)]
    cx: _CxFacts | None


class _GoalStatus(msgspec.Struct, gc=False):
    name: ShortText
    definition: ShortText
    reached: bool
    times: Count
    first: ShortText | None
    last: ShortText | None
    days: Number | None
    target_days: Number | None
    in_time: bool | None


class _Source(msgspec.Struct, gc=False):
    topic: ShortText | None
    partition: Count | None
    offset: Count | None


class ScoreView(msgspec.Struct, gc=False, kw_only=True):
    """The fields of a `churn-scores` value that the console shows; docs/schemas/score.schema.json lists all."""

    customer: _ScoredCustomer
    scored_at: Time
    trigger: ShortText
    probability: Share
    percentile: Share
    band: ShortText
    previous: Share | None
    ci90: tuple[Share, Share] | None
    horizon_days: Days
    definition: ShortText
    model: ShortText
    evidence: ShortText
    log_odds: LogOdds
    bias: LogOdds
    rest: LogOdds
    reasons: Annotated[list[_ScoredReason], Meta(max_length=_ROWS_MAX)]
    protective: Annotated[list[_ScoredReason], Meta(max_length=_ROWS_MAX)]
    history: Annotated[list[tuple[Second, Millionths]], Meta(min_length=1, max_length=1_000)]
    activity: _ActivityCounts
    alert: _ScoredAlert | None
    value: _ScoredValue
    barriers: Annotated[list[ShortText], Meta(max_length=_ROWS_MAX)]
    lineage: _Source
    experience: _ExperienceFacts | None = None
    goals: Annotated[list[_GoalStatus], Meta(max_length=_NAMES_MAX)] = []
    route: ShortText = SUCCESS
    risks: _Causes | None = None
    payments: _Payments | None = None

    @property
    def scored_ms(self) -> int:
        """The time of the score."""
        milliseconds = time_ms(self.scored_at)
        assert milliseconds is not None, "read_score has checked it"
        return milliseconds


class FeatureScoreView(ScoreView, gc=False, kw_only=True):
    """The fields that `churn-signals customer` shows: also the features and their contributions."""

    contributions: Annotated[dict[str, LogOdds], Meta(max_length=_NAMES_MAX)]
    features: Annotated[dict[str, Number | None], Meta(max_length=_NAMES_MAX)]


_decode: Final = msgspec.json.Decoder(ScoreView).decode
_decode_with_features: Final = msgspec.json.Decoder(FeatureScoreView).decode


def read_score(key: bytes | None, value: bytes, *, with_features: bool = False) -> ScoreView:
    """Decode a `churn-scores` value, which is faster without its features.

    Raises:
        msgspec.MsgspecError: a field is missing or wrong; the message names it and does not quote its value.
        RecursionError: the value is nested too deeply.
    """
    score = _decode_with_features(value) if with_features else _decode(value)
    check_key(key, score.customer.id)
    if score.band not in BANDS:
        raise msgspec.ValidationError("the band is none of ours - at `$.band`")
    if time_ms(score.scored_at) is None:
        raise msgspec.ValidationError("the time does not exist - at `$.scored_at`")
    for goal in score.goals:
        if goal.reached and (goal.days is None or goal.first is None or goal.last is None):
            raise msgspec.ValidationError("a reached goal has no time - at `$.goals`")
    payments = score.payments
    if payments is not None and payments.dunning_since is not None and payments.dunning_days is None:
        raise msgspec.ValidationError("an unpaid payment has no age - at `$.payments`")
    return score


def shown_score(key: bytes | None, value: bytes, *, with_features: bool = False) -> dict[str, Any]:
    """Return the fields that pages show, as JSON values. Raises as `read_score`."""
    document: dict[str, Any] = msgspec.to_builtins(read_score(key, value, with_features=with_features))
    return document
