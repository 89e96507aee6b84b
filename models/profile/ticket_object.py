"""Tickets with an id as objects: which are open, and how long their solutions took.

A ticket that was created, reopened or updated exists, also if the log begins in the middle of its life. The newest
creation, reopening or solution decides whether it is open. Solving a ticket that was never seen changes no other one.

A profile keeps `TICKETS_KEPT` tickets, the open ones first, then the newest. The others are summed. The order of events
does not matter while a customer has no more tickets than that. Events without an id are a balance, never below zero.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

from models.events.coercion import as_number, time_ms
from models.events.event import Event
from models.events.object_ids import ticket_key
from models.events.unreadable import unreadable
from models.profile.mergeable import newest
from models.profile.schema import TICKETS_KEPT, Feedback, TicketObject

SOLVE_MAX_S: Final = 366 * 86_400  # a longer one is that of a forgotten ticket
_CREATED, _CHANGED = range(2)  # places in the life cycle; a solution and a reopening of one time follow the log


class TicketTotals(NamedTuple):
    """What a customer's tickets add up to."""

    open: int
    """Open tickets, except those that only events of earlier releases show."""
    unmatched: int
    """Open tickets that left the bounded set, less solutions of tickets that are not in it."""
    counted: int
    """Balance of the events that are counted in the other numbers."""
    solve_ms: int
    """Time until the ticket was solved, summed over `timed` tickets."""
    timed: int


def ticket_opened(section: Feedback, event: Event) -> None:
    """Open a ticket, by a creation or a reopening."""
    key, at = ticket_key(event.properties), event.time_ms
    if not key:
        section.ticket_balance += 1
        return
    section.tickets_counted += 1
    rank = _CHANGED if event.name == "Ticket Reopened" else _CREATED
    add_ticket(section, TicketObject(key, at, (at, rank, 1), True))


def ticket_shown(section: Feedback, event: Event) -> None:
    """Record a ticket that an update shows; without an id it is unknown which one."""
    if key := ticket_key(event.properties):
        add_ticket(section, TicketObject(key, event.time_ms, None, True))


def ticket_closed(section: Feedback, event: Event) -> None:
    """Close a ticket, and record how long it took. Of a ticket that is solved twice, the newer solution counts."""
    key, at = ticket_key(event.properties), event.time_ms
    solve_ms = _solve_ms(event)
    if key:
        section.tickets_counted -= 1
        solved = None if solve_ms is None else (at, 0, solve_ms)
        add_ticket(section, TicketObject(key, at, (at, _CHANGED, 0), False, solved))
        return
    section.ticket_balance -= 1
    if solve_ms is not None:
        section.solve_ms_sum += solve_ms
        section.solved_timed += 1


def _solve_ms(event: Event) -> int | None:
    stated = event.properties.get("resolution_seconds")
    seconds, name = as_number(stated), "resolution_seconds"
    if seconds is None:
        created = event.properties.get("created_at")
        opened = time_ms(created)
        if opened is not None:
            seconds, name = (event.time_ms - opened) / 1000, "created_at"
        elif stated is None and created is not None:
            name = "created_at"
        elif stated is None:
            return None
    if seconds is None or not 0 <= seconds <= SOLVE_MAX_S:
        unreadable(event, name)
        return None
    return round(seconds * 1000)


def add_ticket(section: Feedback, event: TicketObject) -> None:
    """Merge an event about a ticket, as an object of this event alone, into the set."""
    _add(section.tickets, event)
    _bound_tickets(section)


def merge_tickets(section: Feedback, later: Feedback) -> None:
    """Merge the tickets of a later part of the log into the section, which already has the sums of both parts."""
    section.tickets = list(section.tickets)
    for ticket in later.tickets:
        _add(section.tickets, ticket)
    _bound_tickets(section)


def _add(tickets: list[TicketObject], ticket: TicketObject) -> None:
    index = bisect_left(tickets, ticket.key, key=lambda known: known.key)
    if index == len(tickets) or tickets[index].key != ticket.key:
        tickets.insert(index, ticket)
        return
    known = tickets[index]
    tickets[index] = TicketObject(
        ticket.key,
        max(known.newest_ms, ticket.newest_ms),
        newest(known.state, ticket.state),
        known.seen or ticket.seen,
        newest(known.solved, ticket.solved),
    )


def _bound_tickets(section: Feedback) -> None:
    tickets = section.tickets
    while len(tickets) > TICKETS_KEPT:
        ticket = min(tickets, key=lambda known: (_is_open(known), known.newest_ms, known.key))
        tickets.remove(ticket)
        section.tickets_left += _is_open(ticket) - (not ticket.seen)
        if ticket.solved is not None:
            section.solve_ms_sum += ticket.solved[2]
            section.solved_timed += 1


def _is_open(ticket: TicketObject) -> bool:
    return ticket.seen if ticket.state is None else ticket.state[2] == 1


def ticket_totals(section: Feedback) -> TicketTotals:
    """Add up the tickets of a section."""
    is_open = unmatched = 0
    solve_ms, timed = section.solve_ms_sum, section.solved_timed
    for ticket in section.tickets:
        is_open += _is_open(ticket)
        unmatched += not ticket.seen
        if ticket.solved is not None:
            solve_ms, timed = solve_ms + ticket.solved[2], timed + 1
    return TicketTotals(
        is_open + max(section.ticket_balance, 0),
        section.tickets_left - unmatched,
        section.tickets_counted + section.ticket_balance,
        solve_ms,
        timed,
    )
