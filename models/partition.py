"""The fold over one partition: events in, profiles, scoring points and training examples out.

`Partition.process` is all that a worker and a backtest share, and all that either does to a customer. In order:

1. Before an event is applied, every deadline up to the partition's clock is handled as of its due time, in the order
   (due time, hash of the key): labels are released, snapshots taken, silent customers looked at.
2. The event is applied. If the log makes it a scoring point, what features read of the profile is copied out.
3. At the end of the batch all that was copied becomes one array of features; points in order read the population's
   current level, and snapshots move it; everything is scored by one product.
4. Released labels find the features and the probability that were frozen with their snapshot.

Customers do not meet in 1 and 2, so a batch is worked on customer by customer: each is decoded, moved through all of
their events and deadlines, encoded and let go, which is about as much as fits into a processor's cache. Points and
labels are then put in the order that the log gives them.

Batch boundaries change nothing: scoring points, deadlines and the population's level are functions of the log.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
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
from models.features import FEATURES
from models.features import compute as compute
from models.gathered import Gathered
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
CACHE_RECORDS: Final = 50_000  # kept between batches, some 1 KB each

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
    body: bytes = b""  # of the profile as it was then

    @property
    def profile(self) -> Profile:
        """The profile as it was then, read anew each time: few points need it, and bytes take the least room."""
        return profiles.decode_body(self.body)

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self.body = profiles.encode_body(profile)


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
    members: list[float]
    model: str


class _State(msgspec.Struct, array_like=True):
    version: int = STATE_VERSION
    definition: str = ""
    clock_ms: int = 0
    population: list[Any] = []


class _Customer:
    """A customer while their part of a batch is worked on."""

    __slots__ = ("due_ms", "key", "open", "order", "path", "profile", "shared", "touched")

    def __init__(self, key: bytes, profile: Profile, path: Path, due_ms: int) -> None:
        self.key = key
        self.order = order_hash(key)
        self.profile = profile
        self.path = path
        self.due_ms = due_ms
        self.touched = False  # the record is written
        self.open: list[Point] = []  # points since the profile last changed
        self.shared = False  # parts of the profile are shared with rows that were gathered


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
        self._cache: dict[bytes, bytes] = {}
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
        self._points: list[Point] = []
        self._rows = Gathered()
        self._places: list[tuple[int, int, int]] = []  # of the points in the log
        self._released: list[_Release] = []
        self._release_places: list[tuple[int, int, int]] = []
        self._raises: list[int] = []  # the clock, each time it moved
        self._raised_at: list[int] = []  # and the place of the event that moved it
        self._records: list[tuple[bytes, int, float, bytes]] = []  # to write: key, due time, probability, body
        self._duplicates = 0

    # 1 and 2: apply in order ---------------------------------------------------------------------------------------

    def process(self, entries: Sequence[Entry], until_ms: int = 0) -> Effects:
        """Folds a batch of events in, in order.

        Args:
            entries: Events of this partition in the order of their offsets.
            until_ms: In live running, the wall clock up to which deadlines are due without any event; 0 in a replay.
        """
        self._begin()
        places: dict[str, list[int]] = {}
        clock, clocks = self.clock_ms, []
        for place, (_, event) in enumerate(entries):
            if event.time_ms > clock:
                clock = event.time_ms
                self._raises.append(clock)
                self._raised_at.append(place)
            clocks.append(clock)
            if event.customer in places:
                places[event.customer].append(place)
            else:
                places[event.customer] = [place]
        self.clock_ms = end = max(clock, until_ms)
        self._raises.append(end)
        self._raised_at.append(len(entries))
        keys = {b"c" + customer.encode(): found for customer, found in places.items()}
        for _, key in self.store.due(end, 1 << 30):
            if key not in keys:
                keys[key] = []
        for (key, mine), record in zip(keys.items(), self._load(keys), strict=True):
            customer = self._customer(key, record)
            for place in mine:
                if customer.due_ms <= clocks[place]:
                    self._handle_due(customer, clocks[place])
                self._apply(customer, entries[place], place, clocks[place])
            if customer.due_ms <= end:
                self._handle_due(customer, end)
            if customer.touched:
                self._leave(customer)
        return self._finish()

    def _load(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The records of these keys, None for those who are new."""
        cache = self._cache
        found = [cache.get(key) for key in keys]
        missing = [(place, key) for place, (key, record) in enumerate(zip(keys, found, strict=True)) if record is None]
        for (place, _), record in zip(missing, self.store.get_many([key for _, key in missing]), strict=True):
            found[place] = record
        return found

    def _customer(self, key: bytes, record: bytes | None) -> _Customer:
        if record is None:
            new = Path()
            return _Customer(key, Profile(path=new, matched=[0] * len(self._definitions)), new, NEVER_MS)
        profile = profiles.decode(record)
        path = profile.path
        assert path is not None
        return _Customer(key, profile, path, profiles.due_ms(record))

    def _leave(self, customer: _Customer) -> None:
        """Encodes a customer's profile while all of it is in the processor's cache, and lets go of it."""
        body = profiles.encode_body(customer.profile)
        for point in customer.open:
            point.body = body
        self._records.append((customer.key, customer.due_ms, customer.path.probability, body))

    def _apply(self, customer: _Customer, entry: Entry, place: int, clock_ms: int) -> None:
        offset, event = entry
        profile, path = customer.profile, customer.path
        row = MEANINGS.get(event.name, UNKNOWN)
        effect = row.effect
        if effect == "alert":
            return
        customer.touched = True
        if customer.open:
            customer.shared = True
            body = profiles.encode_body(profile)
            for point in customer.open:
                point.body = body
            customer.open.clear()
        if customer.shared and effect not in LIGHT_EFFECTS:
            customer.shared = False
            profiles.copy_parts(profile)
        if not apply(profile, event, row):
            self._duplicates += 1
            return
        at = event.time_ms
        engaged = row.engaged and not event.automated
        if (engaged and self._any_activity) or event.name in self._watched:
            self._match(profile, path, event, engaged)
        moved = False
        if path.next_snapshot_ms == NEVER_MS:
            path.next_snapshot_ms = self._grid_after(customer.key, clock_ms)
            moved = True
        # a deadline of the first step is near enough to be left where it is: it moves when it is looked at
        if engaged and at == profile.engaged_ms and (path.silence_step or path.next_silence_ms == NEVER_MS):
            path.silence_step = 0
            path.next_silence_ms = max(self._silence_due(profile, path), clock_ms + 1)
            moved = True
        if row.decisive or at - path.scored_ms >= self._score_every_ms:
            at_ms, trigger = max(at, profile.newest_ms), DECISIVE if row.decisive else EVENT
            self._capture(customer, path, at_ms, trigger, offset, (2 * place + 1, 0, 0))
        if moved:
            customer.due_ms = _due_ms(path, self._wait_ms)

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

    def _capture(
        self, customer: _Customer, path: Path, at_ms: int, trigger: str, offset: int, place: tuple[int, int, int]
    ) -> None:
        if at_ms > path.scored_ms:
            path.scored_ms = at_ms
        point = Point(customer.key, at_ms, trigger, offset)
        self._rows.add(customer.profile, at_ms)
        self._places.append(place)
        self._points.append(point)
        customer.open.append(point)

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

    def _handle_due(self, customer: _Customer, until_ms: int) -> None:
        path, wait_ms = customer.path, self._wait_ms
        customer.touched = True
        at = customer.due_ms
        while at <= until_ms:
            # where a look at all deadlines, whenever the clock moves, would have come to this one
            place = 2 * self._raised_at[bisect_left(self._raises, at)], at, customer.order
            self._handle_deadline(customer, path, at, place)
            at = _due_ms(path, wait_ms)
        customer.due_ms = at

    def _handle_deadline(self, customer: _Customer, path: Path, at_ms: int, place: tuple[int, int, int]) -> None:
        profile = customer.profile
        while path.pending and path.pending[0].snapshot_ms + self._wait_ms <= at_ms:
            self._release_places.append(place)
            self._released.append(self._label(customer.key, path.pending.pop(0)))
        if path.next_snapshot_ms <= at_ms:
            eligible = self._eligible(profile, at_ms)
            if eligible & self._primary_mask and len(path.pending) < PENDING_MAX:
                self._capture(customer, path, at_ms, SNAPSHOT, -1, place)
                path.pending.append(Pending(at_ms, eligible, [NEVER_MS] * len(self._definitions)))
            path.next_snapshot_ms = at_ms + self.definition.snapshot_every_ms if eligible else NEVER_MS
        if path.next_silence_ms <= at_ms:
            due = self._silence_due(profile, path)
            if due <= at_ms:  # later: there was activity since, which moves the deadline only now, when it is looked at
                if path.scored_ms < at_ms and self._eligible(profile, at_ms):
                    self._capture(customer, path, at_ms, SILENCE, -1, place)
                path.silence_step += 1
                due = self._silence_due(profile, path)
            path.next_silence_ms = max(due, at_ms + 1)

    # Labels ----------------------------------------------------------------------------------------------------------

    def _eligible(self, profile: Profile, at_ms: int) -> int:
        """Bit mask of the definitions under which the customer can still churn.

        By an event: whose subscription runs and who has not already gone; who never had a subscription, as long as
        something was heard of them lately. By inactivity: who was active within the definition's window.
        """
        state = None
        mask = 0
        for i, definition in enumerate(self._definitions):
            last = profile.matched[i]
            if isinstance(definition, EventDefinition):
                if state is None:
                    state = SubscriptionState(profile.subscription)
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
        order = _in_order(self._places)
        points = self._points = [self._points[i] for i in order.tolist()]
        x = compute(self._rows)[order] if points else np.empty((0, FEATURE_COUNT))
        m = self.population.levels(x, [p.at_ms if p.trigger == SNAPSHOT else None for p in points])
        scores = self.scorer.score(x, m)
        changes: dict[bytes, bytes | None] = {}
        self._freeze_snapshots(points, x, m, scores, changes)
        self._released = [self._released[i] for i in _in_order(self._release_places).tolist()]
        examples = self._release(changes)
        newest = dict(zip([p.key for p in points], scores.probability.tolist(), strict=True))
        records = {
            key: profiles.encode_head(due, newest.get(key, probability)) + body
            for key, due, probability, body in self._records
        }
        changes.update(records)
        self._remember(records)
        state = _ENCODER.encode(
            _State(STATE_VERSION, self.definition.label_hash, self.clock_ms, self.population.state())
        )
        return Effects(changes, examples, points, x, m, scores, self.scorer.version, self._duplicates, state)

    def _remember(self, records: dict[bytes, bytes]) -> None:
        """Keeps records for the next batch, the newest `CACHE_RECORDS` of them.

        The caller commits the effects before the next batch or throws this object away, so what is kept is never ahead
        of the store.
        """
        cache = self._cache
        for key in records:
            cache.pop(key, None)
        cache.update(records)
        excess = len(cache) - CACHE_RECORDS
        if excess > 0:
            for key in list(itertools.islice(cache, excess)):
                del cache[key]

    def _freeze_snapshots(
        self, points: list[Point], x: Floats, m: Floats, scores: Scores, changes: dict[bytes, bytes | None]
    ) -> None:
        rows = [i for i, point in enumerate(points) if point.trigger == SNAPSHOT]
        if not rows:
            return
        # what lies in one array is one text of bytes too, cut into rows
        width = 8 * FEATURE_COUNT
        features, levels, version = x[rows].tobytes(), m[rows].tobytes(), self.scorer.version
        probabilities, members = scores.probability[rows].tolist(), scores.members(rows).tolist()
        encode, at = _ENCODER.encode, 0
        for i, probability, each in zip(rows, probabilities, members, strict=True):
            point, end = points[i], at + width
            frozen = _Snapshot(features[at:end], levels[at:end], probability, each, version)
            changes[snapshot_key(point.key, point.at_ms)] = encode(frozen)
            at = end

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
                    tuple(frozen.members),  # type: ignore[arg-type]
                    release.label,
                    release.labels,
                    frozen.model,
                    self.definition.label_hash,
                    release.churned_ms,
                )
            )
        return examples


def _due_ms(path: Path, wait_ms: int) -> int:
    due = path.next_snapshot_ms
    if path.next_silence_ms < due:
        due = path.next_silence_ms
    if path.alert_due_ms < due:
        due = path.alert_due_ms
    if path.pending and path.pending[0].snapshot_ms + wait_ms < due:
        due = path.pending[0].snapshot_ms + wait_ms
    return due


def _in_order(places: list[tuple[int, int, int]]) -> NDArray[np.intp]:
    """The order of places in the log: events where they stand, deadlines before the event that moved the clock past
    them, by due time and then by hash."""
    step, due, order = np.fromiter(itertools.chain.from_iterable(places), np.uint64, 3 * len(places)).reshape(-1, 3).T
    return np.lexsort((order, due, step))
