"""Simulated usage events: sign-up, onboarding, sessions, orders, automated calls, mails and referrals."""

from typing import Final

import numpy as np

from models.simulation.calendar import DAY_MS
from models.simulation.customer import BILLING_DAYS, KINDS, draw
from models.simulation.day import SimulatedDay, body, track
from models.simulation.population import FEATURES, PLANS, SEGMENTS, SOURCES, STEPS, TRIAL_DAYS

ACCOUNT_SIZE: Final = 4
PAGES: Final = ("Home", "Docs", "Settings", "Pricing", "Help")

_SESSION: Final = track("Session Started")
_GOAL: Final = track("Goal Completed", {"goal": "result"})
_EXPORT: Final = track("Feature Used", {"feature": "export"})
_ERROR: Final = track("Error Shown")
_USED: Final = tuple(track("Feature Used", {"feature": name}) for name in FEATURES)
_PAGE: Final = tuple(body("page", name=name, properties={"path": f"/{name.lower()}"}) for name in PAGES)
_API_CALL: Final = track("Feature Used", {"feature": "api"}, context={"active": False})
_MAIL: Final = {
    name: track(f"Email {name}", {"template": "weekly"}) for name in ("Sent", "Opened", "Clicked", "Unsubscribed")
}


def arrivals(day: SimulatedDay) -> None:
    """Draft sign-ups of new customers; existing customers are identified in the first hour of the simulation."""
    first = day.number == 0
    people = day.people
    rows = np.flatnonzero((people["signed_up"] == day.number) | first)
    for row in rows.tolist():
        person, steps = people[row], []
        subscribed = person["subscriber"] and (first or person["anchor"] == day.number)
        if person["signed_up"] == day.number:
            steps.append(track("Signed Up", {"source": SOURCES[person["source"]]}))
        traits = {"segment": SEGMENTS[person["segment"]], "source": SOURCES[person["source"]]}
        if person["subscriber"]:
            traits["plan"] = PLANS[person["plan"]][0]
        steps.append(body("identify", traits={**traits, "createdAt": day.date_time(person["signed_up"] - day.number)}))
        if person["segment"]:
            account = f"a{person['number'] // ACCOUNT_SIZE:05d}"
            steps.append(body("group", groupId=account, traits={"seats": ACCOUNT_SIZE}))
        if subscribed:
            steps.append(_started(day, row))
        elif person["subscriber"]:
            steps.append(track("Trial Started", {"trial_end": day.date_time(TRIAL_DAYS)}))
        begin = person["begin_ms"] or (person["number"] % 3600) * 1000
        day.add(np.full(len(steps), row), steps, begin + 250 * np.arange(len(steps)))


def _started(day: SimulatedDay, row: int) -> str:
    period = BILLING_DAYS - (day.number - int(day.people["anchor"][row])) % BILLING_DAYS
    return track("Subscription Started", {**day.price(row), "period_end": day.date_time(period)})


def conversions(day: SimulatedDay) -> None:
    """Draft the start of the subscription at the end of a trial, for customers still present."""
    people = day.people
    begins = people["subscriber"] & (people["anchor"] == day.number) & (people["signed_up"] < day.number)
    rows = np.flatnonzero(begins & (people["signed_up"] >= 0))
    day.add(rows, [_started(day, row) for row in rows.tolist()], 1000)


def onboarding(day: SimulatedDay) -> None:
    """Draft the onboarding steps of new customers in their first weeks, fewer in states of low activity."""
    people = day.people
    new = (people["signed_up"] >= 0) & (people["steps"] < len(STEPS)) & (day.number - people["signed_up"] < 45)
    rows = day.some(0.25 * day.calendar_activity * day.rates["activity"] ** 2, new)
    steps = people["steps"][rows].tolist()
    total = len(STEPS)
    day.add(rows, [track("Onboarding Step Completed", {"step": STEPS[n], "steps_total": total}) for n in steps])
    people["steps"][rows] += 1


def sessions(day: SimulatedDay) -> None:
    """Draft sessions: a start, then features, pages and goals; for shop customers mostly pages and orders."""
    people, rng = day.people, day.rng
    rows = day.some(np.minimum(people["rate"] * day.calendar_activity * day.rates["activity"], 0.97))
    starts = day.awake(len(rows))
    day.add(rows, [_SESSION] * len(rows), starts)
    further_events = rng.poisson((people["depth"] * day.rates["depth"])[rows])
    rows, starts = np.repeat(rows, further_events), np.repeat(starts, further_events)
    breadth = np.maximum(people["features"] * day.rates["breadth"], 1)[rows]
    feature = (rng.random(len(rows)) * breadth).astype(np.int64)
    page = (rng.random(len(rows)) * len(PAGES)).astype(np.int64)
    shares = np.where(people["subscriber"][rows][:, None], (0.7, 0.95, 1.0, 1.0), (0.1, 0.7, 0.72, 1.0))
    kinds = draw(shares, rng.random(len(rows)))
    bodies = [
        _USED[f] if kind == 0 else _PAGE[p] if kind == 1 else _GOAL if kind == 2 else ""
        for kind, f, p in zip(kinds.tolist(), feature.tolist(), page.tolist(), strict=True)
    ]
    for i in np.flatnonzero(kinds == 3).tolist():
        revenue = round(float(12 * np.exp(0.8 * rng.standard_normal())) + 3, 2)
        bodies[i] = track("Order Completed", {"revenue": revenue, "currency": "USD"})
    day.add(rows, bodies, starts + (rng.random(len(rows)) * 2_400_000).astype(np.int64) + 1)


def api_calls(day: SimulatedDay) -> None:
    """Draft automated API calls around the clock, independent of the customer's state."""
    counts = day.rng.poisson(3.0, len(day.people)) * (day.people["kind"] == KINDS.index("automated"))
    rows = np.repeat(day.today, counts)
    day.add(rows, [_API_CALL] * len(rows), (day.rng.random(len(rows)) * DAY_MS).astype(np.int64))


def exports_and_errors(day: SimulatedDay) -> None:
    """Draft data exports and error messages, at the rates of the customer's state."""
    for rate, inside in (("exports", _EXPORT), ("errors", _ERROR)):
        rows = day.some(day.rates[rate] * day.calendar_activity)
        day.add(rows, [inside] * len(rows))


def mails(day: SimulatedDay) -> None:
    """Draft one mail a week, on a fixed weekday per customer, and opens, clicks and unsubscribes."""
    people, rng = day.people, day.rng
    sent = np.flatnonzero(((people["number"] + day.number) % 7 == 0) & people["mails"])
    day.add(sent, [_MAIL["Sent"]] * len(sent), 21_600_000)
    opened = sent[rng.random(len(sent)) < day.rates["opens"][sent]]
    at = 23_400_000 + (rng.random(len(opened)) * 36_000_000).astype(np.int64)
    day.add(opened, [_MAIL["Opened"]] * len(opened), at)
    clicked = rng.random(len(opened)) < 0.25
    day.add(opened[clicked], [_MAIL["Clicked"]] * int(clicked.sum()), at[clicked] + 20_000)
    unsubscribed = rng.random(len(sent)) < np.where(day.rates["opens"][sent] < 0.35, 0.02, 0.002)
    day.add(sent[unsubscribed], [_MAIL["Unsubscribed"]] * int(unsubscribed.sum()), 61_200_000)
    people["mails"][sent[unsubscribed]] = False


def referrals(day: SimulatedDay) -> None:
    """Draft referrals; one in four converts."""
    rows = day.some(day.rates["refers"] * day.calendar_activity)
    at = day.awake(len(rows))
    day.add(rows, [track("Referral Sent")] * len(rows), at)
    converted = day.rng.random(len(rows)) < 0.25
    day.add(rows[converted], [track("Referral Converted")] * int(converted.sum()), at[converted] + 3_600_000)
