"""Example records of every topic with a public format, made by the functions that worker and trainer call."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, NamedTuple

from aiokafka.structs import ConsumerRecord

from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.events.rejection import Rejected
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.labels.codec import label_value
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.outputs.alert_record import alert_headers
from models.pipeline.score_history import to_records
from models.simulation import Simulation, SimulationSettings
from streams.kafka.partitioner import partition_of
from streams.notify.delivery import undelivered
from streams.scoring.dead_letters import dead_letter
from streams.settings import Settings
from streams.training.learner import ModelLearner
from tools.docs import alerts

CHURN: Final = """
[churn.definitions.left]
event = "Subscription Cancelled"
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = { reason = ["payment_failed", "payment_disputed"] }
[label.involuntary]
"""
CUSTOMERS: Final = 4
DAYS: Final = 45  # horizon and grace take 32 days: the last days have labels
REFUSED: Final = b'{"type": "track", "event": "Signed In", "userId": "c-1042", "timestamp": "yesterday"}'


class Sample(NamedTuple):
    """An example record of the AsyncAPI document."""

    name: str
    payload: Any
    headers: dict[str, str]


class Outputs(NamedTuple):
    """Records that a worker writes for the simulated customers."""

    score: dict[str, Any]
    labels: list[bytes]


def samples(name: str) -> list[Sample]:
    """Example records of a message; none for a message whose format is internal."""
    return {
        "event": _events,
        "dead_letter": _dead_letters,
        "alert": _alerts,
        "undelivered": _undelivered,
        "score": lambda: [Sample("newest", _abridged(outputs().score), {})],
        "label": lambda: [Sample("matured", _abridged(json.loads(outputs().labels[-1])), {})],
        "metric": _metrics,
    }.get(name, list)()


@cache
def outputs() -> Outputs:
    """The newest score and all labels of a few simulated customers, unrounded."""
    run = Backtest(ChurnDefinition.parse(CHURN), Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)), 1, partition_of)
    scores: list[bytes] = []
    labels: list[bytes] = []

    def collect(_: int, effects: Any) -> None:
        records, changes = to_records(run.partitions[0].context, effects, run.stores[0])
        run.stores[0].apply(changes)
        scores.extend(value for _, value in records if value is not None)
        labels.extend(label_value(example) for example in effects.examples)

    run.on_effects = collect
    for _ in run.run(event for value in _values() if isinstance(event := decode(value, [], None), Event)):
        pass
    return Outputs(json.loads(scores[-1]), labels)


def _values() -> Iterator[bytes]:
    return (event.value for event in Simulation(SimulationSettings(customers=CUSTOMERS, days=DAYS)).events())


def _events() -> list[Sample]:
    """The first event of each type that the simulated customers send."""
    found: dict[str, Sample] = {}
    for value in _values():
        event = json.loads(value)
        found.setdefault(event["type"], Sample(event["type"], event, {}))
    return list(found.values())


def _dead_letters() -> list[Sample]:
    refused = decode(REFUSED, [], None)
    assert isinstance(refused, Rejected)
    settings = Settings()
    record = _record(settings.topic_events, 3, 1042, b"c-1042", REFUSED, ())
    letter = dead_letter(settings.topic_dead_letters, record, refused.reason, refused.message, "Rejected")
    return [Sample(refused.reason, REFUSED.decode(), _texts(letter.headers))]


def _undelivered() -> list[Sample]:
    [alert] = _alerts()
    settings, key = Settings(), alert.payload["customer"]["id"].encode()
    headers = tuple((name, text.encode()) for name, text in alert.headers.items())
    record = _record(settings.topic_alerts, 1, 77, key, b"", headers)
    letter = undelivered(settings.topic_undelivered, record, "desk", "refused", "status 404")
    return [Sample("refused", alert.payload, _texts(letter.headers))]


def _record(topic: str, partition: int, offset: int, key: bytes, value: bytes, headers: Any) -> Any:
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=1_741_599_000_000,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key),
        serialized_value_size=len(value),
        headers=headers,
    )


def _alerts() -> list[Sample]:
    alert = alerts.opened_alert()
    headers = _texts(alert_headers(alert.event, alert.customer.decode()))
    return [Sample(alert.event.type, alerts.abridged(json.loads(alert.value)), headers)]


def _metrics() -> list[Sample]:
    (quality,) = ModelLearner(Settings()).learn(outputs().labels)
    return [Sample("quality", alerts.rounded(json.loads(quality.value or b"")), {})]


def _abridged(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = alerts.rounded(value)
    return found | {"model": alerts.version_without_checksum(value["model"])}


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in headers}
