"""Claim 8: deletion requests remove customer data."""

from __future__ import annotations

from models.profile.mergeable import DAY_MS
from streams.kafka.control_signature import ControlSignatures
from streams.kafka.partitioner import partition_of
from streams.scoring.event_processor import EventProcessor
from streams.settings import Settings
from tests.security.test_customer_data import MARKER, feed
from tests.streams.scoring.test_event_processor import CHURN, HERE, START, Record, Store, of, record, run, shared, step

OTHER = next(f"other-{n}" for n in range(99) if partition_of(b"other-%d" % n, 2) == 0)
SIGNED = Settings(control_secret="0123456789abcdef" * 2)
ALARMED = CHURN + '\n[alerts]\nenter = 0.0\nexit = 0.0\ndwell = "0d"\n'


def deletion(offset: int) -> Record:
    call = record(offset, at_ms=START, name="User Deletion Requested")
    assert call.value is not None
    return call._replace(headers=tuple(ControlSignatures(SIGNED).sign(call.value)))


def test_deletion_removes_all_records_of_the_customer() -> None:
    """Setup: events of every family. Rule: all records are deleted from the store and from the changelog, a published
    alert ends, and the score is replaced by a tombstone."""
    store, log = Store(), feed()
    processor = EventProcessor(shared(ALARMED, SIGNED), 0, store, None)
    run(processor, store, log)
    before = [key for key in store.records if HERE.encode() in key]
    assert {key[:1] for key in before} == {b"c", b"h", b"s", b"a", b"r"}
    effects = step(processor, store, [deletion(len(log))])
    assert {key: value for key, value in effects.changes.items() if HERE.encode() in key} == dict.fromkeys(before)
    assert not [key for key, value in store.records.items() if HERE.encode() in key + value]
    assert HERE.encode() not in effects.state
    assert [(score.key, score.value) for score in of(effects, "churn-scores")] == [(HERE.encode(), None)]
    [end] = of(effects, "churn-alerts")
    assert b'"resolution":"deleted"' in end.value
    assert MARKER.encode() not in end.value


def test_deletion_discards_pending_training_examples() -> None:
    """Rule: after a deletion no example of the customer matures. Without a deletion it would."""
    for deleted in (False, True):
        store, log = Store(), feed()
        processor = EventProcessor(shared(ALARMED, SIGNED), 0, store, None)
        run(processor, store, log + [deletion(len(log))] * deleted)
        others = [record(1_000 + n, OTHER, START + n * DAY_MS // 8) for n in range(300)]
        after = run(processor, store, others)
        labels = [label for effects in after for label in of(effects, "churn-labels") if label.key == HERE.encode()]
        assert bool(labels) is not deleted
