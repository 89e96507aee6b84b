"""The scores to publish of one partition, each with the customer's newest published scores as its history."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final, NamedTuple

from models.outputs.records import ScoredBatch
from models.outputs.score_batch import ScorePayload
from models.outputs.score_history import HISTORY_BYTES, append_history, append_history_text, history_json
from models.outputs.score_record import OutputContext
from models.pipeline.effects import FoldEffects
from models.profile.keys import StateStore, history_key

HISTORIES_KEPT: Final = 20_000  # between batches, about 1.2 KB each: the next score of the customer needs no read

Histories = dict[bytes, bytes | None]
"""Encoded histories by their keys, as they are to be stored."""


class ScoreRecord(NamedTuple):
    """One record for `churn-scores`; the value is None for a customer whose records are removed."""

    customer: bytes
    value: bytes | None


class ScoreBatch(NamedTuple):
    """The scores of a batch before their values are rendered.

    Attributes:
        customers: The customers in order of their records; False: the customer's records are removed.
        payloads: All that rendering the values takes.
        histories: To store.
    """

    customers: list[tuple[bytes, bool]]
    payloads: list[ScorePayload]
    histories: Histories

    def records(self, values: list[bytes]) -> list[ScoreRecord]:
        """The records, given the rendered values of `payloads` in order."""
        remaining = iter(values)
        return [ScoreRecord(customer, next(remaining) if known else None) for customer, known in self.customers]


class _History(NamedTuple):
    """The published scores of a customer, as stored and as JSON text."""

    record: bytes
    text: bytes


_NONE: Final = _History(b"", history_json(b""))


class ScoreHistory:
    """Prepares the scores that a partition publishes, batch after batch.

    The newest customers' histories are kept between batches. The caller commits what a batch returns before the next
    batch, or discards this object, so that what is kept is never ahead of the store.

    Args:
        context: What all values of the partition have in common (`PartitionFold.context`).
        store: Where histories are read from.
    """

    def __init__(self, context: OutputContext, store: StateStore) -> None:
        self._context, self._store = context, store
        self._kept: dict[bytes, _History] = {}

    def to_records(self, effects: FoldEffects) -> tuple[list[ScoreRecord], Histories]:
        """The records of a batch in order, and the histories to store with its changes."""
        batch = self.prepare(effects)
        values = [value for payload in batch.payloads for value in payload.values()]
        return batch.records(values), batch.histories

    def prepare(self, effects: FoldEffects) -> ScoreBatch:
        """Everything of a batch but the values, which are expensive and can be rendered in another process."""
        rows, points = effects.published_rows, effects.points
        if not rows and not effects.deleted:
            return ScoreBatch([], [], {})
        keys = [history_key(points[row].key) for row in rows]
        histories = self._take(keys)
        customers: list[tuple[bytes, bool]] = []
        deleted = deque(effects.deleted)

        def remove_next() -> None:
            key = deleted.popleft().key
            histories[history_key(key)] = _NONE
            customers.append((key[1:], False))

        scores, trust = effects.scores, effects.trust
        batch = ScoredBatch(self._context, points, effects.x, effects.m, scores, trust, effects.value_forecasts, rows)
        published = []
        probabilities, percentiles = scores.probability[rows].tolist(), effects.percentile[rows].tolist()
        for row, key, probability, percentile in zip(rows, keys, probabilities, percentiles, strict=True):
            point = points[row]
            while deleted and deleted[0].position < point.position:
                remove_next()
            record, text = histories[key]
            text = append_history_text(text, len(record) == HISTORY_BYTES, point.at_ms, probability)
            histories[key] = _History(append_history(record, point.at_ms, probability), text)
            alert = effects.alert_after.get(row)
            published.append(
                batch.published_score(row, percentile, effects.band[row], text, effects.previous[row], alert)
            )
            customers.append((point.key[1:], True))
        while deleted:
            remove_next()
        self._keep(histories)
        payloads = ScorePayload.of(batch, scores.model, published)
        return ScoreBatch(customers, payloads, {key: history.record or None for key, history in histories.items()})

    def _take(self, keys: list[bytes]) -> dict[bytes, _History]:
        """The histories of these keys, which are then no longer kept."""
        wanted = dict.fromkeys(keys)
        missing = [key for key in wanted if key not in self._kept]
        read = {
            key: _History(record, history_json(record)) if record else _NONE
            for key, record in zip(missing, self._store.get_many(missing), strict=True)
        }
        return {key: read[key] if key in read else self._kept.pop(key) for key in wanted}

    def _keep(self, newest: dict[bytes, _History]) -> None:
        kept = self._kept
        kept.update(newest)
        for key in list(itertools.islice(kept, max(len(kept) - HISTORIES_KEPT, 0))):
            del kept[key]


def to_records(context: OutputContext, effects: FoldEffects, store: StateStore) -> tuple[list[ScoreRecord], Histories]:
    """The records of one batch and the histories to store, from a new `ScoreHistory`."""
    return ScoreHistory(context, store).to_records(effects)


__all__ = ["HISTORIES_KEPT", "Histories", "ScoreBatch", "ScoreHistory", "ScoreRecord", "to_records"]
