"""The fold over one partition: events in; profiles, scores, alerts and training examples out.

`PartitionFold.process` is all that a worker and a backtest share, and all that either does to a customer. In order:

1. Before an event is applied, every deadline up to the partition's clock is handled as of its due time, in the order
   (due time, hash of the key): labels are released, snapshots taken, silent customers looked at, and
   those forgotten of whom nothing is awaited.
2. The event is applied. If the log makes it a scoring point, what features read of the profile is copied out.
3. At the end of the batch all that was copied becomes one array of features; points in order read the population's
   current level, and snapshots move it; everything is scored by one product, and ranked.
4. Scores, what people did and passing time move the alerts.
5. Released labels find the features and the probability that were frozen with their snapshot, and count in the sums of
   experience.

Customers do not meet in 1 and 2, so a batch is worked on customer by customer: each is decoded, moved through all of
their events and deadlines, encoded and let go, which is about as much as fits into a processor's cache. Points and
labels are then put in the order that the log gives them.

Batch boundaries change nothing: points, deadlines, the population's level and the ranks are functions of the log.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from models.alerts.policy import AlertState, action_of
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import Horizons
from models.definition.goals import Goals
from models.events.event import Event
from models.events.taxonomy import LIGHT_EFFECTS, MEANINGS, UNKNOWN
from models.experience.aggregates import (
    ExperienceAggregates,
    SumIncrement,
    goal_additions,
    label_additions,
    label_block,
)
from models.features.catalogue import FEATURES
from models.features.catalogue import compute as compute
from models.features.peer_means import PeerMeans
from models.features.row_buffer import RowBuffer
from models.features.scoring_point import DECISIVE, EVENT, SILENCE, SNAPSHOT, LogPosition, ScoringPoint, event_position
from models.labels.feed_outages import NOTED_MS, FeedOutages
from models.labels.labeller import Labeller, MaturedLabel
from models.labels.training_example import TrainingExample, build_examples, freeze
from models.learning.combined_scores import score_both
from models.learning.percentile_rank import PercentileRanks
from models.outputs.records import OutputContext
from models.pipeline.alert_tracker import AlertOutput, AlertTracker, BatchClock, CustomerAction, RankedBatch
from models.profile import schema as profiles
from models.profile.apply import apply, is_new_event
from models.profile.keys import ALERT, StateStore, order_hash, snapshot_key
from models.profile.mergeable import DAY_MS
from models.profile.schema import (
    ALERTED,
    BAND_MASK,
    NEVER_MS,
    UNSCORED,
    VISITOR,
    PendingSnapshot,
    ProcessingState,
    Profile,
)
from models.profile.view import ProfileView
from models.retention.accounts import EFFECTS, RetentionAccounts
from models.retention.activity_flows import NO_ACTIVITY, ActivityView
from models.value.bg_nbd import PurchaseHistory
from models.value.forecast_state import DailyForecasts, ForecastState
from models.value.gamma_gamma import SpendHistory
from models.value.purchase_aggregates import CellSnapshot
from models.value.purchase_counts import ORDER, PurchaseDelta

Floats = NDArray[np.float64]

STATE_VERSION: Final = 2
SILENCE_STEPS: Final = 3  # looks at a silent customer, after 2, 4 and 8 usual gaps; snapshots look besides
SILENCE_MIN_MS: Final = 2 * DAY_MS  # a weekend off is no silence
PUBLISH_EVERY_MS: Final = DAY_MS  # a score that changes no band is told so often; a value has 4 KB
FEATURE_COUNT: Final = len(FEATURES)
CACHE_RECORDS: Final = 50_000  # kept between batches, some 1 KB each

_NINETY_DAYS: Final = (1 << 90) - 1


class RiskScorer(Protocol):
    """An immutable view of a model; see `models.learning.scorer`."""

    @property
    def version(self) -> str: ...
    @property
    def trust(self) -> float: ...
    def score(self, x: Floats, m: Floats) -> Any: ...


class OffsetEvent(NamedTuple):
    """One decoded event and where it stood."""

    offset: int
    event: Event


class DeletedCustomer(NamedTuple):
    """A customer of whom nothing is kept any more; whoever comes under this id later begins anew."""

    place: LogPosition
    key: bytes


class FoldEffects(msgspec.Struct):
    """Everything that one call of `process` causes; nothing of it has happened until the caller commits it.

    Rows of the arrays are those of `points`; `told` has the rows of the scores that readers are to be told.
    """

    changes: dict[bytes, bytes | None]
    alerts: list[AlertOutput]
    examples: list[TrainingExample]
    points: list[ScoringPoint]
    x: Floats
    m: Floats
    scores: Any
    percentile: Floats
    band: list[int]
    previous: list[float | None]
    told: list[int]
    alert_after: dict[int, AlertState]
    forgotten: list[DeletedCustomer]
    model: str
    trust: float
    value_forecasts: DailyForecasts
    counted: list[CellSnapshot]
    duplicates: int
    censored: int
    state: bytes


class _FoldState(msgspec.Struct, array_like=True):
    version: int = STATE_VERSION
    definition: str = ""
    clock_ms: int = 0
    population: list[Any] = []
    ranks: list[Any] = []
    feed: list[Any] = []


class _Customer:
    """A customer while their part of a batch is worked on."""

    __slots__ = (
        "counted",
        "due_ms",
        "key",
        "path",
        "probability",
        "profile",
        "profile_view",
        "shared",
        "standing",
        "touched",
    )

    def __init__(self, key: bytes, profile: Profile, due_ms: int, probability: float, standing: int) -> None:
        self.key = key
        self.profile = profile
        assert profile.path is not None
        self.path = profile.path
        self.due_ms = due_ms
        self.probability = probability
        self.standing = standing
        self.touched = False  # the record is written
        self.profile_view: ProfileView | None = None  # as long as nothing changed since it was taken
        self.counted = ActivityView.of(profile)  # as the retention accounting has them so far
        self.shared = False  # parts of the profile are shared with what was taken of it


class _EncodedProfile(NamedTuple):
    """A profile that changed, all but what is known after scoring."""

    key: bytes
    due_ms: int
    probability: float
    standing: int
    body: bytes


_ENCODER = msgspec.msgpack.Encoder()
_STATE_DECODER = msgspec.msgpack.Decoder(_FoldState)


class PartitionFold:
    """One partition's customers; see the module's docstring.

    Args:
        definition: What churn means.
        store: Where encoded records are read from; the caller writes `FoldEffects.changes` to it after commit.
        scorer: The model to score with; may be replaced between calls.
        state: What the last committed `FoldEffects.state` was, None for a new partition.

    Attributes:
        stage_ended: Told as stages of a batch end (read, apply, score, decide), for who has a clock.
    """

    def __init__(
        self,
        definition: ChurnDefinition,
        store: StateStore,
        scorer: RiskScorer,
        state: bytes | None = None,
        *,
        topic: str | None = None,
        number: int | None = None,
    ) -> None:
        self.definition = definition
        self.store = store
        self.scorer = scorer
        self.population = PeerMeans(FEATURE_COUNT, definition.population_half_life_ms)
        self.percentiles = PercentileRanks(definition.snapshot_every_ms)  # in which everybody was seen once
        self.feed = FeedOutages()
        self.clock_ms = 0
        second = definition.involuntary
        horizons = None if second is None else Horizons(definition.horizon_ms, second.horizon_ms)
        self._goals = Goals(definition.goals)
        hashes = definition.label_hash, definition.hash
        self.context = OutputContext(*hashes, definition.horizon_ms, topic, number, horizons, self._goals)
        self.alerts = AlertTracker(definition, self.context, store, self.feed)
        if state is not None:
            self._restore(state)
        self.accounts = RetentionAccounts(store.get_many, new=not self.clock_ms)
        begun_day = self.clock_ms // DAY_MS + 1 if self.clock_ms else 0
        self.value_forecast = ForecastState(definition.value, store.get_many, begun_day)
        self.experience = ExperienceAggregates(store.get_many)
        self._labels = Labeller(definition)
        self._new_matched = [0] * len(definition.definitions)
        self._wait_ms = definition.release_after_ms
        self._score_every_ms = definition.score_every_ms
        self._keep_least_ms = min(definition.anonymous_after_ms, definition.profile_after_ms)
        # an alert has expired so long after the customer's last score, and its cooldown is over
        self._alert_over_ms = self.alerts.settings.expire_ms + self.alerts.settings.cooldown_ms + 1
        self._cache: dict[bytes, bytes] = {}
        self.stage_ended: Callable[[str], None] = _nobody_listens
        self._begin()

    def _restore(self, data: bytes) -> None:
        state = _STATE_DECODER.decode(data)
        if state.version != STATE_VERSION:
            raise profiles.ProfileError(
                f"a partition's state has version {state.version}, this program reads version {STATE_VERSION}: "
                "run the release that wrote it, or rebuild the group's state from the input"
            )
        if state.definition != self.definition.state_hash:
            raise profiles.ProfileError(
                f"a partition's state was built with the churn definitions {state.definition}, "
                f"which are now {self.definition.state_hash}: rebuild the group's state from the input"
            )
        self.clock_ms = state.clock_ms
        self.population.restore(state.population)
        self.percentiles.restore(state.ranks)
        self.feed.restore(state.feed)

    def _begin(self) -> None:
        self._points: list[ScoringPoint] = []
        self._rows = RowBuffer()
        self._released: list[tuple[LogPosition, MaturedLabel]] = []
        self._actions: list[CustomerAction] = []
        self._alerted: set[bytes] = set()
        self._clock = BatchClock([], [])
        self._written: list[_EncodedProfile] = []
        self._before: dict[bytes, tuple[float, int]] = {}  # probability and band, of those who are scored in this batch
        self._forgotten: list[DeletedCustomer] = []
        self._dropped: list[bytes] = []  # pending snapshots of those who were deleted
        self._orders: list[PurchaseDelta] = []
        self._duplicates = self._censored = 0
        self._reached: list[tuple[LogPosition, SumIncrement]] = []
        self.accounts.begin()

    # 1 and 2: apply in order ---------------------------------------------------------------------------------------

    def process(self, entries: Sequence[OffsetEvent], until_ms: int = 0, *, settle: bool = True) -> FoldEffects:
        """Folds a batch of events in, in order.

        Args:
            entries: Events of this partition in the order of their offsets.
            until_ms: In live running, the wall clock up to which deadlines are due without any event; 0 in a replay.
            settle: The blocks of the accounting are brought up to date; see `models.retention.accounts.RetentionAccounts.finish`.
        """
        self._begin()
        places, clocks = self._run_clock(entries, until_ms)
        end = self.clock_ms
        keys = {b"c" + customer.encode(): found for customer, found in places.items()}
        ringing = set()
        for _, key in self.store.due(end, 1 << 30):
            if key[:1] == ALERT:
                ringing.add(b"c" + key[1:])
            elif key not in keys:
                keys[key] = []
        records = self._load(keys)
        self.stage_ended("read")
        for (key, mine), record in zip(keys.items(), records, strict=True):
            customer = self._customer(key, record)
            for place in mine:
                if customer.due_ms <= clocks[place]:
                    self._handle_due(customer, clocks[place])
                self._apply(customer, entries[place], place, clocks[place])
            if customer.due_ms <= end:
                self._handle_due(customer, end)
            if mine:
                self.accounts.record_activity(key, customer.counted, customer.profile)
            if customer.touched:
                self._leave(customer)
        self.stage_ended("apply")
        return self._finish(ringing, settle)

    def _run_clock(self, entries: Sequence[OffsetEvent], until_ms: int) -> tuple[dict[str, list[int]], list[int]]:
        """Moves the clock over a batch; returns each customer's places in it, and the clock at each place."""
        places: dict[str, list[int]] = {}
        clock, clocks, feed, heard = self.clock_ms, [], self.feed, 0
        newest = feed.newest_ms
        raises, raised_by = self._clock
        for place, (_, event) in enumerate(entries):
            at, customer = event.time_ms, event.customer
            if at > newest and MEANINGS.get(event.name, UNKNOWN).engaged and not event.automated:
                if at - newest >= NOTED_MS:
                    feed.record_activity(newest, place - heard)
                    feed.record_gap(at)
                    heard = place
                newest = at
            if at > clock:
                clock = at
                raises.append(clock)
                raised_by.append(place)
            clocks.append(clock)
            if (mine := places.get(customer)) is None:
                places[customer] = [place]
            else:
                mine.append(place)
        feed.record_activity(newest, len(entries) - heard)
        self.clock_ms = end = max(clock, until_ms)
        raises.append(end)
        raised_by.append(len(entries))
        return places, clocks

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
            return _Customer(key, self._nobody(), NEVER_MS, UNSCORED, VISITOR)
        profile = profiles.decode(record)
        due_ms, _, probability, standing = profiles.read_head(record)
        customer = _Customer(key, profile, due_ms, probability, standing)
        if standing & ALERTED:
            self._alerted.add(key)
        return customer

    def _nobody(self) -> Profile:
        return Profile(path=ProcessingState(), matched=self._new_matched[:])

    def _leave(self, customer: _Customer) -> None:
        """Encodes a customer's profile while all of it is in the processor's cache, and lets go of it."""
        self._written.append(
            _EncodedProfile(
                customer.key,
                customer.due_ms,
                customer.probability,
                customer.standing,
                profiles.encode_body(customer.profile),
            )
        )

    def _apply(self, customer: _Customer, entry: OffsetEvent, place: int, clock_ms: int) -> None:
        offset, event = entry
        profile, path = customer.profile, customer.path
        row = MEANINGS.get(event.name, UNKNOWN)
        effect = row.effect
        if effect == "alert":
            self._handle(customer, event, place, clock_ms)
            return
        if effect == "deletion":
            self._delete(customer, place, clock_ms)
            return
        customer.touched = True
        customer.profile_view = None
        if customer.shared and effect not in LIGHT_EFFECTS:
            customer.shared = False
            profiles.copy_parts(profile)
        buying = effect == ORDER
        if buying:
            occasions, spent = PurchaseHistory.of(profile.commerce), SpendHistory.of(profile.commerce)
        moves = bool(self._goals) and self._goals.may_change(profile, event, effect)
        took = self._goals.contributions(profile) if moves else ()
        if not apply(profile, event, row):
            self._duplicates += 1
            return
        if buying:
            now, all_spent = PurchaseHistory.of(profile.commerce), SpendHistory.of(profile.commerce)
            self._orders.append(PurchaseDelta(clock_ms, occasions, now, spent, all_spent))
        if moves:
            self._reach(customer, event, place, clock_ms, took)
        if effect in EFFECTS:
            self.accounts.record_event(place, customer.key, event, effect, clock_ms)
        at, labels = event.time_ms, self._labels
        if at < path.oldest_new_ms:
            path.oldest_new_ms = at
        engaged = row.engaged and not event.automated
        watched = (engaged and labels.watches_activity) or event.name in labels.watched
        if watched and labels.match(profile, path, event, engaged) and not labels.can_churn(profile, profile.newest_ms):
            self._actions.append(CustomerAction(customer.key, event_position(place), clock_ms, None))
        moved = False
        # who was looked at for being silent and is not: that is said at once
        came_back = engaged and path.silence_step > 0 and at == profile.engaged_ms
        if customer.standing & VISITOR and not event.anonymous:
            customer.standing &= ~VISITOR
        if path.next_snapshot_ms == NEVER_MS:  # new, or nothing was awaited any more
            path.next_snapshot_ms = self._grid_after(customer.key, clock_ms)
            path.next_silence_ms = max(self._silence_due(profile, path), clock_ms + 1)
            moved = True
        # a deadline of the first step is near enough to be left where it is: it moves when it is looked at
        if engaged and at == profile.engaged_ms and (path.silence_step or path.next_silence_ms == NEVER_MS):
            path.silence_step = 0
            path.next_silence_ms = max(self._silence_due(profile, path), clock_ms + 1)
            moved = True
        if row.decisive or came_back or at - path.scored_ms >= self._score_every_ms:
            at_ms = max(at, profile.newest_ms)
            point = self._capture(customer, at_ms, DECISIVE if row.decisive else EVENT, event_position(place), clock_ms)
            point.offset, point.id_hash, point.event_ms = offset, event.id_hash, at
            point.eligible = labels.can_churn(profile, max(at_ms, clock_ms))
        if moved:
            customer.due_ms = _due_ms(path, self._wait_ms)

    def _reach(self, customer: _Customer, event: Event, place: int, clock_ms: int, before: Any) -> None:
        """An event may reach a goal, and correct when the customer's way to it began."""
        profile = customer.profile
        if event.name in self._goals.event_names:
            if customer.shared:
                customer.shared = False
                profiles.copy_parts(profile)
            self._goals.record(profile, event)
        additions = goal_additions(clock_ms, before, self._goals.contributions(profile))
        self._reached += [(event_position(place), addition) for addition in additions]

    def _handle(self, customer: _Customer, event: Event, place: int, clock_ms: int) -> None:
        """What people do about an alert goes through the duplicate guard, and changes nothing else of the profile."""
        if customer.profile.first_ms == NEVER_MS:
            return  # nobody whom we know, and nobody to come into being by it
        if event.id_hash and not is_new_event(customer.profile, event.id_hash, event.time_ms):
            self._duplicates += 1
            return
        customer.touched |= bool(event.id_hash)
        self._actions.append(CustomerAction(customer.key, event_position(place), clock_ms, action_of(event)))

    def _delete(self, customer: _Customer, place: int, clock_ms: int) -> None:
        """The customer asked for it: pending labels are never released, and an alert ends without a cooldown."""
        if customer.profile.first_ms == NEVER_MS:
            return
        self._dropped += [snapshot_key(customer.key, pending.snapshot_ms) for pending in customer.path.pending]
        self._alerted.add(customer.key)
        self._forget(customer, event_position(place), clock_ms, "deleted")

    def _forget(self, customer: _Customer, place: LogPosition, clock_ms: int, why: str) -> None:
        """Nothing is kept, an alert neither; who is forgotten with time has one only if late events made it."""
        self._forgotten.append(DeletedCustomer(place, customer.key))
        self._actions.append(CustomerAction(customer.key, place, clock_ms, forgotten=why))
        self.accounts.record_deletion(customer.key, customer.counted, customer.profile, clock_ms)
        customer.counted = NO_ACTIVITY
        customer.profile = profile = self._nobody()
        assert profile.path is not None
        customer.path = profile.path
        customer.due_ms, customer.probability, customer.standing = NEVER_MS, UNSCORED, VISITOR
        customer.profile_view, customer.shared, customer.touched = None, False, False

    def _capture(
        self, customer: _Customer, at_ms: int, trigger: str, place: LogPosition, clock_ms: int
    ) -> ScoringPoint:
        path, profile_view = customer.path, customer.profile_view
        if profile_view is None:
            profile_view = customer.profile_view = ProfileView.of(customer.profile)
            customer.shared = True
            self._before.setdefault(customer.key, (customer.probability, customer.standing & BAND_MASK))
        point = ScoringPoint(customer.key, at_ms, trigger, profile_view, place, clock_ms, event_ms=at_ms)
        point.first = not path.scored_ms
        if at_ms > path.scored_ms:
            path.scored_ms = at_ms
        point.oldest_new_ms, path.oldest_new_ms = path.oldest_new_ms, NEVER_MS
        if trigger == DECISIVE or at_ms - path.published_ms >= PUBLISH_EVERY_MS:
            point.due_to_publish = True
            path.published_ms = at_ms
        self._rows.add(customer.profile, at_ms)
        self._points.append(point)
        return point

    # Deadlines -----------------------------------------------------------------------------------------------------

    def _grid_after(self, key: bytes, at_ms: int) -> int:
        """The customer's next snapshot time after `at_ms`: a grid of its own phase, so that work is spread."""
        every = self.definition.snapshot_every_ms
        phase = xxh3_64_intdigest(key) % every
        return (at_ms - phase) // every * every + every + phase

    def _silence_due(self, profile: Profile, path: ProcessingState) -> int:
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
        path, wait_ms, order = customer.path, self._wait_ms, order_hash(customer.key)
        customer.touched = True
        at = customer.due_ms
        while at <= until_ms:
            # where a look at all deadlines, whenever the clock moves, would have come to this one
            place = self._clock.place_of(at, order)
            if not _rests(path):
                self._handle_deadline(customer, path, at, place)
            due = _due_ms(path, wait_ms)
            if _rests(path):
                path.next_silence_ms = NEVER_MS  # who is asked about no more is scored no more
                due = max(self._kept_until_ms(customer), path.scored_ms + self._alert_over_ms)
                if due <= at:
                    self._forget(customer, place, at, "not_scored")
                    return
            at = due
        customer.due_ms = at

    def _handle_deadline(self, customer: _Customer, path: ProcessingState, at_ms: int, place: LogPosition) -> None:
        profile = customer.profile
        while path.pending and path.pending[0].snapshot_ms + self._wait_ms <= at_ms:
            self._released.append((place, self._labels.release(customer.key, path.pending.pop(0))))
        if at_ms >= profile.newest_ms + self._keep_least_ms and at_ms >= self._kept_until_ms(customer):
            path.next_snapshot_ms = NEVER_MS  # nothing new is begun
        if path.next_snapshot_ms <= at_ms:
            eligible = self._labels.eligible(profile, at_ms)
            if not eligible & self._labels.primary_mask:
                self._actions.append(
                    CustomerAction(customer.key, place, at_ms, None)
                )  # silent for so long that this is churn itself
            else:
                self._capture(customer, at_ms, SNAPSHOT, place, at_ms)
                path.pending.append(PendingSnapshot(at_ms, eligible, [NEVER_MS] * len(self._new_matched)))
            path.next_snapshot_ms = at_ms + self.definition.snapshot_every_ms if eligible else NEVER_MS
        if path.next_silence_ms <= at_ms:
            due = self._silence_due(profile, path)
            if due <= at_ms:  # later: there was activity since, which moves the deadline only now, when it is looked at
                if path.scored_ms < at_ms and (eligible := self._labels.eligible(profile, at_ms)):
                    point = self._capture(customer, at_ms, SILENCE, place, at_ms)
                    point.eligible = bool(eligible & self._labels.primary_mask)
                path.silence_step += 1
                due = self._silence_due(profile, path)
            path.next_silence_ms = max(due, at_ms + 1)

    def _kept_until_ms(self, customer: _Customer) -> int:
        definition = self.definition
        visitor = customer.standing & VISITOR
        return customer.profile.newest_ms + (definition.anonymous_after_ms if visitor else definition.profile_after_ms)

    # 3 to 5: score, alert, release -----------------------------------------------------------------------------------

    def _finish(self, ringing: set[bytes], settle: bool) -> FoldEffects:
        order = _in_order([point.place for point in self._points])
        points = [self._points[i] for i in order.tolist()]
        x = compute(self._rows)[order] if points else np.empty((0, FEATURE_COUNT))
        moves = [p.at_ms if p.trigger == SNAPSHOT else None for p in points]
        m = self.population.levels(x, moves)
        scorer = self.scorer
        horizons = self.context.horizons
        scores = scorer.score(x, m) if horizons is None else score_both(scorer, x, m, horizons)
        percentile, base = self.percentiles.ranks(scores.probability, moves)
        band: list[int] = self.alerts.settings.bands(scores.probability, percentile, base).tolist()
        probability: list[float] = scores.probability.tolist()
        previous, told = self._compare(points, probability, band)
        self.stage_ended("score")
        counted = self.accounts.finish(settle=settle) if self.clock_ms else {}
        value_forecasts, expected = self.value_forecast.apply_batch(
            self.accounts.life_tables, self._orders, bool(self.clock_ms)
        )
        ranked = RankedBatch(points, x, m, scores, percentile, base, band, previous, value_forecasts)
        turned = self.alerts.apply_batch(ranked, scorer.trust, self._actions, self._alerted, ringing, self._clock)
        self.stage_ended("decide")
        changes: dict[bytes, bytes | None] = {}
        freeze(points, x, m, scores, scorer.version, self._goals, changes)
        examples, matured = self._mature(changes)
        newest = {point.key: (p, b) for point, p, b in zip(points, probability, band, strict=True)}
        changes.update(dict.fromkeys(self._dropped))
        self._forgotten.sort()
        gone = dict.fromkeys(key for _, key in self._forgotten)
        records = self._encode(newest, turned.standing, gone)
        changes.update(gone)
        changes.update(records)
        changes.update(turned.changes)
        changes.update(counted)
        changes.update(expected)
        changes.update(self.experience.apply_batch(self._additions(matured), self.clock_ms))
        self._remember(records, gone)
        state = _FoldState(
            STATE_VERSION,
            self.definition.state_hash,
            self.clock_ms,
            self.population.state(),
            self.percentiles.state(),
            self.feed.state(),
        )
        return FoldEffects(
            changes,
            turned.alerts,
            examples,
            points,
            x,
            m,
            scores,
            percentile,
            band,
            previous,
            sorted(told | turned.news),
            turned.after,
            self._forgotten,
            scorer.version,
            scorer.trust,
            value_forecasts,
            self.value_forecast.counted,
            self._duplicates,
            self._censored,
            _ENCODER.encode(state),
        )

    def _compare(
        self, points: list[ScoringPoint], probability: list[float], band: list[int]
    ) -> tuple[list[float | None], set[int]]:
        """Of each point the probability before, and the rows that are told by time or by a change of band."""
        before, previous, told = self._before, [], set()
        for row, (point, p, b) in enumerate(zip(points, probability, band, strict=True)):
            last, last_band = (UNSCORED, 0) if point.first else before[point.key]
            previous.append(None if last == UNSCORED else last)
            if point.due_to_publish or b != last_band:
                told.add(row)
            before[point.key] = p, b
        return previous, told

    def _encode(
        self, newest: dict[bytes, tuple[float, int]], alerts: dict[bytes, bool], gone: dict[bytes, None]
    ) -> dict[bytes, bytes]:
        """The records of all profiles that changed, now that the newest scores are known."""
        records = {}
        for key, due_ms, probability, standing, body in self._written:
            if key in newest:
                probability, band = newest[key]
                standing = standing & ~BAND_MASK | band
            if key in alerts:
                standing = standing & ~ALERTED | (ALERTED if alerts[key] else 0)
            records[key] = profiles.encode_head(due_ms, probability, standing) + body
        # by a timer, and nothing else
        ended = [key for key, has in alerts.items() if not has and key not in records and key not in gone]
        for key, record in zip(ended, self._load(ended), strict=True):
            if record is not None:
                due_ms, _, probability, standing = profiles.decode_head(record)
                head = profiles.encode_head(due_ms, probability, standing & ~ALERTED)
                records[key] = head + record[profiles.PREFIX_BYTES :]
        return records

    def _additions(self, matured: Sequence[tuple[LogPosition, TrainingExample]]) -> list[SumIncrement]:
        """What matured labels and goals add to the sums of experience, in the order of the log."""
        found = self._reached
        for place, example in matured:
            said = example.experience_context
            if said is not None:
                block = label_block(said.plan, example.snapshot_ms)
                found += [
                    (place, SumIncrement(example.release_ms, block, *one))
                    for one in label_additions(said, example.label)
                ]
        found.sort(key=itemgetter(0))
        return [addition for _, addition in found]

    def _mature(
        self, changes: dict[bytes, bytes | None]
    ) -> tuple[list[TrainingExample], list[tuple[LogPosition, TrainingExample]]]:
        """The training examples of all released labels, and where they stand in the log; those that the feed's silence
        hides are dropped."""
        order = _in_order([place for place, _ in self._released])
        released = [self._released[i][1] for i in order.tolist()]
        examples = build_examples(released, self.store, changes, self._wait_ms, self.definition.label_hash)
        horizon_ms, broke = self.definition.longest_horizon_ms, self.feed.is_censored
        known = [
            (self._released[i][0], e)
            for i, e in zip(order.tolist(), examples, strict=True)
            if not broke(e.snapshot_ms, e.snapshot_ms + horizon_ms, e.release_ms)
        ]
        self._censored = len(examples) - len(known)
        return [e for _, e in known], known

    def _remember(self, records: dict[bytes, bytes], gone: dict[bytes, None]) -> None:
        """Keeps records for the next batch, the newest `CACHE_RECORDS` of them.

        The caller commits the effects before the next batch or throws this object away, so what is kept is never ahead
        of the store.
        """
        cache = self._cache
        for key in itertools.chain(records, gone):
            cache.pop(key, None)
        cache.update(records)
        excess = len(cache) - CACHE_RECORDS
        if excess > 0:
            for key in list(itertools.islice(cache, excess)):
                del cache[key]


def _nobody_listens(stage: str) -> None:
    pass


def _due_ms(path: ProcessingState, wait_ms: int) -> int:
    due = path.next_snapshot_ms
    if path.next_silence_ms < due:
        due = path.next_silence_ms
    if path.pending and path.pending[0].snapshot_ms + wait_ms < due:
        due = path.pending[0].snapshot_ms + wait_ms
    return due


def _rests(path: ProcessingState) -> bool:
    """No snapshot will be taken and no label is awaited until there is another event."""
    return path.next_snapshot_ms == NEVER_MS and not path.pending


def _in_order(places: list[LogPosition]) -> NDArray[np.intp]:
    """The order of places in the log: events where they stand, deadlines before the event that moved the clock past
    them, by due time and then by hash."""
    step, due, order = np.fromiter(itertools.chain.from_iterable(places), np.uint64, 3 * len(places)).reshape(-1, 3).T
    return np.lexsort((order, due, step))
