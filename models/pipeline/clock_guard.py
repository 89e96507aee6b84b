"""Keeps events with a wrong clock from moving a partition's clock: a jump ahead needs confirmation by other customers.

The clock follows the newest event, and everything that is due by then happens: labels mature, silent customers are
scored, later events are late. One event dated 2099 would end time. So an event further ahead of the clock than the
allowed lateness is held, and the clock moves without it:

1. **Confirmed.** Events of other customers are as far ahead: two customers, and one more for each event since that is
   not. The held events are applied at their own times, in log order, before what follows. In a log in order of time,
   the next event of another customer confirms each jump, however long the feed paused.
2. **Reached.** The clock itself, or the time of receipt in live running, comes within the lateness of the event.
3. **Refuted.** `AGAINST_MAX` events arrived that are not ahead. The event is applied at the clock, marked as clamped.
4. **Full.** More than `HELD_MAX` events are held. If no event contradicts them (a log of one customer), the earliest is
   taken as the clock; otherwise they are refuted.

All of this is a function of the log. Only the time of receipt depends on when the log is read, and it decides alike for
every log in order of time. An event that is wrong by less than the lateness makes no other event too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from models.duration import DAY_MS
from models.events.event import Event
from models.pipeline.effects import OffsetEvent

HELD_MAX: Final = 16
HELD_BYTES: Final = 64 * 1024  # of their properties; what is held is part of the partition's state
AGAINST_MAX: Final = 16
LAST_JUMP_MS: Final = 2 * 366 * DAY_MS  # the longest jump that the last events of a finite log may make unconfirmed

_json = msgspec.json.Encoder().encode
_event = msgspec.json.Decoder(Event).decode


class Admitted(NamedTuple):
    """Events to apply now, in order.

    Attributes:
        events: Of these and earlier inputs; the refuted ones with the time at which they are applied.
        first_ms, newest_ms: For each input, the earliest and the newest time that it admits; 0 if it is held.
        implausible: Number of refuted events.
    """

    events: Sequence[OffsetEvent]
    first_ms: list[int]
    newest_ms: list[int]
    implausible: int


class ClockGuard:
    """Admits the events of one partition, or of one log.

    Args:
        jump_ms: How far an event may be ahead of the clock: the allowed lateness, at least a day.
        begins_at_once: Whether the first event sets the clock unless it was clamped. A log from a file is checked from
            its first event on.

    >>> guard = ClockGuard(DAY_MS)
    >>> log = [("a", 1), ("b", 1), ("c", 900), ("a", 2), ("b", 2)]
    >>> entries = [OffsetEvent(i, Event(c, "page", t * DAY_MS, 0, {}, False, False)) for i, (c, t) in enumerate(log)]
    >>> [entry.event.customer for entry in guard.admit(entries, 0).events], len(guard.held)
    (['a', 'b', 'a', 'b'], 1)
    """

    def __init__(self, jump_ms: int, *, begins_at_once: bool = False) -> None:
        self.jump_ms = max(jump_ms, DAY_MS)
        self.held: list[OffsetEvent] = []
        self.against = 0
        self._bytes = 0
        self._begins_at_once = begins_at_once
        self._clock_ms = 0
        self._out: list[OffsetEvent] = []
        self._implausible = 0

    def admit(self, events: Sequence[OffsetEvent], clock_ms: int, until_ms: int = 0) -> Admitted:
        """Admit the next events.

        Args:
            events: In log order.
            clock_ms: The clock before them.
            until_ms: The time of receipt in live running, 0 in a replay.
        """
        near_ms = max(clock_ms, until_ms) + self.jump_ms
        if not self.held:
            times = [event.time_ms for _, event in events]
            if not times or max(times) <= near_ms:
                return Admitted(events, times, times, 0)
        self._clock_ms, self._out, self._implausible = max(clock_ms, until_ms) if self.held else clock_ms, [], 0
        self._settle()
        first_ms, newest_ms = [], []
        for entry in events:
            before = len(self._out)
            self._admit(entry, until_ms)
            times = [event.time_ms for _, event in self._out[before:]]
            first_ms.append(min(times, default=0))
            newest_ms.append(max(times, default=0))
        return Admitted(self._out, first_ms, newest_ms, self._implausible)

    def finish(self, clock_ms: int, until_ms: int = 0) -> Admitted:
        """Admit what is still held: nothing follows, or has not for a while.

        Args:
            clock_ms: The clock.
            until_ms: The time of receipt; 0 for a log that has ended, whose last events may be `LAST_JUMP_MS` ahead.
        """
        self._clock_ms, self._out, self._implausible = clock_ms, [], 0
        while self.held and not self.against:
            first_ms = min(event.time_ms for _, event in self.held)
            longest_ms = until_ms or (self._clock_ms or first_ms) + LAST_JUMP_MS
            if first_ms > longest_ms:
                break
            self._release(first_ms)
        self._refute()
        return Admitted(self._out, [], [], self._implausible)

    @property
    def waits(self) -> bool:
        """Whether something is held that may be applied when the input is idle: nothing contradicts its time."""
        return bool(self.held) and not self.against and not any(event.clamped for _, event in self.held)

    def copy(self) -> ClockGuard:
        """A guard that can be tried without changing this one."""
        other = ClockGuard(self.jump_ms, begins_at_once=self._begins_at_once)
        other.restore(self.state())
        return other

    def state(self) -> list[Any]:
        """The state for `restore`: data only, bounded."""
        return [self.against, [[offset, _json(event)] for offset, event in self.held]] if self.held else []

    def restore(self, state: list[Any]) -> None:
        """Continue from what `state` returned. Raises msgspec.MsgspecError or ValueError for anything else."""
        if state:
            self.against, held = state
            self.held = [OffsetEvent(offset, _event(event)) for offset, event in held]
            self._bytes = sum(len(event) for _, event in held)

    def _admit(self, entry: OffsetEvent, until_ms: int) -> None:
        at = entry.event.time_ms
        begins = not self._clock_ms and self._begins_at_once and not entry.event.clamped
        if begins or at <= max(self._clock_ms, until_ms) + self.jump_ms:
            self._out.append(entry)
            self._clock_ms = max(self._clock_ms, at)
            self.against += bool(self.held)
        else:
            self.held.append(entry)
            self._bytes += len(_json(entry.event))
        if self.held:
            self._settle()

    def _settle(self) -> None:
        """Release or refute what can be decided."""
        while self.held:
            full = len(self.held) > HELD_MAX or self._bytes > HELD_BYTES
            if min(event.time_ms for _, event in self.held) <= self._clock_ms + self.jump_ms:
                self._release(self._clock_ms)
            elif (level_ms := self._confirmed_ms()) is not None:
                self._release(level_ms)
            elif self.against >= AGAINST_MAX or (full and self.against):
                self._refute()
            elif full:
                self._release(min(event.time_ms for _, event in self.held))
            else:
                return

    def _confirmed_ms(self) -> int | None:
        """The time that enough customers have reached, or None."""
        newest: dict[str, int] = {}
        for _, event in self.held:
            newest[event.customer] = max(newest.get(event.customer, 0), event.time_ms)
        needed = 2 + self.against
        return sorted(newest.values(), reverse=True)[needed - 1] if len(newest) >= needed else None

    def _release(self, level_ms: int) -> None:
        """Admit the held events up to the lateness beyond a time, at their own times and in log order."""
        near_ms = level_ms + self.jump_ms
        released = [entry for entry in self.held if entry.event.time_ms <= near_ms]
        self._keep([entry for entry in self.held if entry.event.time_ms > near_ms])
        self._out += released
        self._clock_ms = max(self._clock_ms, *(event.time_ms for _, event in released))

    def _refute(self) -> None:
        for offset, event in self.held:
            applied = msgspec.structs.replace(event, time_ms=self._clock_ms, clamped=True)
            self._out.append(OffsetEvent(offset, applied))
        self._implausible += len(self.held)
        self._keep([])

    def _keep(self, held: list[OffsetEvent]) -> None:
        self.held, self.against = held, 0
        self._bytes = sum(len(_json(event)) for _, event in held)


def count_late(events: Sequence[OffsetEvent], clock_ms: int, lateness_ms: int) -> int:
    """How many events are too far behind the clock for any label: their snapshots were never taken, or have matured.

    >>> count_late([OffsetEvent(0, Event("c", "page", at, 0, {}, False, False)) for at in (1, 5, 9)], 9, 4)
    1
    """
    since_ms = clock_ms - lateness_ms
    return sum([event.time_ms < since_ms for _, event in events])


class PlausibleLog:
    """The events of a finite log, with plausible times.

    Attributes:
        implausible: Events so far whose time was replaced.
        first_implausible: The number of the first of them among the events of the log, from 1; 0 for none.
        longest_pause_ms: The longest time between two events that follow each other.
        paused_ms: When that pause began.
    """

    def __init__(self, jump_ms: int) -> None:
        self.implausible = self.first_implausible = self.longest_pause_ms = self.paused_ms = 0
        self._guard = ClockGuard(jump_ms)
        self._clock_ms = 0

    def events(self, log: Iterable[Event]) -> Iterator[Event]:
        """Yield the events of the log in order; those that are held later."""
        guard = self._guard
        near_ms = 0
        for number, event in enumerate(log, 1):
            if event.time_ms <= near_ms and not guard.held:
                if event.time_ms > self._clock_ms:
                    self._reach(event.time_ms)
                    near_ms = event.time_ms + guard.jump_ms
                yield event
                continue
            yield from self._note(guard.admit([OffsetEvent(number, event)], self._clock_ms))
            near_ms = self._clock_ms + guard.jump_ms if self._clock_ms else 0
        yield from self._note(guard.finish(self._clock_ms))

    def _note(self, admitted: Admitted) -> list[Event]:
        if admitted.implausible:
            self.implausible += admitted.implausible
            numbers = [number for number, event in admitted.events if event.clamped]
            self.first_implausible = min([self.first_implausible or numbers[0], *numbers])
        for _, event in admitted.events:
            if event.time_ms > self._clock_ms:
                self._reach(event.time_ms)
        return [event for _, event in admitted.events]

    def _reach(self, time_ms: int) -> None:
        pause_ms = time_ms - self._clock_ms
        if pause_ms > self.longest_pause_ms and self._clock_ms:
            self.longest_pause_ms, self.paused_ms = pause_ms, self._clock_ms
        self._clock_ms = time_ms


__all__ = [
    "AGAINST_MAX",
    "HELD_BYTES",
    "HELD_MAX",
    "LAST_JUMP_MS",
    "Admitted",
    "ClockGuard",
    "PlausibleLog",
    "count_late",
]
