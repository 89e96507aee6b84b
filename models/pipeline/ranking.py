"""Steps 3 and 4 of the fold: one array of features for a batch, one product for all scores, and their ranks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.definition.competing_risks import Horizons
from models.features.catalogue import FEATURES, compute
from models.features.peer_means import PeerMeans
from models.features.scoring_point import SNAPSHOT, LogPosition, ScoringPoint
from models.learning.combined_scores import CauseScorer, CombinedScores, score_both
from models.learning.scorer import Scores
from models.pipeline.batch import FoldBatch
from models.profile.codec import UNSCORED

Floats = NDArray[np.float64]
BatchScores = Scores | CombinedScores
"""Scores of a batch: of churn, or of churn by two causes where `churn.toml` declares involuntary churn."""


class RiskScorer(Protocol):
    """An immutable view of a model; `models.learning.model.ModelScorer` is one."""

    @property
    def version(self) -> str: ...
    @property
    def trust(self) -> float: ...
    @property
    def involuntary(self) -> CauseScorer: ...
    def score(self, x: Floats, m: Floats) -> Scores: ...


class ScoredPoints(NamedTuple):
    """The scoring points of a batch in log order, and their scores; arrays are (n,), x and m (n, d).

    Attributes:
        x, m: Features, and the peers' level that each point read.
        snapshot_ms: The time of each point that is a snapshot, None for the others.
    """

    points: list[ScoringPoint]
    x: Floats
    m: Floats
    scores: BatchScores
    snapshot_ms: list[int | None]


class Comparison(NamedTuple):
    """Each point compared with the customer's previous score.

    Attributes:
        previous: The probability before, None for a first score.
        published_rows: Rows that are published because a day has passed, or because the band has changed.
        newest: Probability and band of each customer after the batch, by profile key.
    """

    previous: list[float | None]
    published_rows: set[int]
    newest: dict[bytes, tuple[float, int]]


def score_points(batch: FoldBatch, peers: PeerMeans, scorer: RiskScorer, horizons: Horizons | None) -> ScoredPoints:
    """Compute features and scores of all points in log order: points read the peer means, and snapshots update them."""
    order = log_order([point.position for point in batch.points])
    points = [batch.points[i] for i in order.tolist()]
    x = compute(batch.rows)[order] if points else np.empty((0, len(FEATURES)))
    snapshot_ms = [point.at_ms if point.trigger == SNAPSHOT else None for point in points]
    m = peers.levels(x, snapshot_ms)
    scores = scorer.score(x, m) if horizons is None else score_both(scorer, x, m, horizons)
    return ScoredPoints(points, x, m, scores, snapshot_ms)


def compare(
    points: Sequence[ScoringPoint],
    probability: Sequence[float],
    band: Sequence[int],
    before: Mapping[bytes, tuple[float, int]],
) -> Comparison:
    """Compare each point with the customer's previous score, which can be another point of the batch.

    Args:
        points: Of the batch, in log order.
        probability, band: Of each point.
        before: Probability and band of each customer before the batch.
    """
    newest, previous, published = dict(before), [], set()
    for row, (point, p, b) in enumerate(zip(points, probability, band, strict=True)):
        last, last_band = (UNSCORED, 0) if point.first else newest[point.key]
        previous.append(None if last == UNSCORED else last)
        if point.due_to_publish or b != last_band:
            published.add(row)
        newest[point.key] = p, b
    return Comparison(previous, published, newest)


def log_order(positions: Sequence[LogPosition]) -> NDArray[np.intp]:
    """The indices that sort positions in log order: events by their index, deadlines before the event that advanced the
    clock past them, by due time and then by the hash of the key."""
    flat = np.fromiter(itertools.chain.from_iterable(positions), np.uint64, 3 * len(positions))
    step, due, order = flat.reshape(-1, 3).T
    return np.lexsort((order, due, step))


__all__ = ["BatchScores", "Comparison", "RiskScorer", "ScoredPoints", "compare", "log_order", "score_points"]
