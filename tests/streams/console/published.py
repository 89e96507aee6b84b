"""Records of the topics that the console reads, and their decoded form."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from streams.console.published_records import AlertChange, ScoreChange, alert_change, score_change
from streams.notify.template import SAMPLE
from tests.streams.alert_values import life


def record(topic: str, key: bytes | None, value: bytes | None, offset: int = 0, **changes: Any) -> Any:
    """A record as aiokafka returns it."""
    fields = {"topic": topic, "partition": 0, "offset": offset, "timestamp": 1_709_596_800_000, "headers": ()}
    return SimpleNamespace(key=key, value=value, **{**fields, **changes})


def score_of(customer: str, **changes: Any) -> dict[str, Any]:
    """A value of churn-scores, as docs/schemas/score.schema.json has it, from the note of an alert."""
    alert = json.loads(life(customer)[0][1])
    return {
        **alert["score"],
        **{
            name: alert[name]
            for name in ("customer", "reasons", "protective", "barriers", "experience", "value", "lineage")
        },
        "scored_at": alert["time"],
        "trigger": "silence",
        "contributions": {},
        "features": {},
        "history": [[1_709_000_000 + 86_400 * i, 20_000 * i] for i in range(32)],
        "activity": {"until": "2024-03-05", "counts": [i % 7 for i in range(90)]},
        "alert": None,
        "route": "billing",
        "risks": SAMPLE["risks"],
        "payments": {
            "dunning_since": "2024-02-28", "dunning_days": 6, "failed": 3, "recovered": 1, "recovered_rate": 0.3333,
            "card_expires_in_days": -2.4,
        },
        **changes,
    }  # fmt: skip


def scores(*documents: dict[str, Any]) -> list[ScoreChange]:
    """Decode scores, each under the key of its customer."""
    return [
        score_change(record("churn-scores", document["customer"]["id"].encode(), json.dumps(document).encode()))
        for document in documents
    ]


def tombstone(customer: str) -> ScoreChange:
    """The deletion of a customer's score."""
    return score_change(record("churn-scores", customer.encode(), None))


def alerts(*values: bytes) -> list[AlertChange]:
    """Decode values of churn-alerts, each under the key of its customer."""
    return [
        alert_change(record("churn-alerts", json.loads(value)["customer"]["id"].encode(), value)) for value in values
    ]
