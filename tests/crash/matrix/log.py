"""Inputs of a run: simulated events, a churn definition with days instead of months, and a fixed model."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.simulation import SimulatedEvent, Simulation, SimulationSettings
from streams.kafka.partitioner import partition_of
from tests.broker.oracle import CHURN

PARTITIONS: Final = 4
EVENTS: Final = 6_000  # of 80 customers over five weeks

DEFINITION: Final = ChurnDefinition.parse(CHURN)


def events_of(seed: int, count: int = EVENTS) -> list[SimulatedEvent]:
    """Return the first events of a simulation."""
    return list(itertools.islice(Simulation(SimulationSettings(customers=80, days=90, seed=seed)).events(), count))


@lru_cache(maxsize=1)
def snapshot() -> bytes:
    """Train a model on other customers."""
    model = Model(SPACE)
    simulation = Simulation(SimulationSettings(customers=60, days=40, seed=8))
    backtest = Backtest(DEFINITION, model, 1, partition_of)
    for _ in backtest.run(event for e in simulation.events() if isinstance(event := decode(e.value, (), None), Event)):
        pass
    return model.snapshot()


def home_of(customer: str) -> int:
    """Return the partition of a customer."""
    return partition_of(customer.encode(), PARTITIONS)
