"""The sums of satisfaction, barriers and goals of a finite log: the workers' fold with a model that never learns.

Labels and circumstances do not depend on the model, so that what it says does not matter here.
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
        """Nothing."""

    def scorer(self) -> Any:
        return self._scorer


class ExperienceLog:
    """A log's events in their order.

    Args:
        definition: What churn means, and which goals there are.
        scorer: Any model's.
    """

    def __init__(self, definition: ChurnDefinition, scorer: Any) -> None:
        self.run = Backtest(definition, _FrozenLearner(scorer), 1, lambda key, partitions: 0)

    def read(self, events: Iterable[Event]) -> Iterator[int]:
        """Takes the events; yields how many there were after each day."""
        return self.run.run(events)

    def sums(self) -> Sums:
        """What all events so far add up to, the day that is not over included."""
        [partition], [store] = self.run.partitions, self.run.stores
        return partition.experience.whole(store.records.items())
