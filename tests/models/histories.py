"""Events, histories and partitions for the tests of profiles, features and labels."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from models.backtesting.backtest import MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.definition.goals import Goal, Goals
from models.events.event import Event, decode
from models.events.taxonomy import MEANINGS
from models.pipeline.partition import FoldEffects, OffsetEvent, PartitionFold
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile
from models.simulation import Simulation, SimulationSettings

MINUTE_MS = 60_000
START_MS = 20_000 * DAY_MS  # midnight, in 2024

NAMES = (*MEANINGS, "Level Finished")
"""Every event name of the family table, and one that is not in it."""

CHURN = """
[churn.definitions.voluntary]
event = "Subscription Cancelled"
where = { reason = ["cancellation_requested"] }
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = { reason = ["payment_failed"] }
[churn.definitions.inactivity]
not_performed = ["*"]
for = "10d"
if_active_in = "14d"
[label]
primary = ["voluntary", "inactivity"]
horizon = "10d"
grace = "2d"
[snapshot]
every = "7d"
"""

GOALS = Goals((Goal("any", "Goal Completed"), Goal("level", "Level Finished", (("score", (3, 5)),), 5 * DAY_MS)))
"""Goals as a churn.toml declares them."""

_numbering = iter(range(1, 1 << 62))


def event(
    name: str = "page", /, at_ms: int = START_MS, customer: str = "c1", *, id_hash: int | None = None, **properties: Any
) -> Event:
    """An event of its own id, by hand unless `automated=True`."""
    automated = bool(properties.pop("automated", False))
    return Event(customer, name, at_ms, next(_numbering) if id_hash is None else id_hash, properties, automated, False)


def profile_of(events: Iterable[Event]) -> Profile:
    """The profile after these events, in the order given."""
    profile = Profile()
    for each in events:
        if apply(profile, each):
            GOALS.record(profile, each)
    return profile


def definition(text: str = CHURN) -> ChurnDefinition:
    return ChurnDefinition.parse(text)


class Answers:
    """What `StubScorer` says."""

    model = "stub"

    def __init__(self, probability: np.ndarray, terms: np.ndarray) -> None:
        self.probability = probability
        self.log_odds = np.log(probability / (1 - probability))
        self._terms = terms

    def contributions(self, rows: Any = slice(None)) -> np.ndarray:
        return self._terms[rows]

    def bias(self, rows: Any = slice(None)) -> np.ndarray:
        return self.log_odds[rows] - self._terms[rows].sum(axis=1)

    def ci90(self, rows: Any = slice(None)) -> np.ndarray:
        return np.stack([self.probability[rows] / 2, (1 + self.probability[rows]) / 2], axis=1)

    def variance(self, rows: Any = slice(None)) -> np.ndarray:
        return 1.0 - self.probability[rows]

    def members(self, rows: Any = slice(None)) -> np.ndarray:
        chosen = self.probability[rows]
        return np.stack([chosen, chosen / 2, chosen / 4], axis=1)


class StubScorer:
    """A fixed function of a row: features and the population's level, summed exactly."""

    trust = 0.5

    def __init__(self, version: str = "stub-1", seed: int = 1) -> None:
        self.version = version
        self.seed = seed

    @property
    def involuntary(self) -> StubScorer:
        """Of the second cause: another function."""
        return StubScorer(self.version, self.seed + 1)

    def score(self, x: np.ndarray, m: np.ndarray) -> Answers:
        weights = np.random.default_rng(self.seed).normal(size=x.shape[1]) / 10
        terms = (np.nan_to_num(x) + 0.5 * np.nan_to_num(m)) * weights
        total = [math.fsum(row) for row in terms]
        return Answers(np.array([1 / (1 + math.exp(-t)) for t in total], dtype=np.float64), terms)


class World:
    """One partition with its store, fed by hand: everything that came out so far in one place."""

    def __init__(self, churn: ChurnDefinition | None = None, scorer: Any = None) -> None:
        self.definition = churn or definition()
        self.store = MemoryStore()
        self.scorer = scorer or StubScorer()
        self.partition = PartitionFold(self.definition, self.store, self.scorer)
        self.state: bytes | None = None
        self.points: list[tuple[Any, ...]] = []
        self.examples: list[Any] = []
        self.alerts: list[Any] = []
        self.told: list[tuple[bytes, int]] = []  # customer and time of the score; 0: the customer was forgotten
        self.duplicates = self.censored = 0
        self._offset = 0

    def feed(self, *events: Event, until_ms: int = 0, settle: bool = True) -> FoldEffects:
        """One batch."""
        entries = [OffsetEvent(self._offset + i, each) for i, each in enumerate(events)]
        self._offset += len(events)
        effects = self.partition.process(entries, until_ms, settle=settle)
        self.store.apply(effects.changes)
        self.state = effects.state
        for i, p in enumerate(effects.points):
            answer = float(effects.scores.probability[i])
            self.points.append(
                (p.key, p.at_ms, p.trigger, p.offset, effects.x[i].tobytes(), effects.m[i].tobytes(), answer)
            )
        self.examples += effects.examples
        self.alerts += effects.alerts
        told = [(p.place, p.key, p.at_ms) for p in map(effects.points.__getitem__, effects.told)]
        told += [(place, key, 0) for place, key in effects.forgotten]
        self.told += [(key, at_ms) for _, key, at_ms in sorted(told)]
        self.duplicates += effects.duplicates
        self.censored += effects.censored
        return effects

    def restart(self) -> None:
        """Another process goes on from what was committed."""
        self.partition = PartitionFold(self.definition, self.store, self.scorer, self.state)

    def times(self, trigger: str, customer: str = "c1") -> list[int]:
        """When this customer was scored for this reason."""
        return [p[1] for p in self.points if p[0] == b"c" + customer.encode() and p[2] == trigger]


def simulated(customers: int = 40, days: int = 60, seed: int = 1, **settings: Any) -> list[Event]:
    """A realistic log, in order of time."""
    found = []
    for each in Simulation(SimulationSettings(customers=customers, days=days, seed=seed, **settings)).events():
        decoded = decode(each.value, [], None)
        assert isinstance(decoded, Event)
        found.append(decoded)
    return found


def shaken(events: Sequence[Event], lateness_ms: int, seed: int = 1) -> list[Event]:
    """The same events, each up to `lateness_ms` late."""
    rng = random.Random(seed)
    return sorted(events, key=lambda e: (e.time_ms + rng.randrange(lateness_ms + 1), rng.random()))


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 5, 10, 100, 2**53, -(2**63), 2**64 - 1, 0.0, 0.5, -0.5, 1e-308, 1e15, 1e300, 1e308,
    -1e308, 5e-324, "", "3", "-7.5", "nan", "pro", "x" * 300, "é" * 100, "too_expensive", [], ["too_expensive"],
    ["unused", "unused", 3, None, [], {}], [[]], {}, {"a": 1}, "2024-10-10T00:00:00Z", START_MS, "9999-12-31",
)  # fmt: skip
"""Values that JSON allows, whatever a property should have been."""

PROPERTIES = (
    "feature", "name", "duration", "duration_seconds", "score", "value", "trial_end", "ends_at", "step", "steps_total",
    "total", "revenue", "amount", "currency", "mrr", "plan", "period_end", "feedback", "card_expires", "due",
    "renewal_date", "tags", "resolution_seconds", "created_at", "kind", "scale_max", "rating", "sentiment", "segment",
    "account", "source", "referred", "referrer", "granted", "reason", "touchpoint", "survey", "survey_id",
)  # fmt: skip
"""Every property that an effect reads."""

KINDS: tuple[Any, ...] = ("csat", "nps", "ces", "other", [], {}, 3)


def odd_event(rng: random.Random, at_ms: int, customer: str = "c1") -> Event:
    """Any name with any properties of any type; every fifth without an id."""
    names = rng.sample(PROPERTIES, rng.randrange(12))
    properties = {name: rng.choice(VALUES) for name in names}
    if rng.random() < 0.5:
        properties |= {"kind": rng.choice(KINDS), "score": rng.randrange(8), "granted": rng.random() < 0.5}
    id_hash = 0 if rng.random() < 0.2 else rng.getrandbits(64) or 1
    return Event(customer, rng.choice(NAMES), at_ms, id_hash, properties, rng.random() < 0.1, False)


def odd_history(seed: int, length: int, span_ms: int = 40 * DAY_MS, start_ms: int = START_MS) -> list[Event]:
    """A history of odd events over a span."""
    rng = random.Random(seed)
    return sorted((odd_event(rng, start_ms + rng.randrange(span_ms)) for _ in range(length)), key=lambda e: e.time_ms)
