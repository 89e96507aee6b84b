"""The score book of a partition: the values of the scores that readers are told of, and the scores told before them."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final, NamedTuple

from models.outputs.records import OutputContext, ScoredBatch
from models.outputs.score_batch import ScorePayload
from models.outputs.score_history import HISTORY_BYTES, append_history, append_history_text, history_json
from models.pipeline.partition import FoldEffects
from models.profile.keys import StateStore, history_key

HISTORIES_KEPT: Final = 20_000  # between batches, some 1.2 KB each: whoever is told of again soon needs no reading


Histories = dict[bytes, bytes | None]
"""By their keys, as they are to be stored."""


class ScoreRecord(NamedTuple):
    """One value for `churn-scores`; None for a customer of whom nothing is kept any more."""

    customer: bytes
    value: bytes | None


class ScoreBatch(NamedTuple):
    """A batch of the book.

    Attributes:
        customers: Of whom something is told, in order; False: that nothing is kept of them any more.
        tellings: What says the values of the others.
        histories: To store.
    """

    customers: list[tuple[bytes, bool]]
    tellings: list[ScorePayload]
    histories: Histories

    def told(self, values: list[bytes]) -> list[ScoreRecord]:
        """With the values, one for each score of `tellings`."""
        said = iter(values)
        return [ScoreRecord(customer, next(said) if known else None) for customer, known in self.customers]


class _History(NamedTuple):
    """Scores told of a customer, as they are stored and as they are told."""

    record: bytes
    text: bytes


_NONE: Final = _History(b"", history_json(b""))


class ScoreHistory:
    """Tells a partition's scores, batch after batch.

    The newest customers' histories are kept between batches. The caller commits what `to_records` says before the next batch
    or throws this object away, so what is kept is never ahead of the store.

    Args:
        context: What all values of the partition have in common (`Partition.context`).
        store: Where histories are read from.
    """

    def __init__(self, context: OutputContext, store: StateStore) -> None:
        self._context, self._store = context, store
        self._kept: dict[bytes, _History] = {}

    def to_records(self, effects: FoldEffects) -> tuple[list[ScoreRecord], Histories]:
        """The values of a batch in order, and the histories to store with its changes."""
        pages = self.prepare(effects)
        values = [value for telling in pages.tellings for value in telling.values()]
        return pages.told(values), pages.histories

    def prepare(self, effects: FoldEffects) -> ScoreBatch:
        """Of a batch all but the values, which are dear and can be said elsewhere."""
        rows, points = effects.told, effects.points
        if not rows and not effects.forgotten:
            return ScoreBatch([], [], {})
        keys = [history_key(points[row].key) for row in rows]
        histories = self._take(keys)
        customers: list[tuple[bytes, bool]] = []
        gone = deque(effects.forgotten)

        def forget() -> None:
            key = gone.popleft().key
            histories[history_key(key)] = _NONE
            customers.append((key[1:], False))

        scores, trust = effects.scores, effects.trust
        batch = ScoredBatch(self._context, points, effects.x, effects.m, scores, trust, effects.value_forecasts, rows)
        told = []
        probabilities, percentiles = scores.probability[rows].tolist(), effects.percentile[rows].tolist()
        for row, key, probability, percentile in zip(rows, keys, probabilities, percentiles, strict=True):
            point = points[row]
            while gone and gone[0].place < point.place:
                forget()
            record, text = histories[key]
            text = append_history_text(text, len(record) == HISTORY_BYTES, point.at_ms, probability)
            histories[key] = _History(append_history(record, point.at_ms, probability), text)
            alert = effects.alert_after.get(row)
            told.append(batch.told(row, percentile, effects.band[row], text, effects.previous[row], alert))
            customers.append((point.key[1:], True))
        while gone:
            forget()
        self._keep(histories)
        tellings = ScorePayload.of(batch, scores.model, told)
        return ScoreBatch(customers, tellings, {key: history.record or None for key, history in histories.items()})

    def _take(self, keys: list[bytes]) -> dict[bytes, _History]:
        """The histories of these keys; what is taken is no longer kept."""
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
    """What a new `ScoreHistory` says of a batch."""
    return ScoreHistory(context, store).to_records(effects)
