"""Metrics of a trainer: learning progress and model quality. A standby trainer has neither."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.monitoring.broker_probe import BrokerProbe
    from streams.monitoring.collector import Samples
    from streams.training.learner import ModelLearner
    from streams.training.trainer import TrainerLoop


def trainer_samples(loop: TrainerLoop, learner: ModelLearner, probe: BrokerProbe) -> Samples:
    """Yield the samples of a trainer."""
    yield "leading", (), float(loop.leading)
    yield "start_snapshots_skipped", (), loop.snapshots_skipped
    if not loop.leading:
        return
    yield "learned_offset", (), loop.learned_offset
    yield "labels_skipped", (), learner.skipped
    if 0 in probe.ends:
        yield "labels_lag_records", (), max(0, probe.ends[0][0] - loop.learned_offset)
    if (wait_s := probe.oldest_wait_s(0, loop.learned_offset, loop.learned_ms)) is not None:
        yield "labels_lag_seconds", (), wait_s
    if (age_s := loop.published_age_s) is not None:
        yield "model_published_timestamp_seconds", (), time.time() - age_s
    yield from _quality(learner)


def _quality(learner: ModelLearner) -> Samples:
    quality, overall = learner.model.quality, learner.model.quality_log.quality
    yield "labels_learned", (), quality.labels
    if not quality.labels:
        return
    losses = (("answer", quality.answer), ("champion", quality.champion), ("challenger", quality.challenger))
    for member, loss in (*losses, ("prior", quality.prior)):
        yield "log_loss", (member,), loss
    for name, value in (
        ("auc", overall.auc),
        ("calibration_error", overall.ece),
        ("churn_rate", overall.rate),
        ("mean_probability", overall.mean_probability),
    ):
        if value is not None:
            yield name, (), value
