"""Apply events to the pure fold of one partition and turn its effects into outputs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from models.features.scoring_point import SNAPSHOT
from models.labels.codec import label_value
from models.outputs.alert_record import alert_headers
from models.pipeline.clock_guard import ClockGuard, count_late
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.metric_records import metric_records
from models.pipeline.partition import PartitionFold
from models.pipeline.ranking import RiskScorer
from models.pipeline.score_history import ScoreHistory
from models.profile.codec import ProfileError
from streams.engine.batch_metrics import BatchMetrics, Stopwatch
from streams.engine.contract import BatchEffects, Output, StateStore
from streams.engine.damaged_record import damaged
from streams.engine.position import POSITION_KEY
from streams.errors import ConfigurationError
from streams.scoring.explain_protocol import ExplainClient, ExplainJob
from streams.scoring.fold_metrics import count_fold
from streams.scoring.partition_state import decode_state, encode_state
from streams.scoring.processor_context import ProcessorContext


class Fold:
    """The customers of one partition, as of a state.

    Args:
        context: shared by the partitions of the worker.
        partition: its number.
        store: the partition's committed state.
        state: the last committed `BatchEffects.state`, None for a new partition.
        scorer: scores with this model; None for the newest one.

    Raises:
        ConfigurationError: the state was written by another release or built under another churn definition.
        RecordDamaged: the state cannot be used.
    """

    def __init__(
        self,
        context: ProcessorContext,
        partition: int,
        store: StateStore,
        state: bytes | None,
        scorer: RiskScorer | None = None,
    ) -> None:
        committed = None if state is None else decode_state(state, context.definition, partition)
        self.newest_event_ms = None if committed is None else committed.newest_event_ms
        self._context, self._partition, self._scorer = context, partition, scorer
        self._guard = ClockGuard(context.definition.grace_ms, begins_at_once=True)
        try:
            self._guard.restore([] if committed is None else committed.clock_guard)
            self._fold = PartitionFold(
                context.definition,
                store,
                context.scorer,
                None if committed is None else committed.partition,
                topic=context.events,
                number=partition,
            )
        except ProfileError as error:
            raise ConfigurationError(f"partition {partition}: {error}") from error
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
            why = f"its state cannot be decoded ({error})"
            raise damaged(context.changelog, partition, POSITION_KEY, why) from error
        self._history = ScoreHistory(self._fold.context, store)

    @property
    def clock_ms(self) -> int:
        """The partition's clock."""
        return self._fold.clock_ms

    @property
    def waits(self) -> bool:
        """Whether an event ahead of the clock is held, and may be applied when the input is idle."""
        return self._guard.waits

    def times(self, entries: Sequence[OffsetEvent], received_ms: int) -> tuple[list[int], list[int]]:
        """For each event, the earliest and the newest time that it adds to the log; 0 if it is not confirmed yet."""
        admitted = self._guard.copy().admit(entries, self._event_clock_ms, received_ms)
        return admitted.first_ms, admitted.newest_ms

    @property
    def _event_clock_ms(self) -> int:
        """The newest event time. The clock itself may be later: at the bound of a transaction's deadlines."""
        return self.clock_ms if self.newest_event_ms is None else self.newest_event_ms

    @property
    def unflushed(self) -> bool:
        """Whether the accounting has changes that are not published yet."""
        return self._fold.accounts.pending or self._fold.unreadable.pending

    def apply(
        self,
        entries: Sequence[OffsetEvent],
        until_ms: int,
        tally: BatchMetrics | None = None,
        watch: Stopwatch | None = None,
        *,
        flush: bool = True,
        explainer: ExplainClient | None = None,
        idle_ms: int = 0,
        received_ms: int | None = None,
    ) -> BatchEffects:
        """Apply events and the deadlines up to `until_ms`.

        Args:
            entries: events in offset order.
            until_ms: wall clock while the input is live, else 0.
            tally: counts what the batch did.
            watch: times its stages.
            flush: bring the accounting's blocks up to date.
            explainer: renders the scores, if there are enough of them; None to render them here.
            idle_ms: wall clock if no event has arrived for a while, to apply events that are held.
            received_ms: the time of receipt in live running, else 0; no event up to it is held. None: `until_ms`, which
                otherwise may be less, because a transaction handles a bounded number of deadlines.
        """
        context = self._context
        self._fold.scorer = self._scorer or context.scorer
        if watch is not None:
            self._fold.stage_ended = watch
        guard, clock_ms, event_clock_ms = self._guard, self.clock_ms, self._event_clock_ms
        received_ms = until_ms if received_ms is None else received_ms
        admitted = (
            guard.finish(event_clock_ms, idle_ms) if idle_ms else guard.admit(entries, event_clock_ms, received_ms)
        )
        effects = self._fold.process(admitted.events, until_ms, flush=flush)
        scores, deferred = self._history.prepare(effects), None
        outputs = self._alerts(effects)
        if explainer is not None and len(effects.published_rows) >= context.deferred_min:
            deferred = ExplainJob(
                scores,
                explainer,
                topic=context.scores,
                partition=self._partition,
                compression=context.scores_compression,
            )
        else:
            values = [value for payload in scores.payloads for value in payload.values()]
            outputs += [
                Output(context.scores, self._partition, customer, value) for customer, value in scores.records(values)
            ]
        outputs += self._labels_and_metrics(effects)
        if admitted.events:
            newest_ms = max([event.time_ms for _, event in admitted.events])
            self.newest_event_ms = max(newest_ms, self.newest_event_ms or 0)
        if tally is not None:
            count_fold(tally, effects, admitted, entries[0].offset if entries else 0)
            tally.counts["events_late",] += count_late(admitted.events, clock_ms, context.definition.grace_ms)
            if tally.counts["scores", SNAPSHOT]:  # snapshots move the population's level
                tally.drift = context.scorer.drift(effects.m[-1])
        return BatchEffects(
            outputs,
            changes={**effects.changes, **scores.histories},
            state=encode_state(context.definition, self.newest_event_ms, effects.state, guard.state()),
            deferred=deferred,
        )

    def _alerts(self, effects: FoldEffects) -> list[Output]:
        topic, partition = self._context.alerts, self._partition
        return [
            Output(topic, partition, alert.customer, alert.value, alert_headers(alert.event, alert.customer.decode()))
            for alert in effects.alerts
        ]

    def _labels_and_metrics(self, effects: FoldEffects) -> list[Output]:
        labels, metrics, partition = self._context.labels, self._context.metrics, self._partition
        outputs = [Output(labels, 0, example.customer.encode(), label_value(example)) for example in effects.examples]
        outputs += [Output(metrics, partition, key, value) for key, value in metric_records(partition, effects.changes)]
        outputs += [
            Output(metrics, partition, *record)
            for snapshot in effects.cell_snapshots
            for record in snapshot.records(partition)
        ]
        return outputs
