"""The score book of a partition: what each score is told with beside itself. Its rank, its band, the scores before it.

Like the fold it stands on, it is a function of the log: a point's rank is read from the snapshots that were scored
before it, in the order of the log, however the log is cut into batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from models.alerts import AlertSettings
from models.definition import ChurnDefinition
from models.outputs import Context, ScoredBatch, recall, remember
from models.partition import SNAPSHOT, Effects, Store
from models.percentile import Percentiles

HISTORY_KEY: Final = b"h"  # first byte of the keys under which histories are stored
PPM: Final = 1_000_000


class Told(NamedTuple):
    """One value for `churn-scores`."""

    customer: bytes
    value: bytes


def history_key(key: bytes) -> bytes:
    """The store key of a customer's newest scores, from that of the profile.

    >>> history_key(b"calice")
    b'halice'
    """
    return HISTORY_KEY + key[1:]


class ScoreBook:
    """Ranks and histories of one partition's scores.

    Args:
        definition: What churn means; the percentiles forget half of what is a horizon old.
        topic, number: Where the partition's events come from; None and 0 in a backtest.
        state: What `state` returned after the last committed batch, None for a new partition.
    """

    def __init__(self, definition: ChurnDefinition, topic: str | None, number: int, state: bytes | None = None) -> None:
        self.context = Context(definition.label_hash, definition.hash, definition.horizon_ms, topic, number)
        self.settings = AlertSettings.of(definition)
        self.percentiles = Percentiles(definition.horizon_ms)
        if state is not None:
            self.percentiles.restore(msgspec.msgpack.decode(state))

    def tell(self, effects: Effects, store: Store, trust: float) -> tuple[list[Told], dict[bytes, bytes | None]]:
        """The value of every scoring point of a batch in order, and the histories to store with its changes.

        Args:
            effects: Of the batch, right after `Partition.process`: the points' profiles live no longer.
            store: Where histories are read from.
            trust: How far labels, and not the prior, answer (`Scorer.trust`).
        """
        points = effects.points
        if not points:
            return [], {}
        batch = ScoredBatch(self.context, points, effects.x, effects.m, effects.scores, trust)
        keys = [history_key(point.key) for point in points]
        histories = self._histories(keys, store)
        told: list[Told] = []
        for row, (point, key, probability) in enumerate(
            zip(points, keys, effects.scores.probability.tolist(), strict=True)
        ):
            percentile = self.percentiles.percentile(probability)
            band = self.settings.band(probability, percentile, self.percentiles.base)
            if point.trigger == SNAPSHOT:
                self.percentiles.update(probability, point.at_ms)
            before = recall(histories[key])
            histories[key] = remember(histories[key], point.at_ms, probability)
            previous = before[-1][1] / PPM if before else None
            told.append(Told(point.key[1:], batch.score_value(row, percentile, band, histories[key], previous)))
        changes: dict[bytes, bytes | None] = dict(histories)
        return told, changes

    def state(self) -> bytes:
        """As bytes, for the next score book of this partition."""
        return msgspec.msgpack.encode(self.percentiles.state())

    @staticmethod
    def _histories(keys: Sequence[bytes], store: Store) -> dict[bytes, bytes]:
        wanted = list(dict.fromkeys(keys))
        found: list[Any] = store.get_many(wanted)
        return {key: data or b"" for key, data in zip(wanted, found, strict=True)}
