"""What is known of every customer at the end of a log: the values that `churn-scores` would hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from models.backtesting.backtest import Backtest, MemoryStore
from models.outputs.score_history import without_newest
from models.pipeline.effects import FoldEffects
from models.pipeline.score_history import ScoreHistory
from models.profile.keys import PROFILE, history_key, profile_key

SCORED_TOGETHER: Final = 1_000


class FinalScores:
    """Follows a backtest, and renders the newest score of its customers when it has ended.

    Every customer is scored with the newest model, as of their newest event, or as of their newest score if that is
    later: a customer who has been silent for long. A worker would have scored most of them at the same time already;
    the others have an event that no score covers yet.

    Args:
        run: A backtest that has not begun.
    """

    def __init__(self, run: Backtest) -> None:
        self._run = run
        self._histories = [
            ScoreHistory(fold.context, store) for fold, store in zip(run.partitions, run.stores, strict=True)
        ]
        run.on_effects = self._follow

    def _follow(self, partition: int, effects: FoldEffects) -> None:
        self._run.stores[partition].apply(self._histories[partition].prepare(effects).histories)

    def values(self, customers: Iterable[str] | None = None) -> Iterator[bytes]:
        """Yield the values of these customers, or of all, ordered by partition and id; skip those without a record."""
        wanted = None if customers is None else {profile_key(customer) for customer in customers}
        for fold, store in zip(self._run.partitions, self._run.stores, strict=True):
            known = [key for key in store.records if key[:1] == PROFILE and (wanted is None or key in wanted)]
            keys = iter(sorted(known))
            while chunk := list(islice(keys, SCORED_TOGETHER)):
                effects = fold.score_now(chunk)
                _replace_newest(effects, store)
                records, _ = ScoreHistory(fold.context, store).to_records(effects)
                yield from (record.value for record in records if record.value is not None)


def _replace_newest(effects: FoldEffects, store: MemoryStore) -> None:
    """Where a score replaces one of the same time, remove that one, so that the history has each time once."""
    for row, point in enumerate(effects.points):
        key = history_key(point.key)
        history, previous = without_newest(store.records.get(key, b""), point.at_ms)
        if history is not None:
            store.apply({key: history or None})
            effects.previous[row] = previous
