"""What the trainer learns: the model, from the labels of `churn-labels` in the topic's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from models.labels.codec import LabelError, read_label
from models.learning.model import Model
from models.learning.model_snapshot import ModelSnapshotError
from models.profile.mergeable import DAY_MS
from streams.engine.contract import Output
from streams.errors import ConfigurationError
from streams.logs import get_logger
from streams.scoring.event_processor import SPACE
from streams.settings import Settings
from streams.topics import LABELS, METRICS, name_of

log = get_logger(__name__)

# Compacted to the newest; the number is the partition that it is written to, as with every metric.
QUALITY_KEY = b"model.quality/0"


class ModelLearner:
    """Learns labels one by one; see `streams.training.trainer.Learner`.

    The state is a function of the labels before an offset: records that are no labels are skipped and counted, the same
    ones whenever they are read again.
    """

    def __init__(self, settings: Settings) -> None:
        self.model = Model(SPACE)
        self.skipped = 0
        self._name = settings.model_name
        self._metrics = name_of(METRICS, settings)
        self._labels = name_of(LABELS, settings)

    def restore(self, snapshot: bytes | None) -> None:
        """Start from a published snapshot, or from nothing.

        Raises:
            ConfigurationError: the snapshot is of another catalogue of features, or is none.
        """
        self.skipped = 0
        try:
            self.model = Model(SPACE) if snapshot is None else Model.restore(snapshot, SPACE)
        except ModelSnapshotError as error:
            raise ConfigurationError(f"model {self._name}: {error}") from error
        log.info("the model has learned %d labels", self.model.labels)

    def learn(self, labels: list[bytes]) -> Sequence[Output]:
        """Learn in order; returns how good the model has been, on labels that it had not seen."""
        for value in labels:
            try:
                example = read_label(value)
            except LabelError as error:
                self.skipped += 1
                log.warning("skipped: %s", error, topic=self._labels, partition=0)
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
        """The whole model as JSON."""
        return self.model.snapshot()

    def _quality(self) -> bytes:
        quality, journal = self.model.quality, self.model.quality_log
        seen = journal.quality
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
                "auc": seen.auc,
                "ece": seen.ece,
                "brier": seen.brier,
                "rate": seen.rate,
                "mean_probability": seen.mean_probability,
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
                    for row in seen.reliability()
                ],
                "days": [[_short(one) for one in row] for row in journal.days()],
                "involuntary": self._second(),
            },
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    def _second(self) -> dict[str, Any] | None:
        """The same figures of losses by payment; None where they have no label of their own."""
        head = self.model.involuntary
        if head is None:
            return None
        seen, *_, newest = head.quality_log.quality, *head.quality_log.days()
        return {
            "labels": head.labels,
            "positives": head.positives,
            "log_loss": {"answer": newest.log_loss, "prior": newest.prior},
            "auc": seen.auc,
            "ece": seen.ece,
            "brier": seen.brier,
            "rate": seen.rate,
            "mean_probability": seen.mean_probability,
        }


def _short(value: float | None) -> float | None:
    """Six digits: 400 days are then 20 KB."""
    return round(value, 6) if isinstance(value, float) else value
