"""The scores of a batch as data, from which any process can render the published values."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from models.features.catalogue import NAMES
from models.outputs.records import ScoredBatch
from models.outputs.score_record import Floats, Lineage, PublishedScore, ScoreContributions, score_value
from models.profile.dunning import unpaid_days
from models.value.forecast_state import read_forecast

CHUNK_ROWS: Final = 128  # explained together: their objects fit into the CPU cache


class ScorePayload(msgspec.Struct, array_like=True, gc=False):
    """Consecutive scores that are explained together.

    Arrays are the bytes of float64, row after row: (n, d) features, levels and contributions, (n,) bias and log-odds.
    """

    context: Lineage
    model: str
    trust: float
    value_forecasts: list[bytes]
    scores: list[PublishedScore]
    x: bytes
    m: bytes
    contributions: bytes
    bias: bytes
    log_odds: bytes

    @classmethod
    def of(cls, batch: ScoredBatch, model: str, scores: list[PublishedScore]) -> list[ScorePayload]:
        """The payloads of all rows of a batch."""
        parts, found = batch.contributions(), []
        for start in range(0, len(scores), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            arrays = [each[rows].tobytes() for each in parts[:5]]
            found.append(cls(batch.context.lineage, model, parts.trust, batch.value_forecasts, scores[rows], *arrays))
        return found

    def values(self) -> list[bytes]:
        """The `churn-scores` values: a function of the payload alone."""
        x, m, contributions = (
            _array(each).reshape(len(self.scores), len(NAMES)) for each in (self.x, self.m, self.contributions)
        )
        explained = ScoreContributions(
            x, m, contributions, _array(self.bias), _array(self.log_odds), self.trust
        ).explained([unpaid_days(score.profile_view.dunning, score.at_ms) for score in self.scores])
        value_forecasts = [read_forecast(each) for each in self.value_forecasts]
        return [
            score_value(self.context, self.model, score, explained, i, value_forecasts[score.value_forecast])
            for i, score in enumerate(self.scores)
        ]


def _array(data: bytes) -> Floats:
    return np.frombuffer(data, np.float64)
