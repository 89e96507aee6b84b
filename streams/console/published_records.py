"""Decode the records that the console reads: scores, alert changes and metrics.

Every function depends on its record only, and raises if the record does not fit its topic. Tested by
tests/streams/console/test_published_records.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from models.alerts.settings import BANDS
from models.definition.competing_risks import SUCCESS
from models.events.coercion import time_ms
from models.events.unreadable import UnreadableCounts
from models.experience.aggregates import GOALS, ExperienceBlock, Pair
from models.experience.aggregates import METRIC_PREFIX as EXPERIENCE_PREFIX
from models.experience.aggregates import read_metric as read_experience
from models.pipeline.unreadable_record import METRIC_PREFIX as UNREADABLE_PREFIX
from models.pipeline.unreadable_record import read_metric as read_unreadable
from models.retention.aggregates import METRIC_PREFIX as RETENTION_PREFIX
from models.retention.aggregates import read_metric as read_retention
from models.value.purchase_aggregates import METRIC_PREFIX as PURCHASES_PREFIX
from models.value.purchase_aggregates import check_cells
from streams.kafka.unusable_records import UnusableRecord
from streams.rendering.field_types import (
    Amount,
    Currency,
    Id,
    LogOdds,
    Points,
    Sequence,
    Share,
    ShortText,
    Time,
    check_key,
)
from streams.rendering.score_view import ScoreView, read_score
from streams.training.learner import QUALITY_KEY
from streams.training.published_quality import read_quality

_REASONS_MAX: Final = 100
_PREFIXES: Final = (EXPERIENCE_PREFIX, RETENTION_PREFIX, PURCHASES_PREFIX, UNREADABLE_PREFIX)


class ScoreChange(NamedTuple):
    """A record of churn-scores. Without a score it is a tombstone."""

    customer: str
    score: ScoreView | None
    value: bytes


class _AlertedCustomer(msgspec.Struct):
    id: Id
    account: ShortText | None = None
    segment: ShortText | None = None


class _ValueAtRisk(msgspec.Struct):
    mrr: Amount | None = None
    revenue_at_risk: Amount | None = None
    currency: Currency | None = None


class AlertReason(msgspec.Struct):
    """A reason of an alert."""

    code: ShortText
    sentence: ShortText
    contribution: LogOdds = 0.0
    points: Points | None = None


class _AlertedScore(msgspec.Struct):
    probability: Share
    log_odds: LogOdds | None = None


class _AlertedAction(msgspec.Struct):
    playbook: ShortText


class AlertChange(msgspec.Struct):
    """A record of churn-alerts: the fields that the console stores."""

    alert_id: Id
    seq: Sequence
    type: ShortText
    state: ShortText
    severity: ShortText
    time: Time
    opened_at: Time
    customer: _AlertedCustomer
    score: _AlertedScore
    reasons: Annotated[list[AlertReason], Meta(max_length=_REASONS_MAX)]
    value: _ValueAtRisk
    action: _AlertedAction
    resolution: ShortText | None = None
    snoozed_until: Time | None = None
    route: ShortText = SUCCESS


_decode_alert: Final = msgspec.json.Decoder(AlertChange).decode


def score_change(record: Any) -> ScoreChange:
    """Decode a record of churn-scores."""
    if record.key is None:
        raise UnusableRecord("it has no key")
    if record.value is None:
        return ScoreChange(record.key.decode(), None, b"")
    score = read_score(record.key, record.value)
    return ScoreChange(score.customer.id, score, record.value)


def alert_change(record: Any) -> AlertChange:
    """Decode a record of churn-alerts."""
    if record.value is None:
        raise UnusableRecord("it has no value")
    alert = _decode_alert(record.value)
    check_key(record.key, alert.customer.id)
    if alert.severity not in BANDS:
        raise UnusableRecord("the severity is none of ours")
    if time_ms(alert.time) is None or time_ms(alert.opened_at) is None:
        raise UnusableRecord("a time does not exist")
    return alert


class PublishedMetric(NamedTuple):
    """A record of churn-metrics, as far as the console shows it."""

    quality: dict[str, Any] | None = None
    unreadable: UnreadableCounts | None = None
    goals: tuple[ExperienceBlock, dict[str, Pair]] | None = None


def published_metric(record: Any) -> PublishedMetric:
    """Decode a record of churn-metrics, also of those kinds that only commands show."""
    key, value = record.key, record.value
    if key != QUALITY_KEY and not (key or b"").startswith(_PREFIXES):
        raise UnusableRecord("the key names no figure of ours")
    if value is None:
        return PublishedMetric()
    if key == QUALITY_KEY:
        return PublishedMetric(quality=read_quality(value))
    if key.startswith(RETENTION_PREFIX):
        read_retention(value, key)
    elif key.startswith(PURCHASES_PREFIX):
        check_cells(value, key)
    elif key.startswith(UNREADABLE_PREFIX):
        return PublishedMetric(unreadable=read_unreadable(value, key))
    else:
        block, sums = read_experience(value, key)
        if block.kind == GOALS:
            return PublishedMetric(goals=(block, sums))
    return PublishedMetric()
