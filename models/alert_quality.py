"""What alerts were worth: how many opened, how many of them were right, how much of the churn they found, how early.

An alert that opened is right if its customer churned within the horizon after it; it is judged if that is known: the
horizon and grace are over, and a matured example of the customer stands near it (it takes part in the label's rules:
who could not churn, or was hidden by a gap in the feed, has none).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.alertbook import Alert
from models.definition import ChurnDefinition
from models.duration import DAY_MS
from models.example import Example


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
    """Share of label 1 among the examples of the window: the precision of alerts at random."""
    churned: int
    """Customers with label 1 in the window."""
    found: int
    """Of them, those whom an alert told of within the horizon before."""
    recall: float | None
    lead_days_median: float | None
    """From a right alert to the churn."""
    lead_days_lower_quartile: float | None
    lead_days_upper_quartile: float | None


def judge(
    alerts: Iterable[Alert],
    examples: Sequence[Example],
    definition: ChurnDefinition,
    start_ms: int | None = None,
    to_ms: int | None = None,
) -> AlertQuality:
    """Judges alerts by the matured examples of the same log; the window is that of opening, and of snapshots."""
    first = start_ms if start_ms is not None else 0
    last = to_ms if to_ms is not None else 1 << 62
    told: Counter[str] = Counter()
    opened: dict[str, list[int]] = {}
    for alert in alerts:
        if not first <= alert.event.at_ms < last:
            continue
        told[alert.event.type] += 1
        if alert.event.type == "opened":
            opened.setdefault(alert.customer.decode(), []).append(alert.event.at_ms)
    near, churns = _by_customer(examples)
    judged, leads = 0, []
    for customer, times in opened.items():
        for at in times:
            if not _stands_near(near.get(customer, []), at, definition.snapshot_every_ms):
                continue
            judged += 1
            later = churns.get(customer, [])
            place = bisect_right(later, at)
            if place < len(later) and later[place] <= at + definition.horizon_ms:
                leads.append((later[place] - at) / DAY_MS)
    window = [e for e in examples if first <= e.snapshot_ms < last]
    churned = {e.customer for e in window if e.label}
    found = {
        e.customer
        for e in window
        if e.label
        and any(e.churned_ms - definition.horizon_ms <= at < e.churned_ms for at in opened.get(e.customer, ()))
    }
    quartiles = np.quantile(leads, (0.25, 0.5, 0.75)).tolist() if leads else [None, None, None]
    return AlertQuality(
        told=dict(sorted(told.items())),
        customers=len(opened),
        judged=judged,
        right=len(leads),
        precision=len(leads) / judged if judged else None,
        churn_rate=sum(e.label for e in window) / len(window) if window else None,
        churned=len(churned),
        found=len(found),
        recall=len(found) / len(churned) if churned else None,
        lead_days_median=quartiles[1],
        lead_days_lower_quartile=quartiles[0],
        lead_days_upper_quartile=quartiles[2],
    )


def _by_customer(examples: Sequence[Example]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Times of matured snapshots and of churns, in order."""
    snapshots: dict[str, list[int]] = {}
    churns: dict[str, list[int]] = {}
    for e in examples:
        snapshots.setdefault(e.customer, []).append(e.snapshot_ms)
        if e.label:
            churns.setdefault(e.customer, []).append(e.churned_ms)
    for times in (*snapshots.values(), *churns.values()):
        times.sort()
    return snapshots, churns


def _stands_near(snapshots: list[int], at_ms: int, within_ms: int) -> bool:
    place = bisect_left(snapshots, at_ms - within_ms)
    return place < len(snapshots) and snapshots[place] <= at_ms + within_ms
