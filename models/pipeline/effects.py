"""The input of the fold for one batch, and all effects of the batch."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alerts.alert_state import AlertState
from models.events.event import Event
from models.events.unreadable import UnreadableCounts
from models.features.scoring_point import ScoringPoint
from models.labels.training_example import TrainingExample
from models.pipeline.alert_tracker import AlertOutput
from models.pipeline.batch import DeletedCustomer
from models.pipeline.ranking import BatchScores
from models.value.forecast_state import DailyForecasts
from models.value.purchase_aggregates import CellSnapshot

Floats = NDArray[np.float64]


class OffsetEvent(NamedTuple):
    """A decoded event and its offset in the partition."""

    offset: int
    event: Event


class FoldEffects(msgspec.Struct):
    """All effects of one call of `PartitionFold.process`. They take effect only when the caller commits them.

    Rows of the arrays are rows of `points`; `published_rows` are the rows whose scores are published.
    """

    changes: dict[bytes, bytes | None]
    alerts: list[AlertOutput]
    examples: list[TrainingExample]
    points: list[ScoringPoint]
    x: Floats
    m: Floats
    scores: BatchScores
    percentile: Floats
    band: list[int]
    previous: list[float | None]
    published_rows: list[int]
    alert_after: dict[int, AlertState]
    deleted: list[DeletedCustomer]
    model: str
    trust: float
    value_forecasts: DailyForecasts
    cell_snapshots: list[CellSnapshot]
    duplicates: int
    censored: int
    unreadable: UnreadableCounts
    state: bytes


__all__ = ["FoldEffects", "OffsetEvent"]
