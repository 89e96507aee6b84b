"""What the processors of a worker's partitions share: names, limits, and the scorer of the newest model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from models.definition.churn_definition import ChurnDefinition
from models.learning.feature_space import SPACE
from models.learning.model import Model, ModelScorer
from models.learning.model_snapshot import ModelSnapshotError
from streams.errors import SnapshotRefused
from streams.kafka.control_signature import ControlSignatures
from streams.kafka.model_reader import PublishedSnapshot
from streams.logs import get_logger
from streams.scoring.evidence_log import EvidenceLog
from streams.scoring.explain_protocol import ExplainClient
from streams.settings import Settings
from streams.topics import ALERTS, CHANGELOG, DEAD_LETTERS, EVENTS, LABELS, METRICS, SCORES, name_of

log = get_logger(__name__)

# Kafka's default for `max.message.bytes`.
KAFKA_LIMIT_BYTES: Final = 1_048_588
# Room for the forwarding headers and for what a batch adds to one record. A larger record becomes a dead letter: if the
# topic refused it, this worker and every worker after it would stop.
MARK_BYTES: Final = 1_024
# Scores of a batch from which on another process renders them: a request costs as much as rendering ten, and some ms.
DEFERRED_MIN: Final = 16


def _wall_ms() -> int:
    return int(time.time() * 1000)


class ProcessorContext:
    """What the partitions of a worker share.

    Args:
        settings: of the process.
        definition: what churn means.
        partitions: number of partitions of the events topic.
        limit_bytes: the largest record that the events topic accepts.
        wall_ms: the clock; it decides only when a record was received and when the accounting is flushed.

    Attributes:
        control: verifies the signatures of control events.
        explainer: the process that renders scores; None to render them here.
        deferred_min: scores of a batch from which on the explainer renders them.
        evidence: reports in the log what keeps events from meeting the definition.
    """

    def __init__(
        self,
        settings: Settings,
        definition: ChurnDefinition,
        partitions: int,
        limit_bytes: int = KAFKA_LIMIT_BYTES,
        wall_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        self.definition = definition
        self.partitions = partitions
        self.forward_bytes = limit_bytes - MARK_BYTES
        self.wall_ms = wall_ms
        self.events = name_of(EVENTS, settings)
        self.changelog = name_of(CHANGELOG, settings)
        self.dead_letters = name_of(DEAD_LETTERS, settings)
        self.alerts = name_of(ALERTS, settings)
        self.scores = name_of(SCORES, settings)
        self.scores_compression = settings.compression_of(self.scores)
        self.labels = name_of(LABELS, settings)
        self.metrics = name_of(METRICS, settings)
        self.model = settings.model_name
        self.control = ControlSignatures(settings)
        self.evidence = EvidenceLog(definition)
        self.explainer: ExplainClient | None = None
        self.deferred_min = DEFERRED_MIN
        self.scorer: ModelScorer = Model(SPACE).scorer()  # until there is a snapshot
        self.snapshot: PublishedSnapshot | None = None

    def on_snapshot(self, snapshot: PublishedSnapshot) -> None:
        """Score with this model from the next batch on.

        Raises:
            SnapshotRefused: this release cannot score with it; the model stays as it is.
        """
        try:
            self.scorer = Model.restore_scorer(snapshot.value, SPACE)
        except ModelSnapshotError as error:
            raise SnapshotRefused(str(error)) from error
        self.snapshot = snapshot
        log.info("scoring with model %s, labels before %d", self.scorer.version, snapshot.labels_offset)
