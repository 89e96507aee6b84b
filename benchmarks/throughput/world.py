"""Shared inputs of the benchmarks: the events, the churn definition, and a trained model."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.simulation import Simulation, SimulationSettings
from streams.kafka.partitioner import partition_of

CONFIG = Path(__file__).with_name("churn.toml")
CUSTOMERS = 10_000
SEED = 1
# The model is trained on other customers than those of the benchmark: some 2,000 labels, in a few seconds.
_TRAINING_CUSTOMERS = SimulationSettings(customers=1_000, days=20, seed=SEED + 1)
_PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Input:
    """Events to publish, in order of event time.

    Attributes:
        name: Short name, used in topic names.
        events: Key (the customer) and value (one JSON object) of each event.
        description: Origin of the events, as printed in the table.
    """

    name: str
    events: list[tuple[bytes, bytes]]
    description: str

    def about(self) -> dict[str, Any]:
        """Figures of the input. `busiest` is the 99th percentile of events per customer, in units of the median."""
        counts = sorted(Counter(key for key, _ in self.events).values())
        return {
            "name": self.name,
            "description": self.description,
            "events": len(self.events),
            "customers": len(counts),
            "busiest": counts[-1 - len(counts) // 100] / counts[len(counts) // 2],
            "bytes_each": sum(len(value) for _, value in self.events) / len(self.events),
        }


def uniform(count: int, customers: int = CUSTOMERS) -> Input:
    """Simulated customers from one distribution: some two events per day each, in visits of a few within 40 minutes.

    200,000 events of 10,000 customers cover ten days. The busiest 1% have three times the median. All customers appear
    in the first hour (one event in seven), and these first events cost more than later ones.
    """
    return Input("uniform", list(itertools.islice(endless(customers), count)), "simulated customers")


def endless(customers: int = CUSTOMERS) -> Iterator[tuple[bytes, bytes]]:
    """Yield the events of `uniform` without a practical end."""
    simulation = Simulation(SimulationSettings(customers=customers, days=20_000, seed=SEED))
    return ((event.customer.encode(), event.value) for event in simulation.events())


def zipf(uniform: Input) -> Input:
    """Reassign the same events to customers: the customer of rank r gets a share proportional to 1 / r.

    The history of a customer is no longer consistent (a renewal without a start), but only its cost matters here.
    """
    customers = sorted({key for key, _ in uniform.events})
    shares = 1 / np.arange(1, len(customers) + 1)
    drawn = np.random.default_rng(SEED).choice(len(customers), len(uniform.events), p=shares / shares.sum())
    events = []
    for number, (key, value) in zip(drawn.tolist(), uniform.events, strict=True):
        other = customers[number]
        events.append((other, value.replace(b'"userId":"%b"' % key, b'"userId":"%b"' % other, 1)))
    return Input("zipf", events, "customers, Zipf-skewed")


def real_log(path: Path, count: int) -> Input:
    """Read the first events of a log. Copy each event to additional customers if the log is too short."""
    with gzip.open(path, "rb") as file:
        lines = list(itertools.islice((line.rstrip(b"\n") for line in file), count))
    copies = -(-count // len(lines))
    events = []
    for line in lines:
        event = orjson.loads(line)
        customer, message = event["userId"], event["messageId"]
        for copy in range(copies):
            event["userId"], event["messageId"] = f"{customer}-{copy}", f"{message}-{copy}"
            events.append((event["userId"].encode(), orjson.dumps(event)))
    return Input("log", events[:count], f"customers of {path.name}")


def definition() -> ChurnDefinition:
    """Churn definition of the benchmark; see churn.toml."""
    return ChurnDefinition.parse(CONFIG.read_text())


def learned_model() -> bytes:
    """Train a model for the workers to score with. An untrained model would make reasons unrealistically cheap."""
    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    backtest = Backtest(definition(), model, _PARTITIONS, partition_of)
    events = (decode(event.value, (), None) for event in Simulation(_TRAINING_CUSTOMERS).events())
    for _ in backtest.run(event for event in events if isinstance(event, Event)):
        pass
    return model.snapshot()
