"""Publish a person's action on an alert as an event. The worker that applies it publishes the alert change."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import orjson

from models.duration import DAY_MS, rfc3339
from models.events.event import Event, decode
from streams.engine.partition_runner import LIVE_WITHIN_MS
from streams.errors import ConfigurationError
from streams.kafka.control_signature import unsigned_refusal
from streams.kafka.partitioner import partition_of
from streams.kafka.publisher import Publisher
from streams.kafka.topic_reader import consuming, newest_records, partitions_of, spans_of
from streams.settings import Settings
from streams.topics import EVENTS, name_of

EVENT_NAMES = {"acknowledge": "Alert Acknowledged", "snooze": "Alert Snoozed", "dismiss": "Alert Dismissed"}
SNOOZE_DAYS = (1, 3, 7, 14, 30)


def action_event(kind: str, customer: str, alert_id: str, at_ms: int, days: int = 0) -> bytes:
    """Build the event that docs/alerts.md defines.

    >>> action_event("dismiss", "c1", "a1", 0)[:62]
    b'{"type":"track","event":"Alert Dismissed","userId":"c1","messa'
    """
    properties: dict[str, Any] = {"alert_id": alert_id}
    if kind == "snooze":
        properties["until"] = rfc3339(at_ms + days * DAY_MS)
    return orjson.dumps(
        {
            "type": "track",
            "event": EVENT_NAMES[kind],
            "userId": customer,
            "messageId": f"console-{uuid4().hex}",
            "timestamp": rfc3339(at_ms),
            "properties": properties,
        }
    )


async def publish_action(settings: Settings, kind: str, alert: dict[str, Any], days: int = 0) -> None:
    """Publish an action to the customer's partition, at the event time of that partition.

    Raises:
        ConfigurationError: workers would refuse the action, because there is no secret to sign it with.
        BrokerUnreachable, TopicMismatch, ChurnSignalsError: as `Publisher`.
    """
    if refusal := unsigned_refusal(settings):
        raise ConfigurationError(refusal)
    at_ms = max(await _log_time_ms(settings, alert["customer"]), alert["changed_ms"])
    async with Publisher(settings) as publisher:
        await publisher.send(action_event(kind, alert["customer"], alert["alert_id"], at_ms, days))


async def _log_time_ms(settings: Settings, customer: str) -> int:
    """The current time if the input is live; in a replay, the time of the partition's last event.

    An event of today among events of past years would advance the partition's clock permanently, and with it all
    deadlines.
    """
    now_ms, topic = int(time.time() * 1000), name_of(EVENTS, settings)
    tps = await partitions_of(settings, topic)
    tp = tps[partition_of(customer.encode(), len(tps))]
    async with consuming(settings) as consumer:
        spans = await spans_of(consumer, [tp])
        newest = await newest_records(consumer, spans, 1, lambda record: record.value is not None)
    return log_time_ms(newest[0], now_ms) if newest else now_ms


def log_time_ms(record: Any, now_ms: int) -> int:
    """Event time for an event published after this record, by the engine's rule for live inputs."""
    event = decode(record.value, record.headers, record.timestamp)
    if not isinstance(event, Event) or event.time_ms >= record.timestamp - LIVE_WITHIN_MS:
        return now_ms
    return event.time_ms
