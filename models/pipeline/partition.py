"""The fold over one partition: events in; profiles, scores, alerts and training examples out.

`PartitionFold.process` is all that a worker and a backtest share, and all that either does to a customer. Its steps:

1. **read**: the clock moves over the batch, and the records of everyone who has an event or a deadline are loaded.
2. **apply**: customer by customer, every deadline up to the clock is handled as of its due time, then the event is
   applied. Where the log demands a score, what features read of the profile is copied out as a scoring point.
3. **score**: the points become one array of features in log order, and all are scored by one product.
4. **rank**: each probability gets its percentile, its band, and the probability before it.
5. **forecast**: the retention accounting of the batch, and the customer-value forecasts that build on it.
6. **decide**: scores, people's actions and timers move the alerts.
7. **freeze**: features and probability are frozen with each new training snapshot.
8. **mature**: labels that matured meet what was frozen with their snapshot, and become training examples.
9. **account**: matured labels and reached goals count in the sums of experience, and unreadable properties in theirs.
10. **encode**: the records that changed, and the partition's own state.

Customers do not interact in steps 1 and 2. There a batch is worked on customer by customer: each profile is decoded,
moved through all of its events and deadlines, and encoded, which is about as much as fits into a processor's cache.
Points and labels are then put in log order.

Batch boundaries change nothing: points, deadlines, the peers' level and the ranks are functions of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from models.alerts.alert_state import unpack
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import Horizons
from models.definition.goals import Goals
from models.experience.aggregates import ExperienceAggregates, SumIncrement, label_additions, label_block
from models.features.catalogue import FEATURES
from models.features.peer_means import PeerMeans
from models.features.scoring_point import EVENT, SILENCE, LogPosition, event_position
from models.labels.feed_outages import FeedOutages
from models.labels.labeller import Labeller
from models.labels.training_example import TrainingExample, build_examples, freeze
from models.learning.percentile_rank import PercentileRanks
from models.outputs.score_record import OutputContext
from models.pipeline.alert_tracker import AlertChanges, AlertTracker, RankedBatch
from models.pipeline.batch import FoldBatch, WorkingCustomer
from models.pipeline.batch_clock import BatchClock, ClockedBatch, run_clock
from models.pipeline.deadlines import Deadlines
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.event_applier import EventApplier
from models.pipeline.ranking import Floats, RiskScorer, ScoredPoints, compare, log_order, score_points
from models.pipeline.record_cache import RecordCache
from models.pipeline.unreadable_record import UnreadableRecord
from models.profile import codec as profiles
from models.profile.codec import ALERTED, BAND_MASK, UNSCORED, VISITOR
from models.profile.keys import ALERT, StateStore, alert_key
from models.profile.mergeable import DAY_MS
from models.profile.schema import NEVER_MS
from models.retention.accounts import RetentionAccounts
from models.value.forecast_state import DailyForecasts, ForecastState

STATE_VERSION: Final = 2

Changes = dict[bytes, bytes | None]


class _FoldState(msgspec.Struct, array_like=True):
    version: int = STATE_VERSION
    definition: str = ""
    clock_ms: int = 0
    population: list[Any] = []
    ranks: list[Any] = []
    feed: list[Any] = []


_ENCODER = msgspec.msgpack.Encoder()
_STATE_DECODER = msgspec.msgpack.Decoder(_FoldState)


class _Ranks(NamedTuple):
    """Step 4: percentile, base rate and band of each point, and its comparison with the previous score."""

    percentile: Floats
    base: Floats
    band: list[int]
    previous: list[float | None]
    published_rows: set[int]
    newest: dict[bytes, tuple[float, int]]


class _Matured(NamedTuple):
    """Step 8: training examples in log order with their positions; a feed outage censors some."""

    examples: list[TrainingExample]
    positions: list[LogPosition]
    censored: int


class PartitionFold:
    """Folds the events of one partition; see the module's docstring.

    Args:
        definition: What churn means.
        store: Where encoded records are read from; the caller writes `FoldEffects.changes` to it after the commit.
        scorer: The model to score with; may be replaced between calls.
        state: The newest committed `FoldEffects.state`, None for a new partition.
        topic, number: The input topic and partition, for the lineage of outputs.

    Attributes:
        stage_ended: Called with a stage's name when it ends (read, apply, score, decide), for a caller with a clock.
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
        self.peers = PeerMeans(len(FEATURES), definition.population_half_life_ms)
        self.percentiles = PercentileRanks(definition.snapshot_every_ms)  # long enough to see every customer once
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
        self.unreadable = UnreadableRecord(store.get_many)
        labeller = Labeller(definition)
        policy = self.alerts.settings
        # this long after the customer's newest score, an alert has expired and its cooldown is over
        self._deadlines = Deadlines(definition, labeller, policy.expire_ms + policy.cooldown_ms + 1)
        self._applier = EventApplier(definition, labeller, self._goals, self.accounts, self._deadlines)
        self._cache = RecordCache(store)
        self.stage_ended: Callable[[str], None] = lambda _: None

    def process(self, events: Sequence[OffsetEvent], until_ms: int = 0, *, flush: bool = True) -> FoldEffects:
        """Fold a batch of events.

        Args:
            events: Events of this partition in the order of their offsets.
            until_ms: Deadlines up to here are due without any event: the wall clock in live running, 0 in a replay.
            flush: Bring the blocks of the accounting up to date; see `RetentionAccounts.finish`.
        """
        clocked = self._run_clock(events, until_ms)
        batch = FoldBatch(self.accounts, clocked.clock, len(self.definition.definitions))
        due_alerts = self._apply(batch, events, clocked)
        scored = score_points(batch, self.peers, self.scorer, self.context.horizons)
        ranks = self._rank(batch, scored)
        self.stage_ended("score")
        forecasts, accounting = self._forecast(batch, flush)
        alerts = self._decide(batch, scored, ranks, forecasts, due_alerts)
        self.stage_ended("decide")
        changes: Changes = {}
        freeze(scored.points, scored.x, scored.m, scored.scores, self.scorer.version, self._goals, changes)
        matured = self._mature(batch, changes)
        experience = self._account(batch, matured)
        self._encode(batch, ranks, alerts, changes)
        unreadable = self.unreadable.apply_batch(batch.unreadable, flush=flush)
        for records in (alerts.changes, accounting, experience, unreadable):
            changes.update(records)
        return self._effects(batch, scored, ranks, forecasts, alerts, matured, changes)

    def score_now(self, keys: Sequence[bytes]) -> FoldEffects:
        """Score customers once more, as of their newest event or deadline, without effects to commit.

        For tools that show what is known of a customer; workers publish scores at points that the log defines.

        Args:
            keys: Profile keys of customers with a record.
        """
        batch = FoldBatch(self.accounts, BatchClock([self.clock_ms], [0]), len(self.definition.definitions))
        for index, (key, record) in enumerate(zip(keys, self._cache.load(keys), strict=True)):
            customer = self._customer(batch, key, record)
            newest_ms, scored_ms = customer.profile.newest_ms, customer.processing.scored_ms
            trigger = EVENT if newest_ms >= scored_ms else SILENCE
            point = batch.capture(customer, max(newest_ms, scored_ms), trigger, event_position(index), self.clock_ms)
            point.due_to_publish = True
        scored = score_points(batch, self.peers, self.scorer, self.context.horizons)
        ranks = self._rank(batch, scored)
        forecasts, _ = self._forecast(batch, False)
        states = map(unpack, self.store.get_many([alert_key(key) for key in keys]))
        after = {row: state for row, state in enumerate(states) if state is not None}
        alerts = AlertChanges([], {}, {}, after, set())
        return self._effects(batch, scored, ranks, forecasts, alerts, _Matured([], [], 0), {})

    # 1 and 2: read and apply -------------------------------------------------------------------------------------

    def _run_clock(self, events: Sequence[OffsetEvent], until_ms: int) -> ClockedBatch:
        clocked = run_clock(events, self.clock_ms, until_ms, self.feed)
        self.clock_ms = clocked.end_ms
        self.accounts.begin()
        return clocked

    def _apply(self, batch: FoldBatch, events: Sequence[OffsetEvent], clocked: ClockedBatch) -> set[bytes]:
        """Apply events and deadlines customer by customer; returns the keys of customers with an alert timer due."""
        due_alerts, indices = set(), {b"c" + customer.encode(): mine for customer, mine in clocked.indices.items()}
        for _, key in self.store.due(clocked.end_ms, 1 << 30):
            if key[:1] == ALERT:
                due_alerts.add(b"c" + key[1:])
            elif key not in indices:
                indices[key] = []
        records = self._cache.load(indices)
        self.stage_ended("read")
        applier, deadlines, clocks, end = self._applier, self._deadlines, clocked.clock_ms, clocked.end_ms
        for (key, mine), record in zip(indices.items(), records, strict=True):
            customer = self._customer(batch, key, record)
            for index in mine:
                if customer.due_ms <= clocks[index]:
                    deadlines.handle_due(batch, customer, clocks[index])
                applier.apply(batch, customer, events[index], index, clocks[index])
            if customer.due_ms <= end:
                deadlines.handle_due(batch, customer, end)
            if mine:
                self.accounts.record_activity(key, customer.accounted, customer.profile)
            if customer.changed:
                batch.encode(customer)
        self.stage_ended("apply")
        return due_alerts

    def _customer(self, batch: FoldBatch, key: bytes, record: bytes | None) -> WorkingCustomer:
        if record is None:
            return WorkingCustomer(key, batch.new_profile(), NEVER_MS, UNSCORED, VISITOR)
        profile = profiles.decode(record)
        due_ms, _, probability, flags = profiles.read_head(record)
        if flags & ALERTED:
            batch.alerted.add(key)
        return WorkingCustomer(key, profile, due_ms, probability, flags)

    # 4 to 9: rank, forecast, decide, mature, account -------------------------------------------------------------

    def _rank(self, batch: FoldBatch, scored: ScoredPoints) -> _Ranks:
        probability = scored.scores.probability
        percentile, base = self.percentiles.ranks(probability, scored.snapshot_ms)
        band: list[int] = self.alerts.settings.bands(probability, percentile, base).tolist()
        found = compare(scored.points, probability.tolist(), band, batch.before)
        return _Ranks(percentile, base, band, *found)

    def _forecast(self, batch: FoldBatch, flush: bool) -> tuple[DailyForecasts, Changes]:
        """The value forecasts of the batch's days, and the records of the accounting that change."""
        retention = self.accounts.finish(flush=flush) if self.clock_ms else {}
        life_tables = self.accounts.life_tables
        forecasts, value = self.value_forecast.apply_batch(life_tables, batch.purchases, bool(self.clock_ms))
        return forecasts, {**retention, **value}

    def _decide(
        self,
        batch: FoldBatch,
        scored: ScoredPoints,
        ranks: _Ranks,
        forecasts: DailyForecasts,
        due_alerts: set[bytes],
    ) -> AlertChanges:
        points, x, m, scores, _ = scored
        ranked = RankedBatch(points, x, m, scores, ranks.percentile, ranks.base, ranks.band, ranks.previous, forecasts)
        return self.alerts.apply_batch(
            ranked,
            trust=self.scorer.trust,
            actions=batch.actions,
            alerted=batch.alerted,
            due=due_alerts,
            clock=batch.clock,
        )

    def _mature(self, batch: FoldBatch, changes: Changes) -> _Matured:
        """The training examples of all labels that matured, in log order, without those that a feed outage censors."""
        order = log_order([position for position, _ in batch.matured]).tolist()
        labels = [batch.matured[i][1] for i in order]
        definition = self.definition
        wait_ms, horizon_ms = definition.release_after_ms, definition.longest_horizon_ms
        examples = build_examples(labels, self.store, changes, wait_ms, definition.label_hash)
        censored = self.feed.is_censored
        known = [
            (batch.matured[i][0], example)
            for i, example in zip(order, examples, strict=True)
            if not censored(example.snapshot_ms, example.snapshot_ms + horizon_ms, example.release_ms)
        ]
        positions = [position for position, _ in known]
        return _Matured([example for _, example in known], positions, len(examples) - len(known))

    def _account(self, batch: FoldBatch, matured: _Matured) -> Changes:
        """Count matured labels and reached goals in the sums of experience, in log order."""
        increments = batch.goal_increments
        for position, example in zip(matured.positions, matured.examples, strict=True):
            context = example.experience_context
            if context is not None:
                block = label_block(context.plan, example.snapshot_ms)
                increments += [
                    (position, SumIncrement(example.release_ms, block, *each))
                    for each in label_additions(context, example.label)
                ]
        increments.sort(key=itemgetter(0))
        return self.experience.apply_batch([increment for _, increment in increments], self.clock_ms)

    # 10: encode --------------------------------------------------------------------------------------------------

    def _encode(self, batch: FoldBatch, ranks: _Ranks, alerts: AlertChanges, changes: Changes) -> None:
        """Add the profile records that changed, and remove what deleted customers leave."""
        changes.update(dict.fromkeys(batch.dropped_snapshots))
        batch.deleted.sort()
        deleted = dict.fromkeys(key for _, key in batch.deleted)
        records: dict[bytes, bytes] = {}
        for key, due_ms, probability, flags, body in batch.encoded:
            if key in ranks.newest:
                probability, band = ranks.newest[key]
                flags = flags & ~BAND_MASK | band
            if key in alerts.alerted:
                flags = flags & ~ALERTED | (ALERTED if alerts.alerted[key] else 0)
            records[key] = profiles.encode_head(due_ms, probability, flags) + body
        # a timer ended the alert, and nothing else happened to the customer
        ended = [key for key, has in alerts.alerted.items() if not has and key not in records and key not in deleted]
        for key, record in zip(ended, self._cache.load(ended), strict=True):
            if record is not None:
                due_ms, _, probability, flags = profiles.decode_head(record)
                head = profiles.encode_head(due_ms, probability, flags & ~ALERTED)
                records[key] = head + record[profiles.PREFIX_BYTES :]
        changes.update(deleted)
        changes.update(records)
        self._cache.update(records, deleted)

    def _effects(
        self,
        batch: FoldBatch,
        scored: ScoredPoints,
        ranks: _Ranks,
        forecasts: DailyForecasts,
        alerts: AlertChanges,
        matured: _Matured,
        changes: Changes,
    ) -> FoldEffects:
        return FoldEffects(
            changes=changes,
            alerts=alerts.alerts,
            examples=matured.examples,
            points=scored.points,
            x=scored.x,
            m=scored.m,
            scores=scored.scores,
            percentile=ranks.percentile,
            band=ranks.band,
            previous=ranks.previous,
            published_rows=sorted(ranks.published_rows | alerts.changed_rows),
            alert_after=alerts.after,
            deleted=batch.deleted,
            model=self.scorer.version,
            trust=self.scorer.trust,
            value_forecasts=forecasts,
            cell_snapshots=self.value_forecast.cell_snapshots,
            duplicates=batch.duplicates,
            censored=matured.censored,
            unreadable=batch.unreadable,
            state=self._state(),
        )

    def _state(self) -> bytes:
        state = _FoldState(
            STATE_VERSION,
            self.definition.state_hash,
            self.clock_ms,
            self.peers.state(),
            self.percentiles.state(),
            self.feed.state(),
        )
        return _ENCODER.encode(state)

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
        self.peers.restore(state.population)
        self.percentiles.restore(state.ranks)
        self.feed.restore(state.feed)


__all__ = ["STATE_VERSION", "PartitionFold"]
