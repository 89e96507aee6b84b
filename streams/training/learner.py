"""Learn the labels of `churn-labels` into the model, in the order of the topic.

Tested by tests/streams/training/test_learner.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from models.labels.codec import LabelError, read_label
from models.learning.challenger import pipeline
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.learning.model_snapshot import ModelSnapshotError
from models.profile.mergeable import DAY_MS
from streams.engine.contract import Output
from streams.errors import SnapshotRefused
from streams.logs import get_logger
from streams.settings import Settings
from streams.topics import METRICS, name_of
from streams.training.trainer import SkipLabel, ignore

log = get_logger(__name__)

# The number is the partition that it is written to, as in every key of the metrics topic.
QUALITY_KEY = b"model.quality/0"


class ModelLearner:
    """Learns labels one by one; see `streams.training.trainer.Learner`.

    The state is a function of the labels before an offset. Records that are not labels are skipped and counted.

    Args:
        settings: of the process.

    Attributes:
        model: what was learned.
        skipped: records that are not labels, since the last `restore`.
    """

    def __init__(self, settings: Settings) -> None:
        pipeline()  # imports River at the start, not during the first labels
        self.model = Model(SPACE)
        self.skipped = 0
        self._metrics = name_of(METRICS, settings)

    def restore(self, snapshot: bytes | None) -> None:
        """Start from a published snapshot, or from an untrained model.

        Raises:
            SnapshotRefused: it is not a snapshot, or one of another feature catalogue; the model stays as it is.
        """
        try:
            self.model = Model(SPACE) if snapshot is None else Model.restore(snapshot, SPACE)
        except ModelSnapshotError as error:
            raise SnapshotRefused(str(error)) from error
        self.skipped = 0
        log.info("the model has learned %d labels", self.model.labels)

    def learn(self, labels: list[bytes], skip: SkipLabel = ignore) -> Sequence[Output]:
        """Learn in order; returns the model's quality, measured on each label before it is learned."""
        for place, value in enumerate(labels):
            try:
                example = read_label(value)
            except LabelError as error:
                self.skipped += 1
                skip(place, str(error))
                continue
            self.model.learn(
                np.frombuffer(example.features),
                np.frombuffer(example.population),
                bool(example.label),
                example.release_ms // DAY_MS,
                example.probability,
                example.members,
                example.involuntary,
            )
        return [Output(self._metrics, 0, QUALITY_KEY, self._quality())]

    def snapshot(self) -> bytes:
        """Return the whole model as JSON."""
        return self.model.snapshot()

    def _quality(self) -> bytes:
        quality, quality_log = self.model.quality, self.model.quality_log
        overall = quality_log.quality
        return orjson.dumps(
            {
                "labels": quality.labels,
                "positives": quality.positives,
                "skipped": self.skipped,
                "answering": quality.active,
                "trust": quality.trust,
                "log_loss": {
                    "answer": quality.answer,
                    "champion": quality.champion,
                    "challenger": quality.challenger,
                    "prior": quality.prior,
                },
                "auc": overall.auc,
                "ece": overall.ece,
                "brier": overall.brier,
                "rate": overall.rate,
                "mean_probability": overall.mean_probability,
                "reliability": [
                    {
                        "n": row.n,
                        "lowest": _short(row.lowest),
                        "highest": _short(row.highest),
                        "probability": _short(row.mean_probability),
                        "rate": _short(row.rate),
                        "low": _short(row.rate_low),
                        "high": _short(row.rate_high),
                    }
                    for row in overall.reliability()
                ],
                "days": [[_short(value) for value in row] for row in quality_log.days()],
                "involuntary": self._involuntary(),
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    def _involuntary(self) -> dict[str, Any] | None:
        """Return the same figures for involuntary churn; None if it has no label of its own."""
        head = self.model.involuntary
        if head is None:
            return None
        overall, days = head.quality_log.quality, head.quality_log.days()
        if not days:
            return None
        newest = days[-1]
        return {
            "labels": head.labels,
            "positives": head.positives,
            "log_loss": {"answer": newest.log_loss, "prior": newest.prior},
            "auc": overall.auc,
            "ece": overall.ece,
            "brier": overall.brier,
            "rate": overall.rate,
            "mean_probability": overall.mean_probability,
        }


def _short(value: float | None) -> float | None:
    """Round to six digits, so that 400 days take 20 KB."""
    return round(value, 6) if isinstance(value, float) else value
