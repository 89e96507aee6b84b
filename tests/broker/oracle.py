"""The expected outputs of a run: an offline fold over the events topic, compared byte for byte."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from models.backtesting.backtest import MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import Horizons
from models.events.coercion import MAX_TIME_MS
from models.events.event import Event, decode
from models.labels.codec import label_value, read_label
from models.learning.combined_scores import score_both
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.outputs.alert_record import alert_headers
from models.pipeline.clock_guard import ClockGuard
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.metric_records import PREFIXES, metric_records
from models.pipeline.partition import PartitionFold
from models.pipeline.score_history import to_records
from models.profile.codec import PREFIX_BYTES
from models.profile.mergeable import DAY_MS
from models.retention.accounts import PENDING_KEY
from streams.admin.lag import measure
from streams.kafka.partitioner import partition_of
from streams.topics import ALERTS, CHANGELOG, EVENTS, LABELS, METRICS, SCORES, name_of
from tests.crash.harness import Run
from tests.waiting import until

# Weeks instead of months, so that many labels mature within a test.
CHURN = """
[churn.definitions.left]
event = "Subscription Cancelled"
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = { reason = ["payment_failed", "payment_disputed"] }
[churn.definitions.inactivity]
not_performed = ["*"]
for = "8d"
if_active_in = "8d"
[label]
primary = ["left", "inactivity"]
horizon = "8d"
grace = "1d"
[label.involuntary]
horizon = "6d"
[snapshot]
every = "3d"
[profile]
after = "12d"
anonymous_after = "4d"
[alerts]
enter = "top 10%"
dwell = "6h"
cooldown = "3d"
reminder = "2d"
detractor = "any"
[goals.result]
event = "Goal Completed"
within = "2d"
[goals.export]
event = "Feature Used"
where = { feature = "export" }
"""


class Fold(NamedTuple):
    """The result of the offline fold of one partition, with outputs in order."""

    records: dict[bytes, bytes]
    scores: list[tuple[bytes, bytes | None]]
    alerts: list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]
    labels: list[bytes]
    effects: list[FoldEffects]


class Earlier(NamedTuple):
    """Records and state that an earlier release left for a partition before `next_offset`."""

    next_offset: int
    records: dict[bytes, bytes]
    state: bytes


def offline(
    definition: ChurnDefinition,
    topic: str,
    number: int,
    entries: Sequence[OffsetEvent],
    snapshot: bytes,
    cuts: Sequence[tuple[Sequence[OffsetEvent], int]] = (),
    earlier: Earlier | None = None,
) -> Fold:
    """Run the fold with the backtest's store, in batches of a day like a backtest, or in the batches of `cuts`, each
    with the wall clock (ms) up to which deadlines were handled. Continue from the state of an earlier release."""
    store, state = MemoryStore(), None
    if earlier is not None:
        store.apply(dict(earlier.records))
        state = earlier.state
        entries = [entry for entry in entries if entry.offset >= earlier.next_offset]
    scorer = Model.restore_scorer(snapshot, SPACE)
    partition = PartitionFold(definition, store, scorer, state, topic=topic, number=number)
    fold = Fold(store.records, [], [], [], [])
    parts = cuts or [(day, 0) for day in _days(entries)]
    for admitted, until_ms in parts if cuts else _plausible(parts, partition):  # no live event is ahead of its receipt
        effects = partition.process(admitted, until_ms)
        scores, histories = to_records(partition.context, effects, store)
        store.apply({**effects.changes, **histories})
        fold.scores.extend((score.customer, score.value) for score in scores)
        fold.alerts.extend(
            (a.customer, a.value, tuple(alert_headers(a.event, a.customer.decode()))) for a in effects.alerts
        )
        fold.labels.extend(label_value(example) for example in effects.examples)
        fold.effects.append(effects)
    return fold


def _plausible(
    parts: Sequence[tuple[Sequence[OffsetEvent], int]], partition: PartitionFold
) -> Iterator[tuple[Sequence[OffsetEvent], int]]:
    """The batches without events far ahead of all others, until others confirm or refute them, or the log ends."""
    guard = ClockGuard(partition.definition.grace_ms, begins_at_once=True)
    until_ms = 0
    for part, until_ms in parts:
        yield guard.admit(part, partition.clock_ms, until_ms).events, until_ms
    if guard.waits:
        yield guard.finish(partition.clock_ms, MAX_TIME_MS).events, until_ms


def _days(entries: Sequence[OffsetEvent]) -> list[list[OffsetEvent]]:
    days: dict[int, list[OffsetEvent]] = defaultdict(list)
    newest = 0
    for entry in entries:  # by the partition's clock, because events may be late
        newest = max(newest, entry.event.time_ms // DAY_MS)
        days[newest].append(entry)
    return list(days.values())


async def read(run: Run, topic: str) -> list[Any]:
    """Read all committed records of a topic."""
    consumer = AIOKafkaConsumer(
        **run.settings.connection(), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        tps = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(tps)
        end = await consumer.end_offsets(tps)
        found: list[Any] = []
        while not all([await consumer.position(tp) >= end[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=100, max_records=20_000)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def entries_of(run: Run) -> dict[int, list[OffsetEvent]]:
    """Return the events that each partition must apply, in order: those in their customer's partition."""
    count = run.settings.partitions
    found: dict[int, list[OffsetEvent]] = {number: [] for number in range(count)}
    for record in await read(run, name_of(EVENTS, run.settings)):
        event = decode(record.value, record.headers, None)
        if isinstance(event, Event) and partition_of(event.customer.encode(), count) == record.partition:
            found[record.partition].append(OffsetEvent(record.offset, event))
    return found


async def drained(run: Run) -> None:
    """Wait until everything is applied: until there is no lag twice, because forwarded events are new events, and then
    until the sums of the retention accounting are published."""
    quiet = 0

    async def done() -> bool:
        nonlocal quiet
        rows = [row for row in await measure(run.settings) if row.topic == name_of(EVENTS, run.settings)]
        quiet = quiet + 1 if all(row.committed is not None and row.lag == 0 for row in rows) else 0
        return quiet >= 2 and not any(PENDING_KEY in kept for kept in (await _kept(run)).values())

    def logs() -> str:
        return "\n".join(run.log_of(name)[-1500:] for name in run.workers)

    await until("all events to be applied", done, every_s=0.25, context=logs)


class Outputs(NamedTuple):
    """The outputs of a run, by partition and in order."""

    records: dict[int, dict[bytes, bytes]]
    scores: dict[int, list[tuple[bytes, bytes | None]]]
    alerts: dict[int, list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]]
    labels: list[bytes]
    sums: dict[int, dict[bytes, bytes]]
    """Return the newest published sums, which readers add up."""


async def _kept(run: Run) -> dict[int, dict[bytes, bytes]]:
    """Return the stored records by partition, according to the changelog."""
    found: dict[int, dict[bytes, bytes]] = {n: {} for n in range(run.settings.partitions)}
    for record in await read(run, name_of(CHANGELOG, run.settings)):
        if record.key[:1] == b"\0":
            continue
        if record.value is None:
            found.setdefault(record.partition, {}).pop(record.key, None)
        else:
            found.setdefault(record.partition, {})[record.key] = record.value
    return found


async def outputs_of(run: Run) -> Outputs:
    """Read the committed outputs of all topics."""
    count = run.settings.partitions
    scores: dict[int, Any] = {n: [] for n in range(count)}
    alerts: dict[int, Any] = {n: [] for n in range(count)}
    found = Outputs(await _kept(run), scores, alerts, [], {n: {} for n in range(count)})
    for record in await read(run, name_of(SCORES, run.settings)):
        found.scores[record.partition].append((record.key, record.value))
    for record in await read(run, name_of(ALERTS, run.settings)):
        found.alerts[record.partition].append((record.key, record.value, tuple(record.headers)))
    for record in await read(run, name_of(METRICS, run.settings)):
        if record.key.startswith(PREFIXES):
            found.sums[record.partition].pop(record.key, None)
            if record.value is not None:
                found.sums[record.partition][record.key] = record.value
    found.labels.extend([record.value for record in await read(run, name_of(LABELS, run.settings))])
    return found


async def equal(run: Run, definition: ChurnDefinition, snapshot: bytes) -> dict[int, Fold]:
    """Check that every profile, pending snapshot, score, alert, training example and sum of the retention accounting
    equals that of the offline fold, byte for byte."""
    await drained(run)
    entries, found = await entries_of(run), await outputs_of(run)
    folds = {n: offline(definition, name_of(EVENTS, run.settings), n, e, snapshot) for n, e in entries.items()}
    for number, fold in folds.items():
        assert found.scores[number] == fold.scores
        assert found.alerts[number] == fold.alerts
        assert found.records[number].keys() == fold.records.keys()
        assert found.records[number] == fold.records
        sums = dict(metric_records(number, fold.records))
        assert found.sums[number] == sums
        assert {key.partition(b"/")[0] for key in sums} == {b"retention", b"experience"}
    assert Counter(found.labels) == Counter(label for fold in folds.values() for label in fold.labels)
    return folds


async def equal_by_named_model(
    run: Run, definition: ChurnDefinition, untaught: bytes, models: dict[str, bytes]
) -> set[str]:
    """Check that records independent of the model equal those of the offline fold, and that all others equal those of
    the model version that they name.

    Args:
        untaught: Any snapshot.
        models: Snapshots by version.

    Returns:
        The versions that were named.
    """
    await drained(run)
    entries, found = await entries_of(run), await outputs_of(run)
    scorers = {version: Model.restore_scorer(snapshot, SPACE) for version, snapshot in models.items()}
    second = definition.involuntary
    assert second is not None
    horizons = Horizons(definition.horizon_ms, second.horizon_ms)
    labels = [read_label(value) for value in found.labels]
    frozen = {}
    for number, mine in entries.items():
        fold = offline(definition, name_of(EVENTS, run.settings), number, mine, untaught)
        rows = {}
        for effects in fold.effects:
            for i, point in enumerate(effects.points):
                rows[point.key[1:], point.at_ms, point.trigger, point.offset] = effects.x[i], effects.m[i]
            frozen.update({(e.customer, e.snapshot_ms): e for e in effects.examples})
        assert _profiles(found.records[number]) == _profiles(fold.records)
        forgotten = [customer for customer, value in fold.scores if value is None]
        assert [customer for customer, value in found.scores[number] if value is None] == forgotten
        for customer, value in found.scores[number]:
            if value is None:
                continue
            score = orjson.loads(value)
            offset = score["lineage"]["offset"]
            at_ms = _ms(score["scored_at"])
            x, m = rows[customer, at_ms, score["trigger"], -1 if offset is None else offset]
            again = score_both(scorers[score["model"]], x[None, :], m[None, :], horizons)
            assert score["probability"] == again.probability[0]
            for cause, one in (("voluntary", again.voluntary), ("involuntary", again.involuntary)):
                assert score["risks"][cause]["probability"] == one.probability[0]
    assert {(e.customer, e.snapshot_ms) for e in labels} == frozen.keys()
    assert len(labels) == len(frozen)
    for e in labels:
        same = frozen[e.customer, e.snapshot_ms]
        assert (e.label, e.labels) == (same.label, same.labels)
        for actual, wanted in ((e.features, same.features), (e.population, same.population)):
            assert np.array_equal(
                np.frombuffer(actual), np.frombuffer(wanted), equal_nan=True
            )  # JSON does not distinguish NaN bit patterns
        x, m = np.frombuffer(e.features)[None, :], np.frombuffer(e.population)[None, :]
        again = score_both(scorers[e.model], x, m, horizons)
        assert e.probability == again.voluntary.probability[0]
        assert e.members == tuple(again.voluntary.members()[0].tolist())
        assert (e.involuntary is None) == (same.involuntary is None)
        if e.involuntary is not None and same.involuntary is not None:
            assert (e.involuntary.label, e.involuntary.churned_ms) == (
                same.involuntary.label,
                same.involuntary.churned_ms,
            )
            assert e.involuntary.probability == again.involuntary.probability[0]
    return {e.model for e in labels} | {
        orjson.loads(v)["model"] for scores in found.scores.values() for _, v in scores if v
    }


def _profiles(records: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the due time and body of a profile without its newest score."""
    return {key: value[:8] + value[PREFIX_BYTES:] for key, value in records.items() if key[:1] == b"c"}


def _ms(written: str) -> int:
    from models.events.coercion import moment_ms

    found = moment_ms(written)
    assert found is not None
    return found
