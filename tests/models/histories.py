"""Events, histories and partitions for tests of profiles, features, labels and the fold."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np

from models.backtesting.backtest import MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.definition.goals import Goal, Goals
from models.events.event import Event, decode
from models.events.taxonomy import MEANINGS
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.partition import PartitionFold
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile
from models.simulation import Simulation, SimulationSettings

MINUTE_MS = 60_000
START_MS = 20_000 * DAY_MS  # midnight, in 2024

BY_NAME = ("subscription", "alert")  # effects that depend on the name itself
_FIRST = {row[1:]: name for name, row in reversed(MEANINGS.items())}
NAMES = (*(n for n, row in MEANINGS.items() if row.effect in BY_NAME or _FIRST[row[1:]] == n), "Level Finished")
"""One event name of every kind in the taxonomy, and an unlisted name. Names of one kind are applied alike: more of them
would only thin out the histories."""

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
"""Goals as declared in a churn.toml."""

_numbering = iter(range(1, 1 << 62))


def event(
    name: str = "page", /, at_ms: int = START_MS, customer: str = "c1", *, id_hash: int | None = None, **properties: Any
) -> Event:
    """An event with a unique id, caused by the customer unless `automated=True`."""
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


class StubScores:
    """The scores of `StubScorer`."""

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
    """A fixed function of a row: a weighted sum of features and peer means, summed exactly."""

    trust = 0.5

    def __init__(self, version: str = "stub-1", seed: int = 1) -> None:
        self.version = version
        self.seed = seed

    @property
    def involuntary(self) -> StubScorer:
        """The scorer of involuntary churn: another function."""
        return StubScorer(self.version, self.seed + 1)

    def score(self, x: np.ndarray, m: np.ndarray) -> StubScores:
        weights = np.random.default_rng(self.seed).normal(size=x.shape[1]) / 10
        terms = (np.nan_to_num(x) + 0.5 * np.nan_to_num(m)) * weights
        total = [math.fsum(row) for row in terms]
        return StubScores(np.array([1 / (1 + math.exp(-t)) for t in total], dtype=np.float64), terms)


class World:
    """One partition with its store, and all effects of the batches fed to it so far."""

    def __init__(self, churn: ChurnDefinition | None = None, scorer: Any = None) -> None:
        self.definition = churn or definition()
        self.store = MemoryStore()
        self.scorer = cast(Any, scorer or StubScorer())
        self.partition = PartitionFold(self.definition, self.store, self.scorer)
        self.state: bytes | None = None
        self.points: list[tuple[Any, ...]] = []
        self.examples: list[Any] = []
        self.alerts: list[Any] = []
        self.published: list[tuple[bytes, int]] = []  # customer and time of the score; 0: the customer was deleted
        self.duplicates = self.censored = 0
        self._offset = 0

    def feed(self, *events: Event, until_ms: int = 0, flush: bool = True) -> FoldEffects:
        """One batch."""
        entries = [OffsetEvent(self._offset + i, each) for i, each in enumerate(events)]
        self._offset += len(events)
        effects = self.partition.process(entries, until_ms, flush=flush)
        self.store.apply(effects.changes)
        self.state = effects.state
        for i, p in enumerate(effects.points):
            probability = float(effects.scores.probability[i])
            self.points.append(
                (p.key, p.at_ms, p.trigger, p.offset, effects.x[i].tobytes(), effects.m[i].tobytes(), probability)
            )
        self.examples += effects.examples
        self.alerts += effects.alerts
        published = [(p.position, p.key, p.at_ms) for p in map(effects.points.__getitem__, effects.published_rows)]
        published += [(position, key, 0) for position, key in effects.deleted]
        self.published += [(key, at_ms) for _, key, at_ms in sorted(published)]
        self.duplicates += effects.duplicates
        self.censored += effects.censored
        return effects

    def restart(self) -> None:
        """Restart from the committed state, as another process does."""
        self.partition = PartitionFold(self.definition, self.store, self.scorer, self.state)

    def times(self, trigger: str, customer: str = "c1") -> list[int]:
        """Times at which a trigger scored this customer."""
        return [p[1] for p in self.points if p[0] == b"c" + customer.encode() and p[2] == trigger]


def simulated(customers: int = 40, days: int = 60, seed: int = 1, **settings: Any) -> list[Event]:
    """The events of a simulation, in order of time."""
    events = []
    for each in Simulation(SimulationSettings(customers=customers, days=days, seed=seed, **settings)).events():
        decoded = decode(each.value, [], None)
        assert isinstance(decoded, Event)
        events.append(decoded)
    return events


def shaken(events: Sequence[Event], lateness_ms: int, seed: int = 1) -> list[Event]:
    """The same events in an order in which each is up to `lateness_ms` late; those of one time keep their order."""
    rng = random.Random(seed)
    late = {at: (at + rng.randrange(lateness_ms + 1), rng.random()) for at in sorted({e.time_ms for e in events})}
    return sorted(events, key=lambda e: late[e.time_ms])


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 5, 10, 100, 2**53, -(2**63), 2**64 - 1, 0.0, 0.5, -0.5, 1e-308, 1e15, 1e300, 1e308,
    -1e308, 5e-324, "", "3", "-7.5", "nan", "pro", "x" * 300, "é" * 100, "too_expensive", [], ["too_expensive"],
    ["unused", "unused", 3, None, [], {}], [[]], {}, {"a": 1}, "2024-10-10T00:00:00Z", START_MS, "9999-12-31",
)  # fmt: skip
"""Values of every JSON type, valid or not for a property."""

PROPERTIES = (
    "feature", "name", "duration", "duration_seconds", "score", "value", "trial_end", "ends_at", "step", "steps_total",
    "total", "revenue", "amount", "currency", "mrr", "plan", "period_end", "feedback", "card_expires", "due",
    "renewal_date", "tags", "resolution_seconds", "created_at", "kind", "scale_max", "rating", "sentiment", "segment",
    "account", "source", "referred", "referrer", "granted", "reason", "touchpoint", "survey", "survey_id",
)  # fmt: skip
"""All properties that an effect reads."""

SUBSCRIPTION_IDS: tuple[Any, ...] = ("sub_A", "sub_B", "sub_C", 4, 5, "sub_F", {"id": "sub_G"}, "", None, [])
"""Ids of fewer subscriptions than a profile keeps, and values that are none."""

OBJECT_IDS: tuple[Any, ...] = ("a", "b", "c", 4, 5, "f", {"id": "g"}, "", None, [], "null")
"""Ids of fewer orders and tickets than a profile keeps, and values that are none."""

CURRENCIES: tuple[Any, ...] = ("EUR", "jpy", "KWD", "$", "", None, 3, "points")

KINDS: tuple[Any, ...] = ("csat", "nps", "ces", "other", [], {}, 3)


def odd_event(rng: random.Random, at_ms: int, customer: str = "c1") -> Event:
    """A random event name with random properties of any type; every fifth event has no id."""
    names = rng.sample(PROPERTIES, rng.randrange(12))
    properties = {name: rng.choice(VALUES) for name in names}
    if rng.random() < 0.5:
        properties |= {"kind": rng.choice(KINDS), "score": rng.randrange(8), "granted": rng.random() < 0.5}
    if divmod(at_ms, len(SUBSCRIPTION_IDS))[0] & 1:
        properties["subscription_id"] = SUBSCRIPTION_IDS[at_ms % len(SUBSCRIPTION_IDS)]
    if at_ms // 7 & 1:
        properties[("order_id", "order", "ticket_id", "conversation_id")[at_ms % 4]] = OBJECT_IDS[
            at_ms % len(OBJECT_IDS)
        ]
        properties["currency"] = CURRENCIES[at_ms % len(CURRENCIES)]
    id_hash = 0 if rng.random() < 0.2 else rng.getrandbits(64) or 1
    return Event(customer, rng.choice(NAMES), at_ms, id_hash, properties, rng.random() < 0.1, False)


def odd_history(seed: int, length: int, span_ms: int = 40 * DAY_MS, start_ms: int = START_MS) -> list[Event]:
    """A history of odd events over a time span."""
    rng = random.Random(seed)
    return sorted((odd_event(rng, start_ms + rng.randrange(span_ms)) for _ in range(length)), key=lambda e: e.time_ms)
