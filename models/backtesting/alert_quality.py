"""What alerts were worth: how many opened, how many of them were right, how much of the churn they found, how early.

An alert that opened is judged by its customer's training example: by the label of the newest snapshot of the period
before it, or else of the first one of the period after it. So it follows the rules of labels: who could not churn, was
hidden by a gap in the feed, or whose horizon is not over, has none, and the alert is not judged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import ROUTES
from models.duration import DAY_MS
from models.labels.training_example import TrainingExample
from models.pipeline.alert_tracker import AlertOutput


@dataclass(frozen=True, slots=True)
class RouteQuality:
    """What became of the alerts that went to those who see to payments, or to customers."""

    opened: int
    judged: int
    lost: int
    lost_by_payment: int


@dataclass(frozen=True, slots=True)
class AlertQuality:
    """Alerts that opened in a window; shares are None where there is nothing to divide by."""

    told: dict[str, int]
    """Changes of alerts, by type."""
    customers: int
    """Who had an alert."""
    judged: int
    """Alerts that opened and of which is known whether they were right."""
    right: int
    precision: float | None
    churn_rate: float | None
    """Share lost, by either cause, among the examples of the window: the precision of alerts at random."""
    churned: int
    """Customers lost in the window."""
    found: int
    """Of them, those whom an alert told of within the horizon before."""
    recall: float | None
    lead_days_median: float | None
    """From a right alert to the churn."""
    lead_days_lower_quartile: float | None
    lead_days_upper_quartile: float | None
    routes: dict[str, RouteQuality]
    """By route, where losses by payment have a label of their own."""


def judge(
    alerts: Iterable[AlertOutput],
    examples: Sequence[TrainingExample],
    definition: ChurnDefinition,
    start_ms: int | None = None,
    to_ms: int | None = None,
) -> AlertQuality:
    """Judges alerts by the matured examples of the same log; the window is that of opening, and of snapshots."""
    first = start_ms if start_ms is not None else 0
    last = to_ms if to_ms is not None else 1 << 62
    told: Counter[str] = Counter()
    opened: dict[str, list[tuple[int, str]]] = {}
    ever: dict[str, list[int]] = {}  # before the window too: they may tell of what comes in it
    for alert in alerts:
        if alert.event.type == "opened":
            ever.setdefault(alert.customer.decode(), []).append(alert.event.at_ms)
        if first <= alert.event.at_ms < last:
            told[alert.event.type] += 1
            if alert.event.type == "opened":
                opened.setdefault(alert.customer.decode(), []).append((alert.event.at_ms, alert.event.route))
    by_customer = _by_customer(examples)
    judged, leads = 0, []
    routes: dict[str, Counter[str]] = {route: Counter() for route in ROUTES}
    for customer, times in opened.items():
        for at, route in times:
            count = routes[route]
            count["opened"] += 1
            example = _near(by_customer.get(customer, []), at, definition.snapshot_every_ms)
            if example is None or 0 < example.lost_ms <= at:
                continue  # nothing is known, or it had happened: nobody knew yet
            judged += 1
            count["judged"] += 1
            if example.lost_ms:
                count["lost"] += 1
                count["lost_by_payment"] += not example.label
                leads.append((example.lost_ms - at) / DAY_MS)
    window = [e for e in examples if first <= e.snapshot_ms < last]
    churned = {e.customer for e in window if e.lost_ms}
    found = {
        e.customer
        for e in window
        if e.lost_ms and any(e.lost_ms - definition.horizon_ms <= at < e.lost_ms for at in ever.get(e.customer, ()))
    }
    quartiles = np.quantile(leads, (0.25, 0.5, 0.75)).tolist() if leads else [None, None, None]
    return AlertQuality(
        told=dict(sorted(told.items())),
        customers=len(opened),
        judged=judged,
        right=len(leads),
        precision=len(leads) / judged if judged else None,
        churn_rate=sum(e.lost_ms > 0 for e in window) / len(window) if window else None,
        churned=len(churned),
        found=len(found),
        recall=len(found) / len(churned) if churned else None,
        lead_days_median=quartiles[1],
        lead_days_lower_quartile=quartiles[0],
        lead_days_upper_quartile=quartiles[2],
        routes={} if definition.involuntary is None else {route: _route(count) for route, count in routes.items()},
    )


def _route(count: Counter[str]) -> RouteQuality:
    return RouteQuality(count["opened"], count["judged"], count["lost"], count["lost_by_payment"])


def _by_customer(examples: Sequence[TrainingExample]) -> dict[str, list[TrainingExample]]:
    """In order of their snapshots."""
    found: dict[str, list[TrainingExample]] = {}
    for e in sorted(examples, key=lambda e: e.snapshot_ms):
        found.setdefault(e.customer, []).append(e)
    return found


def _near(examples: list[TrainingExample], at_ms: int, within_ms: int) -> TrainingExample | None:
    """The newest at or before a time, or else the first after it, within a period."""
    place = bisect_right(examples, at_ms, key=lambda e: e.snapshot_ms)
    if place and examples[place - 1].snapshot_ms >= at_ms - within_ms:
        return examples[place - 1]
    if place < len(examples) and examples[place].snapshot_ms <= at_ms + within_ms:
        return examples[place]
    return None
