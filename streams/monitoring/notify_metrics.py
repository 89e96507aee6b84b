"""What `notify` shows: of each route what it has done, and what it has still to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.monitoring.collector import Samples
    from streams.notify.notifier import Notifier


def of_notifier(notifier: Notifier) -> Samples:
    """Everything of a notifier."""
    for courier in notifier.couriers:
        route, delivery, held = courier.route.name, courier.delivery, courier.held
        for outcome, count in delivery.ends.items():
            yield "notify_events", (route, outcome), count
        for outcome, count in delivery.attempts.items():
            yield "notify_attempts", (route, outcome), count
        yield "notify_request_seconds", (route,), delivery.request_s
        yield "notify_open_events", (route,), sum(one.open for one in held.values())
        yield "notify_oldest_open_seconds", (route,), max((one.oldest_s for one in held.values()), default=0.0)
        for number, one in held.items():
            if one.lag is not None:
                yield "notify_lag_records", (route, str(number)), one.lag
