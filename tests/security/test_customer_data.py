"""Claim 4: logs, errors and metrics contain no event values."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from models.pipeline.partition import PartitionFold
from models.profile.mergeable import DAY_MS
from streams.engine.contract import BatchEffects
from streams.errors import ChurnSignalsError
from streams.kafka.unusable_records import UnusableRecords
from streams.logs import RedactingFilter, formatter
from streams.monitoring.worker_metrics import worker_samples
from streams.runtime.process_end import run_until_signal
from streams.scoring.dead_letters import DeadLetter
from streams.scoring.event_processor import ERRORS_IN_A_ROW_MAX, EventProcessor
from streams.settings import Settings
from streams.training.learner import ModelLearner
from tests.streams.monitoring.test_collector import MODEL, probe, registry, worker
from tests.streams.scoring.test_event_processor import HERE, START, Record, Store, record, run, shared

# Marks personal data of events. It must not appear outside of them.
MARKER = "anna.marker"
FIELDS: dict[str, Any] = {
    "traits": {"email": f"{MARKER}@example.org", "name": MARKER, "phone": MARKER, "address": {"street": MARKER}},
    "properties": {
        "email": f"{MARKER}@example.org", "comment": MARKER, "url": f"https://{MARKER}/", "search": MARKER,
        "feedback": MARKER, "reason": MARKER, "tags": [MARKER, "too_expensive"], "kind": MARKER, "score": MARKER,
        "rating": MARKER, "sentiment": MARKER, "revenue": MARKER, "mrr": MARKER, MARKER: MARKER, "currency": MARKER,
    },
    "context": {"ip": MARKER, "userAgent": MARKER, "page": {"url": MARKER}, "device": {"id": MARKER}},
}  # fmt: skip
NAMES = (
    "Feature Used", "Survey Response Submitted", "Ticket Created", "Order Completed", "Payment Failed", MARKER,
    "Subscription Started", "Subscription Downgraded", "Review Posted", "Email Opened", "Goal Completed",
)  # fmt: skip


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Capture the log at DEBUG, in both formats."""
    written: list[str] = []

    class Writing(logging.Handler):
        def emit(self, log_record: logging.LogRecord) -> None:
            written.extend(form.format(log_record) for form in forms)

    forms = [formatter(Settings(log_format=name), terminal=False) for name in ("text", "json")]
    handler = Writing()
    handler.addFilter(RedactingFilter())
    caplog.set_level(logging.DEBUG)
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


def marked(offset: int, name: str, at_ms: int) -> Record:
    kind = ("track", "identify", "page", "group")[offset % 4]
    call = {
        "type": kind, "event": name, "userId": HERE, "messageId": f"{MARKER}-{offset}", "timestamp": at_ms / 1000,
        "groupId": "account-7", **FIELDS,
    }  # fmt: skip
    return Record(offset, orjson.dumps(call), ((MARKER, MARKER.encode()),), key=MARKER.encode())


def feed() -> list[Record]:
    return [marked(n, NAMES[n % len(NAMES)], START + n * DAY_MS // 4) for n in range(80)]


def texts(effects: list[BatchEffects], *topics: str) -> str:
    return " ".join(repr(output) for batch in effects for output in batch.outputs if output.topic in topics)


def processed() -> list[BatchEffects]:
    store = Store()
    return run(EventProcessor(shared(), 0, store, None), store, feed())


def fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every event of the marked customer raise an error that quotes it. Everything else works."""
    fold = PartitionFold.process

    def broken(self: PartitionFold, entries: Any, until_ms: int = 0, **how: Any) -> Any:
        if any(event.customer == HERE for _, event in entries):
            raise ValueError(f"could not convert {MARKER}")
        return fold(self, entries, until_ms)

    monkeypatch.setattr(PartitionFold, "process", broken)


def test_outputs_contain_declared_fields_of_events_only(lines: list[str]) -> None:
    """Setup: a marker in every trait, property, header, id and context of events of all families."""
    effects = processed()
    assert len(texts(effects, "churn-scores")) > 10_000
    assert "account-7" in texts(effects, "churn-scores")
    assert MARKER not in texts(effects, "churn-scores", "churn-alerts", "churn-labels", "churn-metrics")
    assert MARKER not in "\n".join(lines)


def test_profile_contains_no_personal_data() -> None:
    """Rule: neither in the local store nor in the changelog, which contain the same bytes."""
    store = Store()
    run(EventProcessor(shared(), 0, store, None), store, feed())
    assert store.records
    assert not [key for key, value in store.records.items() if MARKER.encode() in key + value]


def test_failed_event_is_quoted_in_its_dead_letter_only(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """Setup: an error whose text quotes the event. The log identifies the record and the line of code."""
    fail(monkeypatch)
    effects = EventProcessor(shared(), 0, Store(), None).process([marked(5, "Feature Used", START)], None)
    [output] = [output for output in effects.outputs if output.topic == "customer-events.dlq"]
    letter = DeadLetter.of(Record(0, output.value, tuple(output.headers)))
    assert MARKER in letter.message
    assert any("customer-events/0@5 cannot be applied: ValueError in " in line for line in lines)
    assert MARKER not in "\n".join(lines)


def test_error_that_stops_a_worker_quotes_no_event(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    """Rule: neither after too many consecutive failures, nor after an unexpected error."""
    processor = EventProcessor(shared(), 0, Store(), None)
    processor._errors_in_a_row = ERRORS_IN_A_ROW_MAX
    fail(monkeypatch)
    with pytest.raises(ChurnSignalsError, match="11 events in a row cannot be applied") as stopped:
        processor.process([marked(5, "Feature Used", START)], None)
    assert MARKER not in str(stopped.value)

    async def ends_with(error: Exception) -> None:
        raise error

    assert run_until_signal(lambda _stop: ends_with(stopped.value)) == 1
    assert run_until_signal(lambda _stop: ends_with(KeyError(f"{MARKER}@example.org"))) == 1
    asyncio.set_event_loop_policy(None)
    assert any("KeyError (text omitted" in line for line in lines)
    assert MARKER not in "\n".join(lines)


def test_invalid_label_is_not_quoted(lines: list[str]) -> None:
    learner = ModelLearner(Settings())
    values = [MARKER.encode(), orjson.dumps({"customer": MARKER}), orjson.dumps({"label": MARKER})]
    unusable = UnusableRecords()

    def skip(place: int, reason: str) -> None:
        record = SimpleNamespace(topic="churn-labels", partition=0, offset=place, key=MARKER.encode())
        unusable.skip(record, reason)

    learner.learn(values, skip)
    assert learner.skipped == unusable.total == len(values)
    assert sum("record skipped" in line for line in lines) == 2 * len(values)
    assert MARKER not in "\n".join(lines)


def test_metrics_contain_no_event_values_and_no_customers() -> None:
    """Rule: neither in labels nor in exemplars."""
    monitored = worker(0)
    progress = monitored.ownership.status()[0]
    for effects in processed():
        progress.tally.add(effects.tally)
        progress.latency.observe(effects.tally, 0, visible_ms=START, live=True)
    metrics = registry(lambda: worker_samples(monitored, probe(), lambda: MODEL))
    written = openmetrics(metrics).decode()
    assert '# {offset="' in written
    assert MARKER not in written
    assert HERE not in written
    labels = {name for metric in metrics.collect() for sample in metric.samples for name in sample.labels}
    assert not labels & {"customer", "customer_id", "user", "user_id", "email", "account", "message_id"}


def test_capture_detects_the_marker(lines: list[str]) -> None:
    """Verifies the setup of the tests above with a line that contains the marker."""
    logging.getLogger("streams.careless").error("customer %s", MARKER)
    assert sum(MARKER in line for line in lines) == 2
    assert record(1).value
