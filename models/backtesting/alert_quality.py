"""Quality of alerts: how many opened, their precision and recall, and the lead time to the churn.

An opened alert is evaluated with a training example of its customer: the newest snapshot within one snapshot period
before the alert, or else the first one within a period after it. So the rules of labels apply. A customer who was not
eligible, was censored by a gap in the feed, or whose horizon is not over has no example. The alert is not evaluated.
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
    """Outcomes of the alerts of one route: billing or customer success."""

    opened: int
    judged: int
    lost: int
    lost_by_payment: int


@dataclass(frozen=True, slots=True)
class AlertQuality:
    """Quality of the alerts that opened in a window. Shares are None if their denominator is 0."""

    told: dict[str, int]
    """Published alert changes, by type."""
    customers: int
    """Customers with an opened alert."""
    judged: int
    """Opened alerts with a known outcome."""
    right: int
    """Opened alerts whose customer was lost."""
    precision: float | None
    churn_rate: float | None
    """Share of the window's examples lost by any cause: the precision of random alerts."""
    churned: int
    """Customers lost in the window."""
    found: int
    """Lost customers with an alert within the horizon before the loss."""
    recall: float | None
    lead_days_median: float | None
    """Time from a correct alert to the churn."""
    lead_days_lower_quartile: float | None
    lead_days_upper_quartile: float | None
    routes: dict[str, RouteQuality]
    """By route, if involuntary churn has a label of its own."""


def evaluate_alerts(
    alerts: Iterable[AlertOutput],
    examples: Sequence[TrainingExample],
    definition: ChurnDefinition,
    start_ms: int | None = None,
    to_ms: int | None = None,
) -> AlertQuality:
    """Evaluate alerts with the matured examples of the same log. The window limits both openings and snapshots."""
    first = start_ms if start_ms is not None else 0
    last = to_ms if to_ms is not None else 1 << 62
    published: Counter[str] = Counter()
    opened: dict[str, list[tuple[int, str]]] = {}
    all_opened: dict[str, list[int]] = {}  # also before the window, since they may precede a churn inside it
    for alert in alerts:
        if alert.event.type == "opened":
            all_opened.setdefault(alert.customer.decode(), []).append(alert.event.at_ms)
        if first <= alert.event.at_ms < last:
            published[alert.event.type] += 1
            if alert.event.type == "opened":
                opened.setdefault(alert.customer.decode(), []).append((alert.event.at_ms, alert.event.route))
    by_customer = _by_customer(examples)
    evaluated, leads = 0, []
    routes: dict[str, Counter[str]] = {route: Counter() for route in ROUTES}
    for customer, times in opened.items():
        for at, route in times:
            count = routes[route]
            count["opened"] += 1
            example = _near(by_customer.get(customer, []), at, definition.snapshot_every_ms)
            if example is None or 0 < example.lost_ms <= at:
                continue  # no outcome, or the churn had already happened and was not yet known
            evaluated += 1
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
        if e.lost_ms
        and any(e.lost_ms - definition.horizon_ms <= at < e.lost_ms for at in all_opened.get(e.customer, ()))
    }
    quartiles = np.quantile(leads, (0.25, 0.5, 0.75)).tolist() if leads else [None, None, None]
    return AlertQuality(
        told=dict(sorted(published.items())),
        customers=len(opened),
        judged=evaluated,
        right=len(leads),
        precision=len(leads) / evaluated if evaluated else None,
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
    """Group examples by customer, in order of their snapshots."""
    by_customer: dict[str, list[TrainingExample]] = {}
    for e in sorted(examples, key=lambda e: e.snapshot_ms):
        by_customer.setdefault(e.customer, []).append(e)
    return by_customer


def _near(examples: list[TrainingExample], at_ms: int, within_ms: int) -> TrainingExample | None:
    """Return the newest example at or before a time, or else the first one after it, within a period."""
    index = bisect_right(examples, at_ms, key=lambda e: e.snapshot_ms)
    if index and examples[index - 1].snapshot_ms >= at_ms - within_ms:
        return examples[index - 1]
    if index < len(examples) and examples[index].snapshot_ms <= at_ms + within_ms:
        return examples[index]
    return None
