"""Counts of batches, compared with the records that they wrote."""

from __future__ import annotations

import itertools
from collections import Counter

import orjson
import pytest

from models.features.scoring_point import SNAPSHOT
from models.profile.mergeable import DAY_MS
from streams.engine.batch_metrics import BatchMetrics, Stopwatch
from streams.scoring.event_processor import EventProcessor
from tests.streams.scoring.test_event_processor import (
    HERE,
    HERE_TOO,
    START,
    THERE,
    Record,
    Store,
    break_on,
    of,
    record,
    run,
    shared,
    step,
)

ALARMING = """
[churn.definitions.left]
event = "Subscription Cancelled"
[label]
horizon = "5d"
[snapshot]
every = "2d"
[alerts]
enter = 0.001
exit = 0.0005
high = 0.9
critical = 0.95
dwell = "0h"
"""


def test_every_record_has_one_outcome_and_every_dead_letter_one_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: an applied event, a duplicate, a rejected one, one of another partition, and one that raises an error."""
    break_on(monkeypatch, "Broken")
    sent = [
        record(1),
        record(2),
        record(2)._replace(offset=3),
        Record(4, b"\xff not json"),
        record(5, THERE),
        record(6, name="Broken"),
        record(7),
    ]
    store, total = Store(), BatchMetrics()
    for effects in run(EventProcessor(shared(), 0, store, None), store, sent):
        total.add(effects.tally)
    found = {key: count for key, count in total.counts.items() if count and key[0] in ("events", "dead_letters")}
    assert found == {
        ("events", "applied"): 3,
        ("events", "duplicate"): 1,
        ("events", "rejected"): 1,
        ("events", "forwarded"): 1,
        ("events", "failed"): 1,
        ("dead_letters", "not_json"): 1,
        ("dead_letters", "processing_error"): 1,
    }


def test_each_record_is_counted_in_the_transaction_that_applies_it() -> None:
    """Rule: a batch that is split into many transactions counts every record once."""
    store, total = Store(), BatchMetrics()
    pairs = [(n, customer) for n in range(4) for customer in (HERE, HERE_TOO)]
    sent = [record(i, customer, at_ms=START + 9 * n * DAY_MS) for i, (n, customer) in enumerate(pairs)]
    found = run(EventProcessor(shared(), 0, store, None), store, sent)
    for effects in found:
        total.add(effects.tally)
    assert len(found) > 1
    assert total.counts["events", "applied"] == len(sent)


def test_published_alerts_scores_and_labels_are_counted() -> None:
    """Setup: six weeks of a customer whom the prior puts at risk; labels mature after a week."""
    store, total, causes, outputs = Store(), BatchMetrics(), [], []
    sent = [record(n, at_ms=START + n * DAY_MS) for n in range(42)]
    processor = EventProcessor(shared(ALARMING), 0, store, None)
    for effects in run(processor, store, sent):
        total.add(effects.tally)
        causes += effects.tally.causes
        assert effects.tally.arrived_ms == [sent[0].timestamp] * len(effects.tally.causes)
        outputs.append(effects)
    published = Counter(
        (dict(output.headers)["ce_type"].decode().split(".")[2], orjson.loads(output.value)["severity"])
        for effects in outputs
        for output in of(effects, "churn-alerts")
    )
    counts = total.counts
    assert published
    assert {key[1:]: count for key, count in counts.items() if key[0] == "alerts"} == published
    scores = [orjson.loads(output.value) for effects in outputs for output in of(effects, "churn-scores")]
    assert counts["scores_told",] == len(scores)
    assert causes == [offset for score in scores if (offset := score["lineage"]["offset"]) is not None]
    labels = [orjson.loads(output.value) for effects in outputs for output in of(effects, "churn-labels")]
    assert counts["labels_matured", "0"] == len(labels) > 0
    assert total.label_delay_ms == 7 * DAY_MS
    assert counts["scores", SNAPSHOT] == len(labels) + sum(key[:1] == b"s" for key in store.records)
    assert {key[1] for key, count in counts.items() if key[0] == "alerts_suppressed" and count} == {"open"}


def test_elapsed_time_is_added_to_the_stage_that_ends() -> None:
    """Rule: the stages of a batch leave no time uncounted."""
    tally, store = BatchMetrics(), Store()
    watch = Stopwatch(tally, itertools.count().__next__)
    for stage in ("decode", "apply", "decode"):
        watch(stage)
    assert (tally.counts["stage_seconds", "decode"], tally.counts["stage_seconds", "apply"]) == (2, 1)
    effects = step(EventProcessor(shared(), 0, store, None), store, [record(1, HERE)])
    stages = [key[1] for key in effects.tally.counts if key[0] == "stage_seconds"]
    assert stages == ["decode", "read", "apply", "score", "decide", "encode"]
