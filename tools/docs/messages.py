"""What a record of each topic holds, as the contract says it: key, headers, payload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from streams.kafka.model_reader import LABELS_OFFSET_HEADER
from streams.scoring import dead_letters
from streams.scoring.event_router import FORWARDED, TIMESTAMP
from streams.topics import ALERTS, CHANGELOG, DEAD_LETTERS, EVENTS, LABELS, METRICS, MODEL, SCORES, UNDELIVERED, Topic

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"


@dataclass(frozen=True)
class Message:
    """The records of one topic.

    Attributes:
        payload: a JSON Schema, or a reference to one.
        headers: a JSON Schema of the headers as texts; None where there are none.
        content_type: of the value.
        key: a JSON Schema of the record's key as a text.
    """

    name: str
    title: str
    payload: dict[str, Any]
    key: dict[str, Any]
    headers: dict[str, Any] | None = None
    content_type: str = JSON


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"schemas/{name}.schema.json"}


def _headers(texts: dict[str, str], *, required: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string", "description": said} for name, said in texts.items()},
    }
    return found | ({"required": list(texts)} if required else {})


def _key(topic: Topic, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": f"{topic.key[0].upper()}{topic.key[1:]}.", **more}


_CUSTOMER: Final = {"minLength": 1, "maxLength": 256}
_NUMBER: Final = {"type": ["number", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}

_QUALITY: Final[dict[str, Any]] = {
    "type": "object",
    "description": "How good the model is, each label judged before it was learned; null where too few are seen.",
    "properties": {
        "labels": {**_COUNT, "description": "Labels learned."},
        "positives": {**_COUNT, "description": "Those of customers who churned."},
        "skipped": {**_COUNT, "description": "Records of the labels topic that are no labels."},
        "answering": {"type": "string", "description": "Which member answers."},
        "log_loss": {
            "type": "object",
            "description": "Of the answer, and of each member alone.",
            "additionalProperties": _NUMBER,
        },
        **dict.fromkeys(("trust", "auc", "ece", "brier", "rate", "mean_probability"), _NUMBER),
        "reliability": {"type": "array", "items": {"type": "object"}, "description": "Bins of a reliability diagram."},
        "days": {
            "type": "array",
            "items": {"type": "array"},
            "description": "Day since 1970, labels, positives, log loss, the prior's, AUC, ECE.",
        },
        "involuntary": {
            "type": ["object", "null"],
            "description": "The same of losses by payment, where they have a label of their own.",
        },
    },
    "required": ["labels", "positives", "log_loss"],
}

_SEGMENT: Final = {"type": ["string", "null"], "description": "Of the customers counted; null for a cohort."}
_RETENTION: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Sums of the retention accounting of one partition; readers add those of all (metrics.md).",
    "properties": {
        "partition": _COUNT,
        "plan": _SEGMENT,
        "source": _SEGMENT,
        "cohort": {"type": ["integer", "null"], "description": "Month since 1970 in which its customers began."},
        "scale": {"enum": ["day", "month", "age"], "description": "What the numbers are counted by."},
        "first": {"type": "integer", "description": "Day or month (since 1970) or age in days of the first number."},
        "sums": {
            "type": "object",
            "description": "Of each series 32 numbers; those of a name that ends in + are differences.",
            "additionalProperties": {"type": "array", "items": {"type": "integer"}, "minItems": 32, "maxItems": 32},
        },
    },
    "required": ["partition", "plan", "source", "cohort", "scale", "first", "sums"],
}
_PURCHASES: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Customers of one partition by what they bought; readers add those of all (topics.md).",
    "properties": {
        "partition": _COUNT,
        "day": {"type": "integer", "description": "Since 1970: all purchases up to it are counted."},
        "fortnight": {"type": ["integer", "null"], "description": "Since 1970, of the first purchase; or null."},
        "kind": {"type": ["integer", "null"], "description": "Class of the number of purchases; or null."},
        "cells": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    },
    "required": ["partition", "day", "fortnight", "kind", "cells"],
}

_PAIRS: Final[dict[str, Any]] = {
    "type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2,
}  # fmt: skip
_EXPERIENCE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Sums of satisfaction, barriers and goals of one partition; readers add those of all (metrics.md).",
    "properties": {
        "partition": _COUNT,
        "kind": {"enum": ["labels", "goals"], "description": "Matured labels, or times to value."},
        "plan": {"type": "string", "description": "Of the customers counted; empty for whoever never said."},
        "month": {"type": ["integer", "null"], "description": "Of the snapshots, since 1970; null for times to value."},
        "sums": {
            "type": "object",
            "description": "By series: labels and those of churn, or answers and their sum, or customers and their"
            " minutes. A series of labels begins with the stage of tenure, one of times to value ends with a bin.",
            "additionalProperties": _PAIRS,
        },
    },
    "required": ["partition", "kind", "plan", "month", "sums"],
}

_ALERT_HEADERS: Final = {
    "ce_specversion": "1.0",
    "ce_id": "alert_id-seq, the same in every replay: forget what has been seen by it.",
    "ce_source": "/churn-signals",
    "ce_type": "churn.alert.TYPE.v1",
    "ce_time": "When the change happened, in event time.",
    "ce_subject": "The customer id.",
    "content-type": JSON,
}

MESSAGES: Final[dict[str, Message]] = {  # by the role of the topic
    EVENTS.role: Message(
        "event",
        "What a customer did",
        _schema("event"),
        _key(EVENTS, **_CUSTOMER),
        _headers(
            {
                "ce_specversion": "1.0, of a CloudEvent in binary mode.",
                "ce_source": "Of a CloudEvent in binary mode.",
                "ce_id": "Of a CloudEvent in binary mode; with ce_source it identifies the event.",
                "ce_time": "When it happened, if the payload does not say.",
                FORWARDED: "PARTITION@OFFSET where it first landed; written by workers.",
                TIMESTAMP: "The first record's timestamp in epoch milliseconds; written by workers.",
            },
            required=False,
        ),
    ),
    DEAD_LETTERS.role: Message(
        "dead_letter",
        "An event that cannot be used, byte for byte, and why",
        {"type": "string", "description": "The bytes as received, shown here as text."},
        _key(DEAD_LETTERS),
        _headers(
            {
                dead_letters.EXCEPTION: "Rejected, Misrouted, or the name of the exception.",
                dead_letters.MESSAGE: "What is wrong and what to change.",
                dead_letters.TOPIC: "Where the event stood: its topic.",
                dead_letters.PARTITION: "Its partition.",
                dead_letters.OFFSET: "Its offset.",
                dead_letters.REASON: "One of a fixed set: events.md.",
            }
        ),
        BYTES,
    ),
    ALERTS.role: Message(
        "alert",
        "One change of an alert, a CloudEvent in binary mode",
        _schema("alert"),
        _key(ALERTS, **_CUSTOMER),
        _headers(_ALERT_HEADERS),
    ),
    UNDELIVERED.role: Message(
        "undelivered",
        "An alert event that a route did not take, and why",
        _schema("alert"),
        _key(UNDELIVERED, **_CUSTOMER),
        _headers(
            {
                **_ALERT_HEADERS,
                dead_letters.EXCEPTION: "Undelivered.",
                dead_letters.MESSAGE: "What the receiver answered, or why nothing was sent.",
                dead_letters.TOPIC: "Where the event stands: its topic.",
                dead_letters.PARTITION: "Its partition.",
                dead_letters.OFFSET: "Its offset.",
                dead_letters.REASON: "One of a fixed set: alerts.md.",
                dead_letters.ROUTE: "The route's name.",
            }
        ),
    ),
    SCORES.role: Message("score", "The newest score of a customer", _schema("score"), _key(SCORES, **_CUSTOMER)),
    LABELS.role: Message("label", "A matured training example", _schema("label"), _key(LABELS, **_CUSTOMER)),
    MODEL.role: Message(
        "snapshot",
        "The model as JSON: data, never code",
        {"type": "object", "description": "Read by workers and trainers; its layout may change with any version."},
        _key(MODEL),
        _headers({LABELS_OFFSET_HEADER: "Offset of the first label that it has not learned."}),
    ),
    METRICS.role: Message(
        "metric",
        "How good the model is, sums of the retention accounting, satisfaction, barriers and goals, or who bought what",
        {"oneOf": [_QUALITY, _RETENTION, _EXPERIENCE, _PURCHASES]},
        _key(METRICS),
    ),
    CHANGELOG.role: Message(
        "change",
        "The workers' memory, theirs alone",
        {"type": "string", "description": "Bytes whose layout may change with any version; empty for a tombstone."},
        _key(CHANGELOG),
        content_type=BYTES,
    ),
}
