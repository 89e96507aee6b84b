"""Who sends and who receives what, role by role, as the contract says it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from streams.settings import Settings
from streams.topics import ALERTS, CHANGELOG, DEAD_LETTERS, EVENTS, LABELS, METRICS, MODEL, SCORES, UNDELIVERED, Topic

ROLES: Final = {
    "publisher": "Your applications that say what customers do; and `publish`, `simulate` and `dlq replay`.",
    "worker": "`churn-signals worker`.",
    "trainer": "`churn-signals trainer`.",
    "notifier": "`churn-signals notify`.",
    "alert-consumer": "Your programs that act on alerts.",
    "score-consumer": "Your programs that look up what is known of a customer.",
    "dashboard": "Your programs that show how good the model is, and retention.",
    "operator": "Whoever looks after what was refused; `dlq`.",
}


@dataclass(frozen=True)
class Operation:
    """One role's dealings with one topic.

    Attributes:
        group: the schema of the consumer group under these settings; None for a sender, and for a reader without one.
    """

    role: str
    action: Literal["send", "receive"]
    topic: Topic
    summary: str
    group: Callable[[Settings], dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """The operation's name in the contract."""
        words = (*self.role.split("-"), f"{self.action}s", *self.topic.role.removeprefix("topic_").split("_"))
        return words[0] + "".join(word.capitalize() for word in words[1:])


def _workers(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "enum": [settings.kafka_group_id]}


def _trainers(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "enum": [settings.trainer_group]}


def _notifiers(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{re.escape(settings.notify_group(''))}[a-z0-9-]+$"}


def _again(settings: Settings) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{re.escape(settings.notify_group(''))}[a-z0-9-]+\\.again$"}


def _own(settings: Settings) -> dict[str, Any]:
    taken = [settings.kafka_group_id, settings.trainer_group]
    return {"type": "string", "description": "A name of your own.", "not": {"enum": taken}}


OPERATIONS: Final = (
    Operation("publisher", "send", EVENTS, "Says what a customer did; keyed by customer, with murmur2 (topics.md)."),
    Operation("worker", "receive", EVENTS, "Applies each event once.", _workers),
    Operation("worker", "send", EVENTS, "Forwards an event to the partition where its customer belongs."),
    Operation("worker", "send", DEAD_LETTERS, "Keeps what cannot be used."),
    Operation("worker", "send", ALERTS, "Tells each change of an alert once."),
    Operation("worker", "send", SCORES, "Tells the newest score."),
    Operation("worker", "send", LABELS, "Tells what came of a customer, horizon and grace after the snapshot."),
    Operation(
        "worker",
        "send",
        METRICS,
        "Tells the sums of the retention accounting, and of satisfaction, barriers and goals.",
    ),
    Operation("worker", "receive", MODEL, "Scores with the newest snapshot; reads all of the topic, in no group."),
    Operation("worker", "receive", CHANGELOG, "Recovers a partition that it takes over, in no group."),
    Operation("worker", "send", CHANGELOG, "Remembers profiles and its position."),
    Operation("trainer", "receive", LABELS, "Learns each label once.", _trainers),
    Operation("trainer", "receive", MODEL, "Goes on from the newest snapshot; in no group."),
    Operation("trainer", "send", MODEL, "Publishes what it has learned."),
    Operation("trainer", "send", METRICS, "Tells how good the model has been."),
    Operation(
        "notifier", "receive", ALERTS, "Delivers each event to a webhook, in a group for each route.", _notifiers
    ),
    Operation("notifier", "send", UNDELIVERED, "Keeps what a route does not take."),
    Operation("notifier", "receive", UNDELIVERED, "Delivers it once more: notify --again.", _again),
    Operation("alert-consumer", "receive", ALERTS, "Acts on alerts, once by ce_id.", _own),
    Operation("alert-consumer", "send", EVENTS, "Answers: Alert Acknowledged, Alert Snoozed, Alert Dismissed."),
    Operation("score-consumer", "receive", SCORES, "Keeps the newest record of each customer.", _own),
    Operation("dashboard", "receive", METRICS, "Keeps the newest record of each key.", _own),
    Operation("operator", "receive", DEAD_LETTERS, "Looks at what was refused, and sends it again.", _own),
    Operation("operator", "receive", UNDELIVERED, "Looks at what a route did not take.", _own),
)
