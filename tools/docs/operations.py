"""Send and receive operations of the AsyncAPI document, by role."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from streams.settings import Settings
from streams.topics import ALERTS, CHANGELOG, DEAD_LETTERS, EVENTS, LABELS, METRICS, MODEL, SCORES, UNDELIVERED, Topic

ROLES: Final = {
    "publisher": "Your applications that publish customer events; also `publish`, `simulate` and `dlq replay`.",
    "worker": "`churn-signals worker`.",
    "trainer": "`churn-signals trainer`.",
    "notifier": "`churn-signals notify`.",
    "alert-consumer": "Your programs that act on alerts.",
    "score-consumer": "Your programs that look up the score and profile of a customer.",
    "dashboard": "Your programs that show model quality and retention.",
    "operator": "Your staff and programs that handle dead letters; also `dlq`.",
}


@dataclass(frozen=True)
class Operation:
    """What one role does with one topic.

    Attributes:
        group: JSON Schema of the consumer group under these settings; None for producers and for consumers without one.
    """

    role: str
    action: Literal["send", "receive"]
    topic: Topic
    summary: str
    group: Callable[[Settings], dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """Name of the operation in the AsyncAPI document."""
        words = (*self.role.split("-"), f"{self.action}s", *self.topic.role.removeprefix("topic_").split("_"))
        return words[0] + "".join(word.capitalize() for word in words[1:])


def _worker_group(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "enum": [settings.kafka_group_id]}


def _trainer_group(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "enum": [settings.trainer_group]}


def _notifier_group(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{re.escape(settings.notify_group(''))}[a-z0-9-]+$"}


def _redelivery_group(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{re.escape(settings.notify_group(''))}[a-z0-9-]+\\.again$"}


def _client_group(settings: Settings) -> dict[str, Any]:
    taken = [settings.kafka_group_id, settings.trainer_group]
    return {"type": "string", "description": "Any name that no worker or trainer uses.", "not": {"enum": taken}}


OPERATIONS: Final = (
    Operation(
        "publisher",
        "send",
        EVENTS,
        "Publishes customer events, keyed by customer ID and partitioned by murmur2 (topics.md).",
    ),
    Operation("worker", "receive", EVENTS, "Applies each event exactly once.", _worker_group),
    Operation("worker", "send", EVENTS, "Forwards an event to the partition of its customer."),
    Operation("worker", "send", DEAD_LETTERS, "Dead-letters events that cannot be processed."),
    Operation("worker", "send", ALERTS, "Publishes each change of an alert exactly once."),
    Operation("worker", "send", SCORES, "Publishes the newest score of a customer."),
    Operation(
        "worker",
        "send",
        LABELS,
        "Publishes a training example when its label matures: horizon and grace after the snapshot.",
    ),
    Operation(
        "worker",
        "send",
        METRICS,
        "Publishes the retention aggregates, and those of satisfaction, barriers, goals and purchases.",
    ),
    Operation(
        "worker", "receive", MODEL, "Loads the newest model snapshot; reads the whole topic without a consumer group."
    ),
    Operation(
        "worker", "receive", CHANGELOG, "Recovers the state of a partition on takeover, without a consumer group."
    ),
    Operation("worker", "send", CHANGELOG, "Persists profiles and the position of a partition."),
    Operation("trainer", "receive", LABELS, "Learns each label exactly once.", _trainer_group),
    Operation("trainer", "receive", MODEL, "Resumes from the newest model snapshot, without a consumer group."),
    Operation("trainer", "send", MODEL, "Publishes model snapshots."),
    Operation("trainer", "send", METRICS, "Publishes model quality."),
    Operation(
        "notifier",
        "receive",
        ALERTS,
        "Delivers each alert event to a webhook, with one consumer group per route.",
        _notifier_group,
    ),
    Operation("notifier", "send", UNDELIVERED, "Dead-letters alert events that a route failed to deliver."),
    Operation(
        "notifier", "receive", UNDELIVERED, "Redelivers dead-lettered alert events: notify --again.", _redelivery_group
    ),
    Operation("alert-consumer", "receive", ALERTS, "Acts on alerts, deduplicated by ce_id.", _client_group),
    Operation(
        "alert-consumer", "send", EVENTS, "Responds to alerts: Alert Acknowledged, Alert Snoozed, Alert Dismissed."
    ),
    Operation("score-consumer", "receive", SCORES, "Stores the newest record of each customer.", _client_group),
    Operation("dashboard", "receive", METRICS, "Stores the newest record of each key.", _client_group),
    Operation("operator", "receive", DEAD_LETTERS, "Inspects rejected events and replays them.", _client_group),
    Operation(
        "operator", "receive", UNDELIVERED, "Inspects alert events that a route failed to deliver.", _client_group
    ),
)
