"""Metrics of a notifier, by route."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.monitoring.collector import Samples
    from streams.notify.notifier import Notifier


def notifier_samples(notifier: Notifier) -> Samples:
    """Yield the samples of a notifier."""
    for consumer in notifier.consumers:
        route, delivery, status = consumer.route.name, consumer.delivery, consumer.status
        for outcome, count in delivery.outcomes.items():
            yield "notify_events", (route, outcome), count
        for outcome, count in delivery.attempts.items():
            yield "notify_attempts", (route, outcome), count
        yield "notify_request_seconds", (route,), delivery.request_s
        yield "notify_open_events", (route,), sum(partition.open for partition in status.values())
        oldest_s = max((partition.oldest_s for partition in status.values()), default=0.0)
        yield "notify_oldest_open_seconds", (route,), oldest_s
        for number, partition in status.items():
            if partition.lag is not None:
                yield "notify_lag_records", (route, str(number)), partition.lag
