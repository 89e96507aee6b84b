"""What is at fault when events cannot be applied. Only an event that fails by itself becomes a dead letter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import pytest

from models.definition.churn_definition import ChurnDefinition
from models.pipeline import stored_record
from models.pipeline.deadlines import Deadlines
from models.pipeline.effects import OffsetEvent
from models.pipeline.partition import PartitionFold
from models.pipeline.stored_record import dropped_with, owner_of, read_stored
from models.profile.codec import ProfileError
from models.profile.mergeable import DAY_MS
from streams.engine.damaged_record import key_name
from streams.engine.position import POSITION_KEY, decode_position
from streams.errors import ChurnSignalsError, RecordDamaged
from streams.kafka.partitioner import partition_of
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings
from tests.streams.format_fixture import EVENTS, PARTITIONS, Fixture, FixtureStore, Sent, simulation, written
from tests.streams.scoring.test_event_processor import HERE, START, Store, of, record, run, shared, step

KINDS = tuple(kind.decode() for kind in stored_record._READERS)


class Group(NamedTuple):
    """A partition with records of a kind, and what its customers do next."""

    number: int
    processor: EventProcessor
    store: FixtureStore
    later: list[Sent]
    keys: list[bytes]


@cache
def state() -> Fixture:
    """Records of every kind."""
    return written()


def group(kind: str) -> Group:
    fixture, store = state(), FixtureStore()
    number = next(n for n, key, value in fixture.changelog if key[:1] == kind.encode() and value is not None)
    values = {key: value for n, key, value in fixture.changelog if n == number and value is not None}
    here = decode_position(values.pop(POSITION_KEY))
    store.apply(values)
    context = ProcessorContext(Settings(), ChurnDefinition.parse(fixture.churn), PARTITIONS)
    later = [
        Sent(offset, event.value, number, event.time_ms)
        for offset, event in enumerate(itertools.islice(simulation(), EVENTS, EVENTS + 250), here.next_offset)
        if partition_of(event.customer.encode(), PARTITIONS) == number
    ]
    keys = [key for key in values if key[:1] == kind.encode()]
    return Group(number, EventProcessor(context, number, store, here.state), store, later, keys)


def damage(kind: str, value: bytes) -> bytes:
    """Keep the due time of records that have one."""
    return value[:8] + b"\xc1" * 5 if kind in "ca" else b"\xc1" * 5


def process(partition: Group) -> None:
    """Apply what comes next in small batches, until all labels are mature; no event may become a dead letter."""
    _, processor, store, later, _ = partition
    last = later[-1]._replace(offset=later[-1].offset + 1, timestamp=later[-1].timestamp + 40 * DAY_MS)
    for start in range(0, len(later) + 1, 50):
        for effects in run(processor, store, [*later, last][start : start + 50]):
            assert not of(effects, "customer-events.dlq")
    run(processor, store, ())
    step(processor, store, (), last.timestamp)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_record_is_named_and_no_event_is_rejected(kind: str) -> None:
    """Rule: for a record of any kind that the next events or deadlines read."""
    partition = group(kind)
    number, _, store, _, keys = partition
    for key in keys:
        assert read_stored(key, store.records[key]) is not None
        store.records[key] = damage(kind, store.records[key])
        with pytest.raises(ProfileError):
            read_stored(key, store.records[key])
    with pytest.raises(
        RecordDamaged, match=r"no event was rejected; see: churn-signals changelog show --part"
    ) as found:
        process(partition)
    assert found.value.location["key"] in {key_name(key) for key in keys}
    assert f"/{number}: the record {found.value.location['key']} cannot be used" in str(found.value)


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_applied_after_a_record_is_dropped(kind: str) -> None:
    """Rule: `changelog drop` of any record leaves a state that a worker continues from."""
    partition = group(kind)
    store = partition.store
    for key in partition.keys:
        store.apply(dropped_with(key, store.records.get(owner_of(key))))
    process(partition)


def test_a_record_that_decodes_and_still_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an event that fails only with its customer's records is not rejected: the record is named."""
    process = PartitionFold.process

    def broken(self: PartitionFold, entries: Sequence[OffsetEvent], until_ms: int = 0, **how: Any) -> Any:
        if entries and self.store.get_many([b"c" + HERE.encode()])[0] is not None:
            raise IndexError(f"list index of {HERE}")
        return process(self, entries, until_ms, **how)

    store = Store()
    processor = EventProcessor(shared(), 0, store, None)
    step(processor, store, [record(1)])
    monkeypatch.setattr(PartitionFold, "process", broken)
    with pytest.raises(RecordDamaged, match=r"IndexError in .* at customer-events/0@7, an event that can be") as found:
        step(processor, store, [record(n, at_ms=START + DAY_MS) for n in range(7, 30)])
    name = key_name(b"c" + HERE.encode())
    assert f"churn-signals changelog show --partition 0 --key {name}" in str(found.value)
    assert HERE not in str(found.value)


@pytest.mark.parametrize("key", [b"c\xff\xfe", b"c" + HERE.encode()])
def test_a_record_whose_deadline_fails_is_named(monkeypatch: pytest.MonkeyPatch, key: bytes) -> None:
    """Rule: among many deadlines, the one that fails; a key that is no customer id, or a record that decodes."""
    handle, store = Deadlines.handle_due, Store()
    processor = EventProcessor(shared(), 0, store, None)
    others = [name for n in range(40) if partition_of((name := f"c{n}").encode(), 2) == 0]
    step(processor, store, [record(n, name) for n, name in enumerate([HERE, *others])])
    store.apply({key: store.records[b"c" + HERE.encode()]})

    def broken(self: Deadlines, batch: Any, customer: Any, until_ms: int) -> None:
        if customer.key == key:
            raise IndexError
        handle(self, batch, customer, until_ms)

    monkeypatch.setattr(Deadlines, "handle_due", broken)
    with pytest.raises(RecordDamaged, match="no event was rejected") as found:
        run(processor, store, [record(99 + n, others[n], at_ms=START + 5 * DAY_MS) for n in range(2)])
    assert found.value.location["key"] == key_name(key)


def test_a_model_that_cannot_score_stops_the_partition() -> None:
    class Scorer:
        version, trust = "7-bad", 0.5

        def score(self, x: Any, m: Any) -> Any:
            raise FloatingPointError

    store, context = Store(), shared()
    context.scorer = Scorer()  # type: ignore[assignment]
    with pytest.raises(ChurnSignalsError, match=r"model 7-bad cannot score any event: FloatingPointError in .*; no ev"):
        step(EventProcessor(context, 0, store, None), store, [record(n) for n in range(20)])


def test_a_program_that_can_apply_no_event_rejects_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: PartitionFold, *entries: Any, **how: Any) -> Any:
        raise AttributeError

    monkeypatch.setattr(PartitionFold, "process", broken)
    store = Store()
    with pytest.raises(
        ChurnSignalsError, match=r"no event can be applied: AttributeError in .*; no event was rejected"
    ):
        step(EventProcessor(shared(), 0, store, None), store, [record(n) for n in range(20)])


@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_an_error_of_the_machine_rejects_no_event(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def broken(self: PartitionFold, *entries: Any, **how: Any) -> Any:
        raise error

    monkeypatch.setattr(PartitionFold, "process", broken)
    store = Store()
    with pytest.raises(error):
        step(EventProcessor(shared(), 0, store, None), store, [record(1)])


@pytest.mark.parametrize("at", [3, 4, 5])
@pytest.mark.parametrize("value", [None, [], [1, 2], "text", 7, [b"x"] * 9])
def test_a_damaged_state_of_a_partition_names_the_position(at: int, value: Any) -> None:
    import msgspec

    from streams.scoring.partition_state import _decode, _encode

    store = Store()
    state = _decode(step(EventProcessor(shared(), 0, store, None), store, [record(1)]).state)
    fold = msgspec.msgpack.decode(state.partition)
    fold[at] = value
    state.partition = msgspec.msgpack.encode(fold)
    with pytest.raises(RecordDamaged, match=r"/0: the record position cannot be used: .* --partition 0 --key position"):
        EventProcessor(shared(), 0, store, _encode(state))
