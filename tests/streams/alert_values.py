"""An alert's changes as workers publish them: made by the policy, with a note of our own."""

from __future__ import annotations

import json
from typing import Any

from models.alerts.alert_action import AlertAction
from models.alerts.policy import AlertEvent, AlertScore, step
from models.alerts.settings import AlertSettings
from models.definition.churn_definition import ChurnDefinition
from models.duration import DAY_MS, rfc3339
from models.outputs.alert_record import alert_value
from streams.notify.template import SAMPLE

START_MS = 1_709_596_800_000  # 2024-03-05
POLICY = AlertSettings.of(
    ChurnDefinition.parse(
        '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "30d"\n'
        '[alerts]\ndwell = "0d"\nenter = 0.3\nexit = 0.2'
    )
)


def note(customer: str, probability: float = 0.7234, **changes: Any) -> dict[str, Any]:
    """The part of an alert's value that is about the score."""
    reason = {"feature": "recency_days", "value": 11.0, "baseline": 1.2, "contribution": 0.9, "points": 9.0}
    return {
        "risks": changes.pop("risks", None),
        "payments": changes.pop("payments", None),
        "customer": {
            "id": customer, "account": "acme", "segment": None, "plan": "pro", "stage": "active", "tenure_days": 412.0,
            "consent": None,
        },
        "score": {
            "probability": probability, "ci90": [0.55, 0.84], "percentile": 0.9961, "band": "high", "previous": 0.31,
            "horizon_days": 30.0, "definition": "d", "model": "m", "evidence": "medium",
            "log_odds": 1.0, "bias": -1.0, "rest": 0.1,
        },
        "reasons": [
            {"code": "SILENCE", "sentence": "silent for 11 days; usually 1.2", **reason},
            {"code": "USAGE_DROP", "sentence": "used on 2 of 28 days", **reason},
            {"code": "PAYMENT_FAILED", "sentence": "1 payment failed", **reason},
            {"code": "REFUND", "sentence": "a fourth reason", **reason},
        ],
        "protective": [],
        "barriers": ["too_expensive"],
        "experience": SAMPLE["experience"],
        "value": {
            "mrr": 49.0, "clv": 812.5, "clv_at_risk": 301.2, "revenue_at_risk": 35.45, "basis": "subscription",
            "purchases": None, "currency": "USD", "other_amounts": 0,
        },
        "action": {"playbook": "win_back", "treatment": None},
        "timing": {"event_time": rfc3339(START_MS), "scored_at": rfc3339(START_MS), "trigger": "silence"},
        "lineage": {"topic": "customer-events", "partition": 1, "offset": 17, "features": "f", "config": "c"},
        **changes,
    }  # fmt: skip


def life(customer: str, **changes: Any) -> list[tuple[AlertEvent, bytes]]:
    """An alert that is opened, acknowledged, snoozed, and resolved because the customer recovered: event and value."""
    steps: list[tuple[int, float | None, AlertAction | None]] = [
        (0, 0.7234, None),
        (1, None, AlertAction("acknowledge")),
        (2, None, AlertAction("snooze", None, START_MS + 9 * DAY_MS)),
        (3, 0.05, None),
    ]
    state, values = None, []
    billing = changes.pop("route", "success") == "billing"
    for day, probability, action in steps:
        now_ms = START_MS + day * DAY_MS
        score = None
        if probability is not None:
            score = AlertScore(now_ms, probability, probability, 0.1, f"silence@{now_ms}", True, billing=billing)
        now = json.dumps(note(customer, probability or 0.7234, **changes)).encode()
        state, events, _ = step(state, score, POLICY, now_ms, customer=customer, action=action)
        if state is not None and probability is not None:
            state.note = now
        values += [(event, alert_value(event, now)) for event in events]
    return values
