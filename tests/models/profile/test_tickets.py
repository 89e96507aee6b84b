"""Tickets as objects."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from models.events.event import Event
from models.features.catalogue import NAMES, features
from models.profile.apply import apply
from models.profile.mergeable import HOUR_MS
from models.profile.schema import TICKETS_KEPT, Feedback, Profile
from tests.models.histories import START_MS, event, profile_of


def ticket(hour: float, kind: str, ticket_id: Any = None, /, **properties: Any) -> Event:
    if ticket_id is not None:
        properties["ticket_id"] = ticket_id
    return event(f"Ticket {kind}", START_MS + round(hour * HOUR_MS), **properties)


def value(profile: Profile, name: str) -> float:
    scored = float(features([profile], [profile.newest_ms])[0, NAMES.index(name)])
    return float(np.expm1(scored))


def open_tickets(*events: Event) -> float:
    found = {round(value(profile_of(each), "tickets_open"), 6) for each in itertools.permutations(events)}
    assert len(found) == 1, "the order of the events matters"
    return found.pop()


def test_ticket_that_is_solved_twice_is_one_solved_ticket() -> None:
    """Rule: the second solution closes no other ticket, and the newest solution's time counts."""
    solved = [ticket(hour, "Solved", "a", resolution_seconds=hour * 3600) for hour in (1, 5)]
    events = ticket(0, "Created", "a"), *solved, ticket(6, "Created", "b")
    assert open_tickets(*events) == 1
    assert value(profile_of(events), "time_to_solve_hours") == pytest.approx(5)


def test_log_may_begin_in_the_middle_of_the_life_of_a_ticket() -> None:
    """Rule: solving a ticket that was never seen changes no other; reopening or updating one shows that it is open."""
    unseen = [ticket(hour, "Solved", f"old-{hour}") for hour in range(3)]
    assert open_tickets(*unseen) == 0
    assert open_tickets(*unseen, ticket(9, "Created", "new")) == 1
    assert open_tickets(*unseen[:2], ticket(9, "Created")) == 1
    assert open_tickets(ticket(0, "Reopened", "a"), ticket(0, "Updated", "b"), ticket(3, "Updated", "c")) == 3


def test_newest_event_decides_whether_a_ticket_is_open() -> None:
    """Rule: an update after the solution does not reopen a ticket."""
    created, solved = ticket(0, "Created", "a"), ticket(1, "Solved", "a")
    assert open_tickets(created, solved, ticket(2, "Reopened", "a")) == 1
    assert open_tickets(created, solved, ticket(2, "Updated", "a")) == 0
    assert open_tickets(ticket(5, "Created", "a"), ticket(5, "Solved", "a")) == 0


def test_tickets_above_the_limit_are_summed() -> None:
    """Rule: open tickets stay in the set before solved ones; a solution of one that left it closes one."""
    created = [ticket(n, "Created", n + 1) for n in range(TICKETS_KEPT + 4)]
    profile = profile_of(created)
    assert profile.feedback is not None
    assert (len(profile.feedback.tickets), profile.feedback.tickets_left) == (TICKETS_KEPT, 4)
    assert value(profile, "tickets_open") == pytest.approx(TICKETS_KEPT + 4)
    solved = [ticket(99, "Solved", 1), ticket(99, "Solved", TICKETS_KEPT + 4)]
    assert value(profile_of([*created, *solved]), "tickets_open") == pytest.approx(TICKETS_KEPT + 2)


def test_tickets_without_an_id_are_a_balance() -> None:
    """Rule: it is never below zero, and independent of the tickets with an id."""
    assert open_tickets(ticket(0, "Created"), ticket(1, "Created"), ticket(2, "Solved")) == 1
    assert open_tickets(ticket(0, "Solved"), ticket(1, "Solved")) == 0
    assert open_tickets(ticket(0, "Solved"), ticket(1, "Solved"), ticket(2, "Created", "a")) == 1


def test_tickets_counted_before_ids_were_read_are_closed_by_their_solution() -> None:
    """Rule: state of earlier releases keeps its meaning, and later solutions with an id close its tickets."""
    profile = profile_of([ticket(0, "Created"), ticket(0, "Created")])
    assert profile.feedback is not None
    profile.feedback = Feedback(ticket_ms=profile.feedback.ticket_ms)
    assert value(profile, "tickets_open") == pytest.approx(2)
    for each in (ticket(1, "Solved", "a"), ticket(2, "Created", "b")):
        apply(profile, each)
    assert value(profile, "tickets_open") == pytest.approx(2)


@pytest.mark.parametrize(
    "properties",
    [{"ticket_id": 7}, {"ticketId": "7"}, {"ticket": {"id": 7}}, {"ticket.id": "7"}, {"conversation_id": "7"}],
)
def test_ticket_is_identified_under_the_names_of_help_desks(properties: dict[str, Any]) -> None:
    """Rule: Zendesk, Intercom and Segment name the id of a ticket differently."""
    assert open_tickets(event("Ticket Created", START_MS, **properties), ticket(1, "Solved", "7")) == 0


def test_time_that_is_no_time_is_noted() -> None:
    """Rule: a solution that took negative or unreadable time has no time, and the property is noted."""
    late = ticket(0, "Solved", "a", resolution_seconds=-5)
    text = ticket(0, "Solved", "b", resolution_seconds="soon")
    future = ticket(0, "Solved", "c", created_at="2030-01-01")
    assert np.isnan(value(profile_of([late, text, future]), "time_to_solve_hours"))
    noted = [["resolution_seconds"], ["resolution_seconds"], ["created_at"]]
    assert [each.unreadable for each in (late, text, future)] == noted
