"""One partition's processor without a broker: rejected, forwarded and failing events, and bounded work."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import pytest

from models.backtesting.backtest import MemoryStore
from models.definition.churn_definition import ChurnDefinition
from models.events.event import decode
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.pipeline.effects import OffsetEvent
from models.pipeline.partition import PartitionFold
from models.profile.keys import SUMS, VALUE_FORECAST
from models.profile.mergeable import DAY_MS
from streams.engine.contract import BatchEffects
from streams.errors import ChurnSignalsError, ConfigurationError, SnapshotRefused
from streams.kafka.model_reader import PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.scoring import event_processor as module
from streams.scoring import event_router
from streams.scoring.dead_letters import DeadLetter
from streams.scoring.event_processor import ERRORS_IN_A_ROW_MAX, EventProcessor
from streams.scoring.event_router import FORWARDED, TIMESTAMP
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings

START = 1_704_067_200_000
CHURN = '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "5d"\n[snapshot]\nevery = "2d"'
HERE = next(f"here-{n}" for n in range(99) if partition_of(b"here-%d" % n, 2) == 0)
HERE_TOO = next(f"too-{n}" for n in range(99) if partition_of(b"too-%d" % n, 2) == 0)
THERE = next(f"there-{n}" for n in range(99) if partition_of(b"there-%d" % n, 2) == 1)


class Record(NamedTuple):
    offset: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes | None = b"as sent"
    topic: str = "customer-events"
    partition: int = 0
    timestamp: int = START + 400 * DAY_MS


class Store(MemoryStore):
    def next_due_ms(self) -> int | None:
        return next(iter(self.due(2**62, 1)), (None,))[0]


def record(offset: int, customer: str = HERE, at_ms: int = START, name: str = "Feature Used", **more: Any) -> Record:
    call = {"type": "track", "event": name, "userId": customer, "timestamp": at_ms / 1000, "messageId": f"m{offset}"}
    return Record(offset, orjson.dumps(call), **more)


def shared(text: str = CHURN, settings: Settings | None = None) -> ProcessorContext:
    definition = ChurnDefinition.parse(text)
    return ProcessorContext(settings or Settings(), definition, 2, wall_ms=lambda: START + 500 * DAY_MS)


def step(
    processor: EventProcessor, store: MemoryStore, records: Sequence[Any], now_ms: int | None = None
) -> BatchEffects:
    """Run one transaction, like the engine."""
    effects = processor.process(records, now_ms)
    store.apply(effects.changes)
    processor.committed()
    return effects


def run(processor: EventProcessor, store: MemoryStore, records: Sequence[Any]) -> list[BatchEffects]:
    """Run transactions until every record is consumed and the accounting is flushed."""
    found = []
    while records:
        effects = step(processor, store, records)
        assert effects.consumed or effects.changes
        found.append(effects)
        records = records[effects.consumed :]
    if processor.next_flush_ms() is not None:
        found.append(step(processor, store, ()))
    return found


def of(effects: BatchEffects, topic: str) -> list[Any]:
    return [output for output in effects.outputs if output.topic == topic]


def break_on(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a batch with an event of this name fail, after everything up to that event has changed the memory."""
    process = PartitionFold.process

    def broken(self: PartitionFold, entries: Sequence[OffsetEvent], until_ms: int = 0, **how: Any) -> Any:
        for count, (_, event) in enumerate(entries, 1):
            if event.name == name:
                process(self, entries[:count], until_ms)
                raise ZeroDivisionError("a fault of ours")
        return process(self, entries, until_ms)

    monkeypatch.setattr(PartitionFold, "process", broken)


def test_an_event_is_scored_under_its_customer_in_its_own_partition() -> None:
    store = Store()
    effects = step(EventProcessor(shared(), 0, store, None), store, [record(7)])
    [score] = of(effects, "churn-scores")
    assert (score.partition, score.key) == (0, HERE.encode())
    value = orjson.loads(score.value)
    assert value["customer"]["id"] == HERE
    assert value["lineage"] | {"features": "", "config": ""} == {
        "topic": "customer-events", "partition": 0, "offset": 7, "features": "", "config": "",
    }  # fmt: skip
    assert {key for key in store.records if key[:1] not in (SUMS, VALUE_FORECAST)} == {
        b"c" + HERE.encode(),
        b"h" + HERE.encode(),
    }


def test_a_score_contains_the_previous_one_and_the_history_has_both() -> None:
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    first = step(processor, store, [record(1)])
    again = EventProcessor(shared(), 0, store, first.state)
    second = step(again, store, [record(2, at_ms=START + DAY_MS)])
    before, after = (orjson.loads(of(effects, "churn-scores")[0].value) for effects in (first, second))
    assert before["previous"] is None
    assert after["previous"] == pytest.approx(before["probability"], abs=1e-6)
    assert len(after["history"]) == 2


def test_a_rejected_event_is_dead_lettered_unchanged_with_the_reason_in_headers() -> None:
    store = Store()
    sent = Record(5, b"\xff not json", (("trace", b"\x00"),), key=None)
    effects = step(EventProcessor(shared(), 0, store, None), store, [sent])
    [output] = of(effects, "customer-events.dlq")
    assert (output.partition, output.key, output.value, output.headers[0]) == (0, None, sent.value, ("trace", b"\x00"))
    headers = dict(output.headers)
    assert headers["churn.reason"] == b"not_json"
    assert headers["__streams.errors.topic"] == b"customer-events"
    assert headers["__streams.errors.partition"] == b"0"
    assert headers["__streams.errors.offset"] == b"5"
    assert b"UTF-8" in headers["__streams.errors.message"]
    assert effects.changes == {}


def test_an_event_of_another_partition_is_forwarded_once_and_never_applied_here() -> None:
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    sent = record(3, THERE, headers=(("trace", b"1"),))
    [output] = step(processor, store, [sent]).outputs
    assert (output.topic, output.partition, output.key, output.value) == ("customer-events", 1, sent.key, sent.value)
    assert dict(output.headers) == {"trace": b"1", FORWARDED: b"0@3", TIMESTAMP: str(sent.timestamp).encode()}
    assert store.records == {}
    [letter] = step(processor, store, [sent._replace(headers=tuple(output.headers))]).outputs
    assert letter.topic == "customer-events.dlq"
    assert dict(letter.headers)["churn.reason"] == b"misrouted"


def test_an_event_too_large_to_forward_is_a_dead_letter() -> None:
    """Rule: a worker can write what follows from any published record."""
    store = Store()
    sent = record(3, THERE, headers=(("baggage", bytes(1_048_000)),))
    [letter] = step(EventProcessor(shared(), 0, store, None), store, [sent]).outputs
    assert dict(letter.headers)["churn.reason"] == b"misrouted"
    assert b"too large to be forwarded" in dict(letter.headers)["__streams.errors.message"]


def test_a_forwarded_event_without_a_timestamp_keeps_that_of_its_first_record() -> None:
    store = Store()
    value = orjson.dumps({"type": "page", "userId": HERE})
    mark = ((FORWARDED, b"1@3"), (TIMESTAMP, str(START).encode()))
    processor = EventProcessor(shared(), 0, store, None)
    step(processor, store, [Record(9, value, mark)])
    assert processor.newest_event_ms == START


def test_an_event_that_cannot_be_applied_is_isolated_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the other records of the batch, and the customer's profile, are as if the event had not been published."""
    good = [record(n, at_ms=START + n * DAY_MS) for n in range(20)]
    expected = Store()
    run(EventProcessor(shared(), 0, expected, None), expected, good)
    break_on(monkeypatch, "Poison")
    poison = [record(100 + n, at_ms=START + n * DAY_MS, name="Poison") for n in (4, 5, 12)]
    mixed = sorted(good + poison, key=lambda r: (orjson.loads(r.value or b"")["timestamp"], r.offset))
    store = Store()
    letters = [
        DeadLetter.of(Record(0, output.value, tuple(output.headers)))
        for effects in run(EventProcessor(shared(), 0, store, None), store, mixed)
        for output in of(effects, "customer-events.dlq")
    ]
    assert store.records == expected.records
    assert [(letter.reason, letter.source) for letter in letters] == [
        ("processing_error", f"customer-events/0@{p.offset}") for p in poison
    ]
    assert {(letter.exception, letter.message) for letter in letters} == {("ZeroDivisionError", "a fault of ours")}


def test_more_than_ten_failures_in_a_row_stop_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    break_on(monkeypatch, "Poison")
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    poison = [record(n, name="Poison") for n in range(ERRORS_IN_A_ROW_MAX + 1)]
    run(processor, store, [*poison[:-1], record(50), *poison[:-1]])
    with pytest.raises(ChurnSignalsError, match=r"customer-events/0: 11 events in a row .* offset 10: ZeroDivision"):
        run(EventProcessor(shared(), 0, store, None), store, poison)


def test_a_failing_deadline_rejects_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an error that no record causes stops the worker, and the next event is not rejected."""
    process, due_ms = PartitionFold.process, START + 5 * DAY_MS

    def broken(self: PartitionFold, entries: Sequence[OffsetEvent], until_ms: int = 0, **how: Any) -> Any:
        if max([until_ms, *(entry.event.time_ms for entry in entries)]) >= due_ms:
            raise ZeroDivisionError("in a deadline")
        return process(self, entries, until_ms)

    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    step(processor, store, [record(1)])
    monkeypatch.setattr(PartitionFold, "process", broken)
    with pytest.raises(ChurnSignalsError, match=r"record c:.* cannot be used: ZeroDivisionError in .* when its dead"):
        run(processor, store, [record(2, at_ms=START + 9 * DAY_MS), record(3, HERE_TOO, at_ms=START + 9 * DAY_MS)])


def test_the_accounting_is_flushed_every_two_seconds_and_when_idle() -> None:
    """Rule: a transaction within two seconds of one that published the accounting's sums publishes none; a call without
    records does, and the processor gives its due time; a clock that is set back delays nothing."""
    store, common = Store(), shared()
    walls = [START + 500 * DAY_MS]
    common.wall_ms = lambda: walls[0]
    processor = EventProcessor(common, 0, store, None)

    def published(*records: Any) -> bool:
        return bool(of(step(processor, store, records), "churn-metrics"))

    assert published(record(0))
    assert processor.next_flush_ms() is None
    assert not published(record(1, at_ms=START + DAY_MS))
    assert processor.next_flush_ms() == walls[0] + 2_000
    walls[0] += 2_000
    assert published(record(2, at_ms=START + 2 * DAY_MS))
    assert not published(record(3, at_ms=START + 3 * DAY_MS))
    assert EventProcessor(common, 0, store, processor._committed_state).next_flush_ms() is not None
    assert published()
    assert processor.next_flush_ms() is None
    walls[0] -= 3_600_000
    assert published(record(4, at_ms=START + 4 * DAY_MS))


def test_splitting_due_work_into_transactions_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: scores, labels and records do not depend on the number of deadlines per transaction."""
    homes = [name for n in range(200) if partition_of((name := f"c{n}").encode(), 2) == 0]
    events = [record(i, name, START + i * 60_000) for i, name in enumerate(homes)]
    later = [record(1000 + i, name, START + (11 + 3 * i) * DAY_MS) for i, name in enumerate(homes[:3])]

    def outcome() -> tuple[Any, ...]:
        store = Store()
        processor = EventProcessor(shared(), 0, store, None)
        step(processor, store, events)
        effects = run(processor, store, later)
        outputs = [output for one in effects for output in one.outputs]
        return len(effects), effects[-1].state, store.records, outputs

    whole = outcome()
    monkeypatch.setattr(module, "DUE_MAX", 10)
    cut = outcome()
    assert cut[0] > whole[0] + 10
    assert cut[1:3] == whole[1:3]
    for topic in ("churn-scores", "churn-labels"):
        assert [o for o in cut[3] if o.topic == topic] == [o for o in whole[3] if o.topic == topic]


def test_splitting_changes_nothing_while_events_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the same holds for a shuffled log with wrong clocks, whose events are held, confirmed or refuted."""
    rng = random.Random(4)
    homes = [name for n in range(40) if partition_of((name := f"c{n}").encode(), 2) == 0]
    times = [START + number * DAY_MS // 6 for number in range(600)]
    for start in range(0, len(times), 60):
        times[start : start + 60] = rng.sample(times[start : start + 60], 60)
    for place in range(50, 600, 70):
        times[place] += 400 * DAY_MS
    log = [record(offset, rng.choice(homes), at) for offset, at in enumerate(times)]

    def outcome(size: int) -> tuple[Any, ...]:
        store = Store()
        processor = EventProcessor(shared(), 0, store, None)
        outputs = []
        for start in range(0, len(log), size):
            outputs += [
                output for effects in run(processor, store, log[start : start + size]) for output in effects.outputs
            ]
        return store.records, *([o for o in outputs if o.topic == topic] for topic in ("churn-scores", "churn-labels"))

    whole = outcome(600)
    assert outcome(37) == whole
    monkeypatch.setattr(module, "DUE_MAX", 5)
    assert outcome(600) == whole


def test_the_clock_alone_causes_scores_while_live() -> None:
    """Rule: a silent customer is scored at the deadline, without any further event."""
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    step(processor, store, [record(1)])
    due_ms = processor.next_due_ms()
    assert due_ms is not None
    assert not step(processor, store, [], due_ms - 1).outputs
    [score] = step(processor, store, [], due_ms).outputs
    assert orjson.loads(score.value or b"")["lineage"]["offset"] is None
    assert processor.newest_event_ms == START
    assert (processor.next_due_ms() or 0) > due_ms


def test_the_newest_snapshot_scores_from_the_next_batch_on() -> None:
    store, both = Store(), shared()
    processor = EventProcessor(both, 0, store, None)
    step(processor, store, [record(1)])
    model = Model(SPACE)
    model.learn(np.zeros(SPACE.size), np.zeros(SPACE.size), True, 1)
    both.on_snapshot(PublishedSnapshot(model.snapshot(), 1))
    effects = step(processor, store, [record(2, at_ms=START + DAY_MS)])
    assert orjson.loads(of(effects, "churn-scores")[0].value)["model"] == model.version
    with pytest.raises(SnapshotRefused, match="not a model snapshot"):
        both.on_snapshot(PublishedSnapshot(b"{}", 2))
    assert both.scorer.version == model.version


def test_state_of_another_churn_definition_is_rejected() -> None:
    store = Store()
    state = step(EventProcessor(shared(), 0, store, None), store, [record(1)]).state
    with pytest.raises(ConfigurationError, match="CHURN_KAFKA_GROUP_ID"):
        EventProcessor(shared(CHURN.replace("5d", "6d")), 0, store, state)


def test_a_long_gap_is_split_into_many_transactions() -> None:
    """Rule: a year of one customer's snapshots is not a single transaction."""
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    run(processor, store, [record(1, name="Subscription Started")])
    at_ms = START + 399 * DAY_MS
    effects = run(processor, store, [record(2, at_ms=at_ms), record(3, HERE_TOO, at_ms=at_ms)])
    scores = [sum(output.topic == "churn-scores" for output in one.outputs) for one in effects]
    assert sum(scores) > 150
    assert max(scores) <= 3


def test_one_wrong_clock_in_a_history_changes_no_other_label() -> None:
    """Rule: through a worker too, and with a restart while the event is held; the input does not become live by it."""
    feed = [record(n, f"c{n % 7}", at_ms=START + n * DAY_MS // 4) for n in range(1, 160)]
    feed = [each for each in feed if partition_of(f"c{each.offset % 7}".encode(), 2) == 0]
    wrong = record(61, HERE, at_ms=START + 27_000 * DAY_MS)  # its record was written 400 days after START
    labels, implausible = [], []
    for log in (feed, [*(r for r in feed if r.offset <= 60), wrong, *(r for r in feed if r.offset > 61)]):
        store = Store()
        processor, found, count = EventProcessor(shared(), 0, store, None), [], 0
        for each in log:
            effects = step(processor, store, [each])
            while not effects.consumed:
                effects = step(processor, store, [each])
            found += [output for output in effects.outputs if output.topic == "churn-labels"]
            count += effects.tally.counts["events_implausible",]
            assert processor.newest_event_ms is not None
            assert processor.newest_event_ms <= feed[-1].offset * DAY_MS // 4 + START
            processor = EventProcessor(shared(), 0, store, effects.state)
        labels.append([orjson.loads(output.value or b"")["snapshot_time"] for output in found])
        implausible.append(count)
    assert len(labels[0]) > 20
    assert labels[0] == [each for each in labels[1] if each in labels[0]]
    assert implausible == [0, 1]


def test_an_event_that_waits_for_others_is_applied_when_the_input_is_idle() -> None:
    """Rule: after two seconds without records the only customer's next event is applied at its own time."""
    store, common = Store(), shared()
    walls = [START + 500 * DAY_MS]
    common.wall_ms = lambda: walls[0]
    processor = EventProcessor(common, 0, store, None)
    step(processor, store, [record(1)])
    held = step(processor, store, [record(2, at_ms=START + 30 * DAY_MS)])
    assert held.consumed == 1
    assert processor.newest_event_ms == START
    due_ms = processor.next_flush_ms()
    assert due_ms == walls[0] + 2_000
    walls[0] = due_ms
    step(processor, store, [])
    assert processor.newest_event_ms == START + 30 * DAY_MS


def test_history_after_live_events_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: events too far behind the clock for any label are not passed over in silence."""
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    step(processor, store, [record(1, at_ms=START + 300 * DAY_MS)])
    effects = step(processor, store, [record(n, at_ms=START + n * DAY_MS) for n in range(2, 102)])
    assert effects.tally.counts["events_late",] == 100
    assert "customer-events/0: 100 events are more than 2 d behind the clock" in caplog.text


def test_the_rest_of_a_batch_is_not_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a batch of many days is decoded once, and its outputs equal those of single-record batches."""
    feed = [record(n, at_ms=START + n * DAY_MS) if n % 4 else Record(n, b"{" if n % 8 else None) for n in range(1, 60)]
    feed.append(record(60, THERE, at_ms=START + 60 * DAY_MS))
    decoded: list[Any] = []

    def noted(value: Any, *rest: Any) -> Any:
        decoded.append(value)
        return decode(value, *rest)

    monkeypatch.setattr(event_router, "decode", noted)
    left: list[list[Any]] = []
    for size in (60, 1):
        store = Store()
        processor = EventProcessor(shared(), 0, store, None)
        effects = [one for at in range(0, 60, size) for one in run(processor, store, feed[at : at + size])]
        outputs = [output for one in effects for output in one.outputs]
        left.append([o for o in outputs if o.topic in ("customer-events.dlq", "customer-events")])
        assert len(effects) > 5
    assert left[0] == left[1]
    assert len(left[0]) == 15
    assert decoded == [one.value for one in feed] * 2


def test_a_second_event_that_is_decades_older_is_applied() -> None:
    """Rule: every call makes progress, whatever the times of its events."""
    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    effects = run(processor, store, [record(1), record(2, at_ms=START - 30 * 365 * DAY_MS)])
    assert [one.consumed for one in effects] == [2]


def test_a_null_timestamp_header_of_a_forwarded_event_is_no_error() -> None:
    """Rule: no header value stops a partition."""
    marked = [(FORWARDED, b"1@0"), (TIMESTAMP, None)]
    store = Store()
    found = step(EventProcessor(shared(), 0, store, None), store, [record(1, headers=marked)])
    assert {output.topic for output in found.outputs} == {"churn-scores", "churn-metrics"}


def test_state_of_other_definitions_is_rejected_even_with_the_same_labels() -> None:
    """Rule: the layout of profiles depends on all definitions, primary or not."""
    store = Store()
    state = step(EventProcessor(shared(), 0, store, None), store, [record(1)]).state
    more = CHURN + '\n[churn.definitions.zz]\nevent = "Payment Failed"\n'
    with pytest.raises(ConfigurationError, match="start a new group"):
        EventProcessor(shared(more), 0, store, state)


def test_own_event_names_of_the_definition_apply() -> None:
    """Rule: workers apply `[events]`: the customer's own cancellation event is a cancellation."""
    text = CHURN + '\n[events]\n"plan_left" = { as = "Subscription Cancelled", reason = "$.why" }\n'
    stages = []
    for name, churn in (
        ("plan_left", text),
        ("Plan Left", text),
        ("Subscription Cancelled", text),
        ("plan_left", CHURN),
    ):
        store = Store()
        effects = step(EventProcessor(shared(churn), 0, store, None), store, [record(0, name=name)])
        stages.append(orjson.loads(of(effects, "churn-scores")[0].value)["customer"]["stage"])
    assert stages[0] == stages[1] == stages[2] != stages[3]
