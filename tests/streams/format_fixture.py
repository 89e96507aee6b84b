"""State as a release has written it: events, the changelog and the model; `python -m` writes today's."""

from __future__ import annotations

import gzip
import itertools
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from models.backtesting.backtest import MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.simulation import SimulatedEvent, Simulation, SimulationSettings
from streams.engine.position import POSITION_KEY, encode_position
from streams.kafka.model_reader import PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings

FOLDER = Path(__file__).parents[1] / "formats"
PARTITIONS = 2
EVENTS, BATCH = 1_500, 50
CHANGELOG_ID = b"0123456789abcdef"
CHURN = """
[churn.definitions.left]
event = "Subscription Cancelled"
[churn.definitions.inactivity]
not_performed = ["*"]
for = "8d"
if_active_in = "8d"
[label]
primary = ["left", "inactivity"]
horizon = "8d"
grace = "1d"
[snapshot]
every = "3d"
"""


class Sent(NamedTuple):
    """An event as the topic has it."""

    offset: int
    value: bytes
    partition: int
    timestamp: int
    topic: str = "customer-events"
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Fixture(NamedTuple):
    """What stands in the topics: changelog records are (partition, key, value) in their order."""

    churn: str
    events: list[Sent]
    changelog: list[tuple[int, bytes, bytes | None]]
    model: bytes


class FixtureStore(MemoryStore):
    """A store in which nothing falls due without a record."""

    def next_due_ms(self) -> int | None:
        return None


def read(name: str) -> Fixture:
    """One of the files in `tests/formats`."""
    found = orjson.loads(gzip.decompress((FOLDER / name).read_bytes()))
    return Fixture(
        found["churn"],
        [Sent(offset, b64decode(value), partition, ms) for offset, value, partition, ms in found["events"]],
        [(n, b64decode(key), None if value is None else b64decode(value)) for n, key, value in found["changelog"]],
        b64decode(found["model"]),
    )


def simulation() -> Iterator[SimulatedEvent]:
    """What the fixtures' customers do, also after the fixtures' end."""
    return Simulation(SimulationSettings(customers=40, days=60, seed=3)).events()


def written() -> Fixture:
    """By the program as it is here: the transactions of a worker, without a broker."""
    definition = ChurnDefinition.parse(CHURN)
    simulated = itertools.islice(simulation(), EVENTS)
    offsets = [0] * PARTITIONS
    events: list[Sent] = []
    changelog: list[tuple[int, bytes, bytes | None]] = []
    for e in simulated:
        number = partition_of(e.customer.encode(), PARTITIONS)
        events.append(Sent(offsets[number], e.value, number, e.time_ms, key=e.customer.encode()))
        offsets[number] += 1
    model = Model(SPACE)
    shared = ProcessorContext(Settings(), definition, PARTITIONS)
    shared.on_snapshot(PublishedSnapshot(model.snapshot(), 0))
    for number in range(PARTITIONS):
        store = FixtureStore()
        processor = EventProcessor(shared, number, store, None)
        left: list[Any] = [e for e in events if e.partition == number]
        while left:
            batch = left[:BATCH]
            effects = processor.process(batch, None)
            store.apply(effects.changes)
            processor.committed()
            left = left[len(batch) if effects.consumed is None else effects.consumed :]
            position = encode_position(
                left[0].offset if left else batch[-1].offset + 1, False, CHANGELOG_ID, effects.state
            )
            changelog += [(number, key, value) for key, value in {**effects.changes, POSITION_KEY: position}.items()]
    newest = {(number, key): value for number, key, value in changelog}  # as compaction leaves it
    kept: list[tuple[int, bytes, bytes | None]] = [
        (number, key, value) for (number, key), value in newest.items() if value is not None
    ]
    kept.sort(key=lambda record: record[1] == POSITION_KEY)  # the position is a transaction's last record
    return Fixture(CHURN, events, kept, model.snapshot())


def write(path: Path, fixture: Fixture) -> None:
    """As a file for git."""

    def text(data: bytes) -> str:
        return b64encode(data).decode()

    value = {
        "churn": fixture.churn,
        "events": [(e.offset, text(e.value), e.partition, e.timestamp) for e in fixture.events],
        "changelog": [(n, text(k), None if v is None else text(v)) for n, k, v in fixture.changelog],
        "model": text(fixture.model),
    }
    path.write_bytes(gzip.compress(orjson.dumps(value), mtime=0))


if __name__ == "__main__":
    write(Path(sys.argv[1]), written())
