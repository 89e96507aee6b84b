"""Simulated subscription events: payments and dunning, renewals, changes of plan, and cancellations."""

from typing import Any

import numpy as np
import numpy.typing as npt

from models.simulation.customer import BILLING_DAYS, EXPIRING, LEAVING, UNPAID
from models.simulation.day import SimulatedDay, body, track
from models.simulation.hazard import renews_on
from models.simulation.population import PLANS


def draw_payments(day: SimulatedDay) -> None:
    """Draft renewals in the first seconds of a period, dunning about every third day, recovery, and changes of card."""
    people = day.people
    unpaid, was_unpaid = UNPAID[people["state"]], UNPAID[people["before"]]
    due = people["subscriber"] & renews_on(people["anchor"], day.number) & ~LEAVING[people["state"]]
    recovered = np.flatnonzero(was_unpaid & ~unpaid)
    day.add(recovered, [_paid(day, row, "Payment Recovered", 700) for row in recovered.tolist()], 5000)
    paid = np.flatnonzero((due & ~unpaid) | (was_unpaid & ~unpaid))
    renewed = [
        track("Subscription Renewed", {**day.price(r), "period_end": _period_end(day, r)}) for r in paid.tolist()
    ]
    day.add(paid, renewed, 6000)
    on_time = np.flatnonzero(due & ~unpaid & ~was_unpaid)
    day.add(on_time, [_paid(day, row, "Payment Succeeded", 400) for row in on_time.tolist()], 4000)
    people["attempt"][~unpaid] = 0
    failed = day.some(np.where(due, 1.0, 0.35), unpaid)
    people["attempt"][failed] += 1
    day.add(failed, [_failed(day, row) for row in failed.tolist()], 5000)
    expiring, was_expiring = EXPIRING[people["state"]], EXPIRING[people["before"]]
    warned = np.flatnonzero(expiring & ~was_expiring)
    warnings = [
        body("identify", traits={"card_expires": day.date_time(_days_to_period_end(day, r))}) for r in warned.tolist()
    ]
    day.add(warned, warnings, 60_000)
    changed = np.flatnonzero((was_expiring | was_unpaid) & ~expiring & ~unpaid)
    card = track("Payment Method Updated", {"card_expires": day.date_time(900)})
    day.add(changed, [card] * len(changed), 3000)


def _days_to_period_end(day: SimulatedDay, row: int) -> int:
    return BILLING_DAYS - (day.number - int(day.people["anchor"][row])) % BILLING_DAYS


def _period_end(day: SimulatedDay, row: int) -> str:
    return day.date_time(_days_to_period_end(day, row))


def _paid(day: SimulatedDay, row: int, event: str, card_days: int) -> str:
    """A successful payment. Its card expires in `card_days` days, or before the next payment for an expiring card."""
    expires = _period_end(day, row) if EXPIRING[day.people["state"][row]] else day.date_time(card_days)
    amount = PLANS[day.people["plan"][row]][1]
    return track(event, {"amount": amount, "currency": "USD", "card_expires": expires})


def _failed(day: SimulatedDay, row: int) -> str:
    attempt, amount = int(day.people["attempt"][row]), PLANS[day.people["plan"][row]][1]
    return track("Payment Failed", {"amount": amount, "currency": "USD", "attempt": attempt, "code": "card_declined"})


def subscriptions(day: SimulatedDay) -> None:
    """Draft changes of plan, scheduled and withdrawn cancellations, and renewal dates and meetings of businesses."""
    people, mood = day.people, day.rates["mood"]
    subscribed = people["subscriber"] & (people["anchor"] <= day.number)
    up = day.some(
        np.where(mood > 0.75, 0.0012, 0.0) * day.calendar_activity, subscribed & (people["plan"] < len(PLANS) - 1)
    )
    down = day.some(np.where(day.rates["activity"] < 0.6, 0.004, 0.0003), subscribed & (people["plan"] > 0))
    for rows, step, event in (
        (up, 1, "Subscription Upgraded"),
        (np.setdiff1d(down, up), -1, "Subscription Downgraded"),
    ):
        people["plan"][rows] += step
        day.add(rows, [track(event, day.price(row)) for row in rows.tolist()])
    leaving, was_leaving = LEAVING[people["state"]], LEAVING[people["before"]]
    scheduled = np.flatnonzero(leaving & ~was_leaving & people["subscriber"])
    reasons = [{"period_end": _period_end(day, row), "feedback": day.barrier(row)} for row in scheduled.tolist()]
    day.add(scheduled, [track("Subscription Cancel Scheduled", reason) for reason in reasons], 30_000)
    withdrawn = np.flatnonzero(was_leaving & ~leaving & people["subscriber"])
    day.add(withdrawn, [track("Subscription Cancel Withdrawn")] * len(withdrawn), 30_000)
    business = subscribed & (people["segment"] == 1)
    yearly = np.flatnonzero(business & ((day.number - people["anchor"]) % 360 == 300))
    day.add(yearly, [track("Renewal Due Set", {"due": day.date_time(60)})] * len(yearly), 40_000)
    meetings = day.some(np.where(mood > 0.5, 0.01, 0.003) * day.calendar_activity, business)
    day.add(meetings, [track("Meeting Held")] * len(meetings))


def cancellations(day: SimulatedDay, left: npt.NDArray[np.bool_]) -> None:
    """Draft the last event of subscribers who churn today; `left` (n,) marks all who churn, others become inactive."""
    rows = np.flatnonzero(left & day.people["subscriber"])
    day.add(rows, [_cancelled(day, row) for row in rows.tolist()], day.people["end_ms"][rows])
    day.people["end_ms"][rows] += 1  # events before `end_ms` are kept, and the cancellation is at the end


def _cancelled(day: SimulatedDay, row: int) -> str:
    """A cancellation: after failed payments, a dispute, or by request."""
    if UNPAID[day.people["state"][row]]:
        reason: dict[str, Any] = {"reason": "payment_disputed" if day.rng.random() < 0.08 else "payment_failed"}
    else:
        reason = {"reason": "cancellation_requested", "feedback": day.barrier(row)}
    return track("Subscription Cancelled", {**day.price(row), **reason})
