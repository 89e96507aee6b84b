"""Messages of the AsyncAPI document: key, headers and payload of the records of each topic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from streams.kafka.control_signature import SIGNATURE
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, LABELS_TOPIC_HEADER
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
        headers: a JSON Schema of the headers as strings; None for a topic without headers.
        content_type: content type of the value.
        key: a JSON Schema of the record key as a string.
    """

    name: str
    title: str
    payload: dict[str, Any]
    key: dict[str, Any]
    headers: dict[str, Any] | None = None
    content_type: str = JSON


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"schemas/{name}.schema.json"}


def _headers(descriptions: dict[str, str], *, required: bool | list[str] = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"type": "string", "description": text} for name, text in descriptions.items()},
    }
    names = required if isinstance(required, list) else list(descriptions)
    return found | ({"required": names} if required else {})


def _key(topic: Topic, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": f"{topic.key[0].upper()}{topic.key[1:]}.", **more}


_CUSTOMER: Final = {"minLength": 1, "maxLength": 256}
_NUMBER: Final = {"type": ["number", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}

_QUALITY: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Model quality, evaluated on each label before it is learned; null with too few labels.",
    "properties": {
        "labels": {**_COUNT, "description": "Number of labels learned."},
        "positives": {**_COUNT, "description": "Number of these labels that are churn."},
        "skipped": {**_COUNT, "description": "Number of invalid records in the labels topic."},
        "answering": {"type": "string", "description": "The active model."},
        "log_loss": {
            "type": "object",
            "description": "Log loss of the published score and of each candidate model.",
            "additionalProperties": _NUMBER,
        },
        **dict.fromkeys(("trust", "auc", "ece", "brier", "rate", "mean_probability"), _NUMBER),
        "reliability": {"type": "array", "items": {"type": "object"}, "description": "Bins of a reliability diagram."},
        "days": {
            "type": "array",
            "items": {"type": "array"},
            "description": "Day since 1970, labels, positives, log loss, log loss of the prior, AUC, ECE.",
        },
        "involuntary": {
            "type": ["object", "null"],
            "description": "The same figures for involuntary churn, if it has its own label.",
        },
    },
    "required": ["labels", "positives", "log_loss"],
}

_SEGMENT: Final = {
    "type": ["string", "null"],
    "description": "Plan or source of the customers counted; null for a cohort.",
}
_RETENTION: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Retention aggregates of one partition; consumers sum those of all partitions (metrics.md).",
    "properties": {
        "partition": _COUNT,
        "plan": _SEGMENT,
        "source": _SEGMENT,
        "cohort": {
            "type": ["integer", "null"],
            "description": "Month since 1970 of the customers' first activity or subscription.",
        },
        "scale": {"enum": ["day", "month", "age"], "description": "Unit of the index."},
        "first": {
            "type": "integer",
            "description": "Index of the first number: day or month since 1970, or age in days.",
        },
        "sums": {
            "type": "object",
            "description": "32 numbers per series; a series whose name ends in + contains differences.",
            "additionalProperties": {"type": "array", "items": {"type": "integer"}, "minItems": 32, "maxItems": 32},
        },
    },
    "required": ["partition", "plan", "source", "cohort", "scale", "first", "sums"],
}
_PURCHASES: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Purchase counts of one partition; consumers sum those of all partitions (topics.md).",
    "properties": {
        "partition": _COUNT,
        "day": {"type": "integer", "description": "Day since 1970; all purchases up to this day are counted."},
        "fortnight": {
            "type": ["integer", "null"],
            "description": "Fortnight since 1970 of the first purchase, or null.",
        },
        "kind": {"type": ["integer", "null"], "description": "Class of the number of purchases, or null."},
        "cells": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    },
    "required": ["partition", "day", "fortnight", "kind", "cells"],
}

_PAIRS: Final[dict[str, Any]] = {
    "type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2,
}  # fmt: skip
_EXPERIENCE: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Experience aggregates of one partition; consumers sum those of all partitions (metrics.md).",
    "properties": {
        "partition": _COUNT,
        "kind": {"enum": ["labels", "goals"], "description": "Matured labels, or times to value."},
        "plan": {"type": "string", "description": "Plan of the customers counted; empty if unknown."},
        "month": {
            "type": ["integer", "null"],
            "description": "Month since 1970 of the snapshots; null for times to value.",
        },
        "sums": {
            "type": "object",
            "description": "By series: labels and churn labels, responses and their sum, or customers and minutes."
            " The name of a label series starts with the tenure stage; that of a time-to-value series ends with a bin.",
            "additionalProperties": _PAIRS,
        },
    },
    "required": ["partition", "kind", "plan", "month", "sums"],
}

_ALERT_HEADERS: Final = {
    "ce_specversion": "1.0",
    "ce_id": "alert_id-seq, the same in every replay: deduplicate by it.",
    "ce_source": "/churn-signals",
    "ce_type": "churn.alert.TYPE.v1",
    "ce_time": "When the change happened, in event time.",
    "ce_subject": "The customer ID.",
    "content-type": JSON,
}

MESSAGES: Final[dict[str, Message]] = {  # by role of the topic
    EVENTS.role: Message(
        "event",
        "A customer event",
        _schema("event"),
        _key(EVENTS, **_CUSTOMER),
        _headers(
            {
                "ce_specversion": "1.0, for a CloudEvent in binary mode.",
                "ce_source": "Source of a CloudEvent in binary mode.",
                "ce_id": "ID of a CloudEvent in binary mode; with ce_source it identifies the event.",
                "ce_time": "Event time, if the payload has none.",
                SIGNATURE: "HMAC-SHA256 of the value by CHURN_CONTROL_SECRET in hexadecimal, for control events.",
                FORWARDED: "PARTITION@OFFSET of the original record; written by workers.",
                TIMESTAMP: "Timestamp of the original record in epoch milliseconds; written by workers.",
            },
            required=False,
        ),
    ),
    DEAD_LETTERS.role: Message(
        "dead_letter",
        "An event that could not be processed, byte for byte, with the reason",
        {"type": "string", "description": "The bytes as received, shown here as text."},
        _key(DEAD_LETTERS),
        _headers(
            {
                dead_letters.EXCEPTION: "Rejected, Unauthorized, Misrouted, or the name of the exception.",
                dead_letters.MESSAGE: "What is wrong and what to change.",
                dead_letters.TOPIC: "Topic of the event.",
                dead_letters.PARTITION: "Partition of the event.",
                dead_letters.OFFSET: "Offset of the event.",
                dead_letters.REASON: "A rejection reason (events.md).",
            }
        ),
        BYTES,
    ),
    ALERTS.role: Message(
        "alert",
        "An alert event, as a CloudEvent in binary mode",
        _schema("alert"),
        _key(ALERTS, **_CUSTOMER),
        _headers(_ALERT_HEADERS),
    ),
    UNDELIVERED.role: Message(
        "undelivered",
        "An alert event that a route failed to deliver, with the reason",
        _schema("alert"),
        _key(UNDELIVERED, **_CUSTOMER),
        _headers(
            {
                **_ALERT_HEADERS,
                dead_letters.EXCEPTION: "Undelivered.",
                dead_letters.MESSAGE: "The response of the receiver, or why nothing was sent.",
                dead_letters.TOPIC: "Topic of the alert event.",
                dead_letters.PARTITION: "Partition of the event.",
                dead_letters.OFFSET: "Offset of the event.",
                dead_letters.REASON: "A delivery failure reason (topics.md).",
                dead_letters.ROUTE: "Name of the route.",
            }
        ),
    ),
    SCORES.role: Message("score", "The newest score of a customer", _schema("score"), _key(SCORES, **_CUSTOMER)),
    LABELS.role: Message("label", "A matured training example", _schema("label"), _key(LABELS, **_CUSTOMER)),
    MODEL.role: Message(
        "snapshot",
        "A model snapshot as JSON: data, never code",
        {"type": "object", "description": "Read by workers and trainers; the format can change with any version."},
        _key(MODEL),
        _headers(
            {
                LABELS_OFFSET_HEADER: "Offset of the first label that the snapshot has not learned.",
                LABELS_TOPIC_HEADER: "Id of the labels topic, in hexadecimal; missing before Kafka 2.8.",
            },
            required=[LABELS_OFFSET_HEADER],
        ),
    ),
    METRICS.role: Message(
        "metric",
        "Model quality, or aggregates of retention, satisfaction, barriers, goals and purchases",
        {"oneOf": [_QUALITY, _RETENTION, _EXPERIENCE, _PURCHASES]},
        _key(METRICS),
    ),
    CHANGELOG.role: Message(
        "change",
        "State of the workers (internal)",
        {"type": "string", "description": "Bytes whose format can change with any version; empty for a tombstone."},
        _key(CHANGELOG),
        content_type=BYTES,
    ),
}
