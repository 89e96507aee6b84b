"""The experience sums of a finite log: the workers' fold with a model that never learns.

Labels and their context do not depend on the model, so its scores do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event
from models.experience.aggregates import Sums


class _FrozenLearner:
    """A learner that learns nothing."""

    def __init__(self, scorer: Any) -> None:
        self._scorer = scorer

    def learn(self, *_: Any) -> None:
        """Ignore the example."""

    def scorer(self) -> Any:
        return self._scorer


class ExperienceLog:
    """Computes the experience sums of a log.

    Args:
        definition: The churn definition with its goals.
        scorer: The scorer of any model.
    """

    def __init__(self, definition: ChurnDefinition, scorer: Any) -> None:
        self.run = Backtest(definition, _FrozenLearner(scorer), 1, lambda key, partitions: 0)

    def read(self, events: Iterable[Event]) -> Iterator[int]:
        """Read the events in order; yield their number after each day."""
        return self.run.run(events)

    def sums(self) -> Sums:
        """Return the sums of all events so far, including the current day."""
        [partition], [store] = self.run.partitions, self.run.stores
        return partition.experience.whole(store.records.items())
