"""The score book of a partition: the values of the scores that readers are told of, and the scores told before them."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Final, NamedTuple

from models.outputs import HISTORY_BYTES, Context, ScoredBatch, remember, remember_text, spelled
from models.partition import Effects
from models.store import Store, history_key

CHUNK_ROWS: Final = 128  # explained together; some hundred numbers of each are objects meanwhile, and fit into a cache
HISTORIES_KEPT: Final = 20_000  # between batches, some 1.2 KB each: whoever is told of again soon needs no reading


class Told(NamedTuple):
    """One value for `churn-scores`; None for a customer of whom nothing is kept any more."""

    customer: bytes
    value: bytes | None


class _History(NamedTuple):
    """Scores told of a customer, as they are stored and as they are told."""

    record: bytes
    text: bytes


_NONE: Final = _History(b"", spelled(b""))
Histories = dict[bytes, bytes | None]
"""By their keys, as they are to be stored."""


class ScoreBook:
    """Tells a partition's scores, batch after batch.

    The newest customers' histories are kept between batches. The caller commits what `tell` says before the next batch
    or throws this object away, so what is kept is never ahead of the store.

    Args:
        context: What all values of the partition have in common (`Partition.context`).
        store: Where histories are read from.
    """

    def __init__(self, context: Context, store: Store) -> None:
        self._context, self._store = context, store
        self._kept: dict[bytes, _History] = {}

    def tell(self, effects: Effects) -> tuple[list[Told], Histories]:
        """The values of a batch in order, and the histories to store with its changes."""
        rows, points = effects.told, effects.points
        if not rows and not effects.forgotten:
            return [], {}
        keys = [history_key(points[row].key) for row in rows]
        histories = self._take(keys)
        told: list[Told] = []
        gone = deque(effects.forgotten)

        def forget() -> None:
            key = gone.popleft().key
            histories[history_key(key)] = _NONE
            told.append(Told(key[1:], None))

        probabilities, percentiles = effects.scores.probability[rows].tolist(), effects.percentile[rows].tolist()
        for place, (row, key) in enumerate(zip(rows, keys, strict=True)):
            if place % CHUNK_ROWS == 0:
                chunk = rows[place : place + CHUNK_ROWS]
                x, m, scores, trust = effects.x, effects.m, effects.scores, effects.trust
                batch = ScoredBatch(self._context, points, x, m, scores, trust, effects.outlooks, chunk)
            point, probability = points[row], probabilities[place]
            while gone and gone[0].place < point.place:
                forget()
            record, text = histories[key]
            text = remember_text(text, len(record) == HISTORY_BYTES, point.at_ms, probability)
            histories[key] = _History(remember(record, point.at_ms, probability), text)
            value = batch.score_value(
                row, percentiles[place], effects.band[row], text, effects.previous[row], effects.alert_after.get(row)
            )
            told.append(Told(point.key[1:], value))
        while gone:
            forget()
        self._keep(histories)
        return told, {key: history.record or None for key, history in histories.items()}

    def _take(self, keys: list[bytes]) -> dict[bytes, _History]:
        """The histories of these keys; what is taken is no longer kept."""
        wanted = dict.fromkeys(keys)
        missing = [key for key in wanted if key not in self._kept]
        read = {
            key: _History(record, spelled(record)) if record else _NONE
            for key, record in zip(missing, self._store.get_many(missing), strict=True)
        }
        return {key: read[key] if key in read else self._kept.pop(key) for key in wanted}

    def _keep(self, newest: dict[bytes, _History]) -> None:
        kept = self._kept
        kept.update(newest)
        for key in list(itertools.islice(kept, max(len(kept) - HISTORIES_KEPT, 0))):
            del kept[key]


def tell(context: Context, effects: Effects, store: Store) -> tuple[list[Told], Histories]:
    """What a new `ScoreBook` says of a batch."""
    return ScoreBook(context, store).tell(effects)
