"""The score book of a partition: the values of the scores that readers are told of, and the scores told before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from models.outputs import Context, ScoredBatch, recall, remember
from models.partition import Effects
from models.store import Store, history_key

CHUNK_ROWS: Final = 128  # explained together; some hundred numbers of each are objects meanwhile, and fit into a cache


class Told(NamedTuple):
    """One value for `churn-scores`; None for a customer of whom nothing is kept any more."""

    customer: bytes
    value: bytes | None


def tell(context: Context, effects: Effects, store: Store) -> tuple[list[Told], dict[bytes, bytes | None]]:
    """The values of a batch in order, and the histories to store with its changes.

    Args:
        context: What all values of the partition have in common (`Partition.context`).
        effects: Of the batch.
        store: Where histories are read from.
    """
    rows, points = effects.told, effects.points
    if not rows and not effects.forgotten:
        return [], {}
    keys = [history_key(points[row].key) for row in rows]
    histories = _histories(keys, store)
    told: list[Told] = []
    gone = deque(effects.forgotten)

    def forget() -> None:
        key = gone.popleft().key
        histories[history_key(key)] = b""
        told.append(Told(key[1:], None))

    for place, (row, key) in enumerate(zip(rows, keys, strict=True)):
        if place % CHUNK_ROWS == 0:
            chunk = rows[place : place + CHUNK_ROWS]
            batch = ScoredBatch(context, points, effects.x, effects.m, effects.scores, effects.trust, chunk)
        point, probability = points[row], float(effects.scores.probability[row])
        while gone and gone[0].place < point.place:
            forget()
        histories[key] = history = remember(histories[key], point.at_ms, probability)
        value = batch.score_value(
            row,
            float(effects.percentile[row]),
            effects.band[row],
            recall(history),
            effects.previous[row],
            effects.alert_after.get(row),
        )
        told.append(Told(point.key[1:], value))
    while gone:
        forget()
    return told, {key: history or None for key, history in histories.items()}


def _histories(keys: Sequence[bytes], store: Store) -> dict[bytes, bytes]:
    wanted = list(dict.fromkeys(keys))
    found: list[Any] = store.get_many(wanted)
    return {key: data or b"" for key, data in zip(wanted, found, strict=True)}
