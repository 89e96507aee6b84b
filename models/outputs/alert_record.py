"""The values and headers of `churn-alerts`, each readable on its own. Schemas: docs/schemas."""

from __future__ import annotations

from typing import Final

import msgspec

from models.alerts.policy import AlertEvent
from models.duration import rfc3339

_encode: Final = msgspec.json.Encoder().encode
CE_SOURCE: Final = "/churn-signals"
_WITH_CAUSES: Final = b'{"risks":'
_WITHOUT: Final = b',"risks":null,"payments":null,'  # stored by a release without these fields
"""Fields that a note of an earlier release lacks, as null."""


class _AlertHead(msgspec.Struct, gc=False):
    alert_id: str
    seq: int
    dedup_key: str
    type: str
    state: str
    severity: str
    time: str
    opened_at: str
    resolution: str | None
    snoozed_until: str | None
    rule: str | None
    route: str


def alert_value(event: AlertEvent, note: bytes = b"") -> bytes:
    """The `churn-alerts` value; `note` describes the current score, for events without a note."""
    head = _encode(
        _AlertHead(
            event.alert_id,
            event.seq,
            event.dedup_key,
            event.type,
            event.state,
            event.severity,
            rfc3339(event.at_ms),
            rfc3339(event.opened_ms),
            event.resolution or None,
            rfc3339(event.until_ms) if event.until_ms else None,
            event.rule or None,
            event.route,
        )
    )
    published = note if event.note is None else event.note
    return head[:-1] + (b"," if published.startswith(_WITH_CAUSES) else _WITHOUT) + published[1:]


def alert_headers(event: AlertEvent, customer: str) -> list[tuple[str, bytes]]:
    """Headers of a CloudEvent in binary mode (Kafka protocol binding 1.0.2, 3.2); the id is that of the effect.

    >>> event = AlertEvent("opened", "a1", "c/d", 1, "open", "high", 0, 0)
    >>> dict(alert_headers(event, "c"))["ce_type"]
    b'churn.alert.opened.v1'
    """
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"{event.alert_id}-{event.seq}".encode()),
        ("ce_source", CE_SOURCE.encode()),
        ("ce_type", f"churn.alert.{event.type}.v1".encode()),
        ("ce_time", rfc3339(event.at_ms).encode()),
        ("ce_subject", customer.encode()),
        ("content-type", b"application/json"),
    ]
