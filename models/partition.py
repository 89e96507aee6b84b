"""The fold over one partition: events in, profiles, scoring points and training examples out.

`Partition.process` is all that a worker and a backtest share, and all that either does to a customer. In order:

1. Before an event is applied, every deadline up to the partition's clock is handled as of its due time, in the order
   (due time, hash of the key): labels are released, snapshots taken, silent customers looked at.
2. The event is applied. If the log makes it a scoring point, the profile is frozen: a later event of the same batch
   works on a copy.
3. At the end of the batch the frozen profiles become one array of features; points in order read the population's
   current level, and snapshots move it; everything is scored by one product.
4. Released labels find the features and the probability that were frozen with their snapshot.

Batch boundaries change nothing: scoring points, deadlines and the population's level are functions of the log.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from models import profile as profiles
from models.definition import ChurnDefinition, EventDefinition, matches
from models.effects import SubscriptionState, apply
from models.event import Event
from models.families import LIGHT_EFFECTS, MEANINGS, UNKNOWN
from models.features import FEATURES, features
from models.population import Population
from models.primitives import DAY_MS
from models.profile import NEVER_MS, Path, Pending, Profile

Floats = NDArray[np.float64]

STATE_VERSION: Final = 1
PENDING_MAX: Final = 64  # snapshots of a customer whose labels are not yet known; older ones wait for nothing
SILENCE_STEPS: Final = 3  # looks at a silent customer, after 2, 4 and 8 usual gaps; snapshots look besides
SILENCE_MIN_MS: Final = 2 * DAY_MS  # a weekend off is no silence
UNSUBSCRIBED_WINDOW_MS: Final = 90 * DAY_MS  # who never subscribed is at risk only so long after the last event
FEATURE_COUNT: Final = len(FEATURES)
CACHE_PROFILES: Final = 20_000  # decoded profiles kept between batches, some 4 KB each

_NINETY_DAYS: Final = (1 << 90) - 1

# What made a point
EVENT, DECISIVE, SNAPSHOT, SILENCE = "event", "decisive", "snapshot", "silence"


class Store(Protocol):
    """Where encoded records live: RocksDB under a worker, a dict in a backtest."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these keys."""

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` keys that are due by `until_ms`, as (due time, key), earliest first."""


class Scores(Protocol):
    """What a scorer says of n rows; see `models.scoring`."""

    @property
    def probability(self) -> Floats: ...
    def members(self, rows: Any = ...) -> Floats: ...


class Scorer(Protocol):
    """An immutable view of a model."""

    @property
    def version(self) -> str: ...
    def score(self, x: Floats, m: Floats) -> Any: ...


class Entry(NamedTuple):
    """One decoded event and where it stood."""

    offset: int
    event: Event


class Point(msgspec.Struct, gc=False):
    """One customer at one time at which the log demands a score."""

    key: bytes
    at_ms: int
    trigger: str
    offset: int  # of the event that caused it, -1 for a deadline
    profile: Profile


class Example(msgspec.Struct, gc=False):
    """A matured training example: what was known at the snapshot, and what came of it."""

    customer: str
    snapshot_ms: int
    release_ms: int
    features: bytes  # float64[d], NaN for missing
    population: bytes  # float64[d], the level at the snapshot
    probability: float
    members: tuple[float, float, float]  # what champion, challenger and prior alone answered
    label: int
    labels: dict[str, int]
    model: str
    definition: str
    churned_ms: int = 0  # time of the event that made the label 1, 0 for none


class Effects(msgspec.Struct):
    """Everything that one call of `process` causes; nothing of it has happened until the caller commits it."""

    changes: dict[bytes, bytes | None]
    examples: list[Example]
    points: list[Point]
    x: Floats
    m: Floats
    scores: Any
    model: str
    duplicates: int
    state: bytes


class _Snapshot(msgspec.Struct, array_like=True, gc=False):
    features: bytes
    population: bytes
    probability: float
    members: tuple[float, float, float]
    model: str


class _State(msgspec.Struct, array_like=True):
    version: int = STATE_VERSION
    definition: str = ""
    clock_ms: int = 0
    population: list[Any] = []


class _Release(NamedTuple):
    key: bytes
    pending: Pending
    labels: dict[str, int]
    label: int
    churned_ms: int


_ENCODER = msgspec.msgpack.Encoder()
_SNAPSHOT_DECODER = msgspec.msgpack.Decoder(_Snapshot)
_STATE_DECODER = msgspec.msgpack.Decoder(_State)


def profile_key(customer: str) -> bytes:
    """The store key of a customer's profile."""
    return b"c" + customer.encode()


def snapshot_key(key: bytes, snapshot_ms: int) -> bytes:
    """The store key of a pending training snapshot."""
    return b"s" + key[1:] + b"\0" + snapshot_ms.to_bytes(8, "big")


def order_hash(key: bytes, at_ms: int = 0) -> int:
    """An order without meaning: of deadlines that fall due together, and of labels that mature together."""
    return xxh3_64_intdigest(key, seed=at_ms & 0xFFFF_FFFF_FFFF_FFFF)


class Partition:
    """One partition's customers; see the module's docstring.

    Args:
        definition: What churn means.
        store: Where encoded records are read from; the caller writes `Effects.changes` to it after commit.
        scorer: The model to score with; may be replaced between calls.
        state: What the last committed `Effects.state` was, None for a new partition.
    """

    def __init__(self, definition: ChurnDefinition, store: Store, scorer: Scorer, state: bytes | None = None) -> None:
        self.definition = definition
        self.store = store
        self.scorer = scorer
        self.population = Population(FEATURE_COUNT, definition.population_half_life_ms)
        self.clock_ms = 0
        if state is not None:
            self._restore(state)
        self._definitions = definition.definitions
        self._by_event: dict[str, list[tuple[int, EventDefinition]]] = {}
        self._inactivity: list[tuple[int, Any]] = []
        for i, d in enumerate(self._definitions):
            if isinstance(d, EventDefinition):
                self._by_event.setdefault(d.event, []).append((i, d))
            else:
                self._inactivity.append((i, d))
        self._any_activity = [i for i, d in self._inactivity if d.any_activity]
        self._named_activity = [(i, d) for i, d in self._inactivity if not d.any_activity]
        self._watched = {name for _, d in self._named_activity for name in d.not_performed} | set(self._by_event)
        self._primary = [i for i, d in enumerate(self._definitions) if d.name in definition.primary]
        self._primary_mask = sum(1 << i for i in self._primary)
        self._wait_ms = definition.release_after_ms
        self._score_every_ms = definition.score_every_ms
        self._cache: dict[bytes, Profile] = {}
        self._begin()

    def _restore(self, data: bytes) -> None:
        state = _STATE_DECODER.decode(data)
        if state.version != STATE_VERSION:
            raise profiles.ProfileError(
                f"a partition's state has version {state.version}, this program reads version {STATE_VERSION}"
            )
        self.clock_ms = state.clock_ms
        self.population.restore(state.population)

    def _begin(self) -> None:
        self._live: dict[bytes, Profile] = {}
        self._touched: set[bytes] = set()  # whose record is written
        self._due_of: dict[bytes, int] = {}  # the due time of those on the heap, or moved
        self._frozen: set[bytes] = set()  # whose profile a point holds
        self._shared: set[bytes] = set()  # whose profile shares its parts with one that a point holds
        self._due: list[tuple[int, int, bytes]] = []
        self._until_ms = 0
        self._points: list[Point] = []
        self._released: list[_Release] = []
        self._duplicates = 0

    # 1 and 2: apply in order ---------------------------------------------------------------------------------------

    def process(self, entries: Sequence[Entry], until_ms: int = 0) -> Effects:
        """Folds a batch of events in, in order.

        Args:
            entries: Events of this partition in the order of their offsets.
            until_ms: In live running, the wall clock up to which deadlines are due without any event; 0 in a replay.
        """
        self._begin()
        newest = max((entry.event.time_ms for entry in entries), default=0)
        self._until_ms = max(newest, until_ms, self.clock_ms)
        keys = [b"c" + entry.event.customer.encode() for entry in entries]
        self._load(keys)
        self._load_due()
        live, clock = self._live, self.clock_ms
        for key, (offset, event) in zip(keys, entries, strict=True):
            at = event.time_ms
            if at > clock:
                clock = self.clock_ms = at
                if self._due and self._due[0][0] <= at:
                    self._handle_due(at)
            self._apply(key, live.get(key), event, offset)
        if until_ms > self.clock_ms:
            self.clock_ms = until_ms
            self._handle_due(until_ms)
        return self._finish()

    def _load(self, keys: Iterable[bytes]) -> None:
        live, cache = self._live, self._cache
        missing = []
        for key in dict.fromkeys(keys):
            if key in live:
                continue
            profile = cache.pop(key, None)
            if profile is None:
                missing.append(key)
            else:
                live[key] = profile
        for key, data in zip(missing, self.store.get_many(missing), strict=True):
            if data is not None:
                live[key] = profiles.decode(data)

    def _load_due(self) -> None:
        due = self.store.due(self._until_ms, 1 << 30)
        self._load(key for _, key in due)
        self._due = [(at, order_hash(key), key) for at, key in due]
        heapq.heapify(self._due)
        self._due_of = {key: at for at, key in due}

    def _apply(self, key: bytes, profile: Profile | None, event: Event, offset: int) -> None:
        if profile is None:
            profile = self._live[key] = Profile(path=Path(), matched=[0] * len(self._definitions))
        row = MEANINGS.get(event.name, UNKNOWN)
        effect = row.effect
        if effect == "alert":
            return
        if key in self._frozen:
            self._frozen.discard(key)
            self._shared.add(key)
            profile = self._live[key] = profiles.frozen_apart(profile)
        if key in self._shared and effect not in LIGHT_EFFECTS:
            self._shared.discard(key)
            profiles.copy_parts(profile)
        if not apply(profile, event, row):
            self._duplicates += 1
            self._touched.add(key)
            return
        path = profile.path
        assert path is not None
        at = event.time_ms
        engaged = row.engaged and not event.automated
        if event.name in self._watched or (engaged and self._any_activity):
            self._match(profile, path, event, engaged)
        moved = False
        if path.next_snapshot_ms == NEVER_MS:
            path.next_snapshot_ms = self._grid_after(key, self.clock_ms)
            moved = True
        # a deadline of the first step is near enough to be left where it is: it moves when it is looked at
        if engaged and at == profile.engaged_ms and (path.silence_step or path.next_silence_ms == NEVER_MS):
            path.silence_step = 0
            path.next_silence_ms = max(self._silence_due(profile, path), self.clock_ms + 1)
            moved = True
        if row.decisive or at - path.scored_ms >= self._score_every_ms:
            self._capture(key, profile, path, max(at, profile.newest_ms), DECISIVE if row.decisive else EVENT, offset)
        self._touched.add(key)
        if moved:
            self._reschedule(key, path)

    def _match(self, profile: Profile, path: Path, event: Event, engaged: bool) -> None:
        """Notes for each churn definition that its event came: at the latest ever, and first after each snapshot."""
        at, matched = event.time_ms, profile.matched
        hits: list[int] = []
        if engaged:
            hits += self._any_activity
        for i, inactivity in self._named_activity:
            if event.name in inactivity.not_performed:
                hits.append(i)
        for i, definition in self._by_event.get(event.name, ()):
            if matches(definition, event.name, event.properties):
                hits.append(i)
        for i in hits:
            if at > matched[i]:
                matched[i] = at
            for pending in path.pending:
                if pending.snapshot_ms <= at < pending.since[i]:  # the snapshot itself saw what lies before it
                    pending.since[i] = at

    def _capture(self, key: bytes, profile: Profile, path: Path, at_ms: int, trigger: str, offset: int) -> None:
        path.scored_ms = max(path.scored_ms, at_ms)
        self._frozen.add(key)
        self._points.append(Point(key, at_ms, trigger, offset, profile))

    # Deadlines -----------------------------------------------------------------------------------------------------

    def _grid_after(self, key: bytes, at_ms: int) -> int:
        """The customer's next snapshot time after `at_ms`: a grid of its own phase, so that work is spread."""
        every = self.definition.snapshot_every_ms
        phase = xxh3_64_intdigest(key) % every
        return (at_ms - phase) // every * every + every + phase

    def _silence_due(self, profile: Profile, path: Path) -> int:
        """When a customer who does nothing more is next looked at, by the customer's own rhythm.

        The usual gap here is the span of the active days of the last 90 divided by their number.
        """
        if path.silence_step >= SILENCE_STEPS or not profile.engaged_ms:
            return NEVER_MS
        recent = (int.from_bytes(profile.days[:12], "little") & _NINETY_DAYS).bit_count() or 1
        span = min(90, (profile.newest_ms - profile.first_engaged_ms) // DAY_MS + 1)
        wait = max(SILENCE_MIN_MS, 2 * DAY_MS * span // recent) << path.silence_step
        return profile.engaged_ms + wait

    def _reschedule(self, key: bytes, path: Path) -> None:
        due = _due_ms(path, self._wait_ms)
        if self._due_of.get(key) != due:
            self._due_of[key] = due
            if due <= self._until_ms:
                heapq.heappush(self._due, (due, order_hash(key), key))

    def _handle_due(self, until_ms: int) -> None:
        due, due_of, live, touched = self._due, self._due_of, self._live, self._touched
        while due and due[0][0] <= until_ms:
            at, _, key = heapq.heappop(due)
            if due_of[key] != at:
                continue  # moved since it was put here
            profile = live[key]
            path = profile.path
            assert path is not None
            touched.add(key)
            self._handle_deadline(key, profile, path, at)
            self._reschedule(key, path)

    def _handle_deadline(self, key: bytes, profile: Profile, path: Path, at_ms: int) -> None:
        while path.pending and path.pending[0].snapshot_ms + self._wait_ms <= at_ms:
            self._released.append(self._label(key, path.pending.pop(0)))
        if path.next_snapshot_ms <= at_ms:
            eligible = self._eligible(profile, at_ms)
            if eligible & self._primary_mask and len(path.pending) < PENDING_MAX:
                self._capture(key, profile, path, at_ms, SNAPSHOT, -1)
                path.pending.append(Pending(at_ms, eligible, [NEVER_MS] * len(self._definitions)))
            path.next_snapshot_ms = at_ms + self.definition.snapshot_every_ms if eligible else NEVER_MS
        if path.next_silence_ms <= at_ms:
            due = self._silence_due(profile, path)
            if due <= at_ms:  # later: there was activity since, which moves the deadline only now, when it is looked at
                if path.scored_ms < at_ms and self._eligible(profile, at_ms):
                    self._capture(key, profile, path, at_ms, SILENCE, -1)
                path.silence_step += 1
                due = self._silence_due(profile, path)
            path.next_silence_ms = max(due, at_ms + 1)

    # Labels ----------------------------------------------------------------------------------------------------------

    def _eligible(self, profile: Profile, at_ms: int) -> int:
        """Bit mask of the definitions under which the customer can still churn.

        By an event: whose subscription runs and who has not already gone; who never had a subscription, as long as
        something was heard of them lately. By inactivity: who was active within the definition's window.
        """
        state = SubscriptionState(profile.subscription)
        mask = 0
        for i, definition in enumerate(self._definitions):
            last = profile.matched[i]
            if isinstance(definition, EventDefinition):
                if state.started:
                    alive = state.active and last <= max(state.since_ms, 0)
                else:
                    alive = not last and at_ms - profile.newest_ms < UNSUBSCRIBED_WINDOW_MS
            else:
                alive = last > 0 and at_ms - last <= definition.if_active_in_ms
            mask |= alive << i
        return mask

    def _label(self, key: bytes, pending: Pending) -> _Release:
        labels, churned = {}, 0
        for i, definition in enumerate(self._definitions):
            if not pending.eligible >> i & 1:
                continue
            first = pending.since[i]
            if isinstance(definition, EventDefinition):
                hit = first <= pending.snapshot_ms + self.definition.horizon_ms
                when = first
            else:
                hit = first > pending.snapshot_ms + definition.for_ms
                when = pending.snapshot_ms + definition.for_ms
            labels[definition.name] = int(hit)
            if hit and self._primary_mask >> i & 1:
                churned = min(churned or when, when)
        return _Release(key, pending, labels, int(churned > 0), churned)

    # 3 and 4: score, release -----------------------------------------------------------------------------------------

    def _finish(self) -> Effects:
        points = self._points
        x = features([p.profile for p in points], [p.at_ms for p in points]) if points else np.empty((0, FEATURE_COUNT))
        m = self.population.levels(x, [p.at_ms if p.trigger == SNAPSHOT else None for p in points])
        scores = self.scorer.score(x, m)
        changes: dict[bytes, bytes | None] = {}
        self._freeze_snapshots(points, x, m, scores, changes)
        examples = self._release(changes)
        for i, point in enumerate(points):
            path = self._live[point.key].path
            assert path is not None
            path.probability = float(scores.probability[i])
        due_of = self._due_of
        for key in self._touched:
            profile = self._live[key]
            assert profile.path is not None
            due = due_of.get(key)
            changes[key] = profiles.encode(profile, _due_ms(profile.path, self._wait_ms) if due is None else due)
        self._remember()
        state = _ENCODER.encode(
            _State(STATE_VERSION, self.definition.label_hash, self.clock_ms, self.population.state())
        )
        return Effects(changes, examples, points, x, m, scores, self.scorer.version, self._duplicates, state)

    def _remember(self) -> None:
        """Keeps decoded profiles for the next batch, the newest `CACHE_PROFILES` of them.

        The caller commits the effects before the next batch or throws this object away, so what is kept is never ahead
        of the store; and it is done with the points' profiles by then, since the next batch changes them.
        """
        cache = self._cache
        cache.update(self._live)
        excess = len(cache) - CACHE_PROFILES
        if excess > 0:
            for key in list(itertools.islice(cache, excess)):
                del cache[key]

    def _freeze_snapshots(
        self, points: list[Point], x: Floats, m: Floats, scores: Scores, changes: dict[bytes, bytes | None]
    ) -> None:
        rows = [i for i, point in enumerate(points) if point.trigger == SNAPSHOT]
        if not rows:
            return
        for i, members in zip(rows, scores.members(rows).tolist(), strict=True):
            frozen = _Snapshot(
                x[i].tobytes(), m[i].tobytes(), float(scores.probability[i]), tuple(members), self.scorer.version
            )
            changes[snapshot_key(points[i].key, points[i].at_ms)] = _ENCODER.encode(frozen)

    def _release(self, changes: dict[bytes, bytes | None]) -> list[Example]:
        keys = [snapshot_key(r.key, r.pending.snapshot_ms) for r in self._released]
        unknown = [key for key in keys if key not in changes]
        stored = dict(zip(unknown, self.store.get_many(unknown), strict=True))
        examples = []
        for release, key in zip(self._released, keys, strict=True):
            data = changes.get(key) or stored.get(key)
            changes[key] = None
            if data is None:
                raise profiles.ProfileError(f"the pending snapshot {key!r} is missing: rebuild the store")
            frozen = _SNAPSHOT_DECODER.decode(data)
            snapshot_ms = release.pending.snapshot_ms
            examples.append(
                Example(
                    release.key[1:].decode(),
                    snapshot_ms,
                    snapshot_ms + self._wait_ms,
                    frozen.features,
                    frozen.population,
                    frozen.probability,
                    frozen.members,
                    release.label,
                    release.labels,
                    frozen.model,
                    self.definition.label_hash,
                    release.churned_ms,
                )
            )
        return examples


def _due_ms(path: Path, wait_ms: int) -> int:
    due = min(path.next_snapshot_ms, path.next_silence_ms, path.alert_due_ms)
    if path.pending:
        due = min(due, path.pending[0].snapshot_ms + wait_ms)
    return due
