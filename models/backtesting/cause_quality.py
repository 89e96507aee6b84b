"""How good the probabilities of either cause of loss were, and of both together: of examples that have both labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.backtesting.report import CauseQuality, PredictionQuality
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import INVOLUNTARY, VOLUNTARY
from models.duration import DAY_MS
from models.labels.training_example import TrainingExample
from models.learning.combined_scores import HIGHEST

TOGETHER = "together"


def judge_causes(
    examples: Sequence[TrainingExample],
    definition: ChurnDefinition,
    start_ms: int | None = None,
    to_ms: int | None = None,
) -> tuple[CauseQuality, ...]:
    """Voluntary, involuntary and together, over the examples with start_ms <= snapshot_ms < to_ms; nothing without a
    label of losses by payment."""
    second = definition.involuntary
    if second is None:
        return ()
    first, last = start_ms if start_ms is not None else 0, to_ms if to_ms is not None else 1 << 62
    rows = [
        (e.snapshot_ms, e.label, e.probability, e.involuntary.label, e.involuntary.probability)
        for e in examples
        if e.involuntary is not None and e.involuntary.probability is not None and first <= e.snapshot_ms < last
    ]
    at, label, said, other, other_said = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    return (
        CauseQuality(VOLUNTARY, definition.horizon_ms / DAY_MS, PredictionQuality.of(label, said, at)),
        CauseQuality(INVOLUNTARY, second.horizon_ms / DAY_MS, PredictionQuality.of(other, other_said, at)),
        CauseQuality(TOGETHER, None, PredictionQuality.of(label + other, np.minimum(said + other_said, HIGHEST), at)),
    )
