"""Prediction quality of voluntary churn, involuntary churn and both together, over examples with both labels."""

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


def evaluate_causes(
    examples: Sequence[TrainingExample],
    definition: ChurnDefinition,
    start_ms: int | None = None,
    to_ms: int | None = None,
) -> tuple[CauseQuality, ...]:
    """Evaluate voluntary, involuntary and together, over the examples with start_ms <= snapshot_ms < to_ms.

    Returns an empty tuple if the definition has no involuntary label.
    """
    involuntary = definition.involuntary
    if involuntary is None:
        return ()
    first, last = start_ms if start_ms is not None else 0, to_ms if to_ms is not None else 1 << 62
    rows = [
        (e.snapshot_ms, e.label, e.probability, e.involuntary.label, e.involuntary.probability)
        for e in examples
        if e.involuntary is not None and e.involuntary.probability is not None and first <= e.snapshot_ms < last
    ]
    at, label, probability, second_label, second_probability = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    return (
        CauseQuality(VOLUNTARY, definition.horizon_ms / DAY_MS, PredictionQuality.of(label, probability, at)),
        CauseQuality(
            INVOLUNTARY, involuntary.horizon_ms / DAY_MS, PredictionQuality.of(second_label, second_probability, at)
        ),
        CauseQuality(
            TOGETHER,
            None,
            PredictionQuality.of(label + second_label, np.minimum(probability + second_probability, HIGHEST), at),
        ),
    )
