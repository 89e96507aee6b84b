"""Goals that the user declares: which events reach them, when a customer first did, and how long that took.

Time to value runs from the sign-up, or from the first event of whoever never signed up, to the first event that
reaches the goal. Kept of a customer: per goal the first and the last time, and how often. All of it is free of order.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from models.definition.predicate import Where, matches
from models.duration import rfc3339
from models.events.event import Event
from models.profile import sections as parts
from models.profile.mergeable import DAY_MS, HOUR_MS, reach
from models.profile.schema import NEVER_MS, REACHED_KEPT, Journey, Profile, Reached

GOALS_MAX: Final = 8  # declared at a time: a profile and the sums of a partition are bounded
KEY_DIGITS: Final = 8
MINUTE_MS: Final = 60_000

# Upper ends of the bins of a time to value: quarters of a doubling, from an hour's fifth to two years
BIN_ENDS: Final = tuple(round((2 ** (n / 4) - 1) * HOUR_MS) for n in range(1, 58))
BINS: Final = len(BIN_ENDS) + 1

NOT_YET, LATE, IN_TIME = range(3)
_BEGINNINGS: Final = frozenset({"signed_up", "traits", "subscription"})
"""Effects that may say when a customer began, or of which plan they are."""


@dataclass(frozen=True, slots=True)
class Goal:
    """An event that means success, `[goals.NAME]` of churn.toml."""

    name: str
    event: str
    where: Where = ()
    within_ms: int = 0
    """The time to value that is aimed at, 0 for none."""

    @property
    def key(self) -> int:
        """What it is kept under: another event under the same name is another goal."""
        text = json.dumps([self.name, self.event, self.where])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    @property
    def label(self) -> str:
        """What it is counted under.

        >>> Goal("report", "Report Shared").label
        'report@66bd21a3'
        """
        return f"{self.name}@{self.key:0{KEY_DIGITS}x}"


class GoalFacts(msgspec.Struct, gc=False, frozen=True):
    """How a customer stands to a goal; days are those of the time to value, `definition` the hash of what it means."""

    name: str
    definition: str
    reached: bool
    times: int
    first: str | None
    last: str | None
    days: float | None
    target_days: float | None
    in_time: bool | None


class Goals:
    """The declared goals of a churn.toml.

    >>> bool(Goals(())), Goals([Goal("report", "Report Shared")]).watched
    (False, frozenset({'Report Shared'}))
    """

    def __init__(self, declared: Sequence[Goal]) -> None:
        self.declared = tuple(declared)
        self.watched = frozenset(goal.event for goal in declared)
        self._keyed = tuple((goal, goal.key, goal.label) for goal in declared)
        self._keys = frozenset(key for _, key, _ in self._keyed)

    def __bool__(self) -> bool:
        return bool(self.declared)

    def concern(self, profile: Profile, event: Event, effect: str) -> bool:
        """Whether an event that is not applied yet may change what the customer contributes: few do."""
        if event.name in self.watched and self._fitting(event):
            return True
        return effect in _BEGINNINGS or event.time_ms < profile.first_ms

    def _fitting(self, event: Event) -> list[int]:
        """Keys of the goals that an event reaches."""
        name, properties = event.name, event.properties
        return [key for goal, key, _ in self._keyed if goal.event == name and matches(goal.where, properties)]

    def note(self, profile: Profile, event: Event) -> bool:
        """Whether the event reached a goal, which is remembered then."""
        hit = self._fitting(event)
        for key in hit:
            journey = parts.journey(profile)
            if len(journey.reached) >= REACHED_KEPT:  # of goals that are no longer declared
                journey.reached = [entry for entry in journey.reached if entry[0] in self._keys]
            reach(journey.reached, (key, event.time_ms, event.time_ms, 1))
        return bool(hit)

    def contributions(self, profile: Profile) -> tuple[tuple[str, str, int, int], ...]:
        """What the customer adds to the population's times to value, for each goal reached: (plan, label, bin, whole
        minutes). What is aimed at is no part of it: it may change while sums stand."""
        journey = profile.journey
        if journey is None or not journey.reached:
            return ()
        identity = profile.identity
        plan = identity.plan[2] if identity is not None and identity.plan is not None else ""
        found = []
        for _, key, label in self._keyed:
            if (entry := _entry(journey, key)) is not None:
                took = entry[1] - began_ms(journey, profile.first_ms, entry[1])
                found.append((plan, label, bin_of(took), took // MINUTE_MS))
        return tuple(found)

    def standing(self, journey: Journey | None, first_ms: int) -> list[tuple[str, int]]:
        """Label of each goal and how the customer stands to it: `NOT_YET`, `LATE` or `IN_TIME`."""
        found = []
        for goal, key, label in self._keyed:
            entry = None if journey is None else _entry(journey, key)
            if journey is None or entry is None:
                found.append((label, NOT_YET))
            else:
                took = entry[1] - began_ms(journey, first_ms, entry[1])
                found.append((label, LATE if goal.within_ms and took > goal.within_ms else IN_TIME))
        return found

    def facts(self, journey: Journey | None, first_ms: int) -> list[GoalFacts]:
        """As readers of scores are told."""
        found = []
        for goal, key, label in self._keyed:
            target = goal.within_ms / DAY_MS if goal.within_ms else None
            entry = None if journey is None else _entry(journey, key)
            if journey is None or entry is None:
                found.append(GoalFacts(goal.name, label.rpartition("@")[2], False, 0, None, None, None, target, None))
                continue
            _, first, last, times = entry
            took = first - began_ms(journey, first_ms, first)
            in_time = took <= goal.within_ms if goal.within_ms else None
            days = round(took / DAY_MS, 2)
            when = rfc3339(first), rfc3339(last)
            found.append(GoalFacts(goal.name, label.rpartition("@")[2], True, times, *when, days, target, in_time))
        return found


def began_ms(journey: Journey, first_ms: int, reached_ms: int) -> int:
    """When the customer's time to value began; never after the goal was reached."""
    return min(journey.signed_up_ms if journey.signed_up_ms != NEVER_MS else first_ms, reached_ms)


def bin_of(took_ms: int) -> int:
    """The bin of a time to value.

    >>> bin_of(0), bin_of(HOUR_MS), bin_of(365 * DAY_MS), bin_of(9999 * DAY_MS) == BINS - 1
    (0, 4, 52, True)
    """
    return bisect_right(BIN_ENDS, took_ms)


def median_days_to_goal(counts: dict[int, int]) -> float | None:
    """The median of a histogram by bins, in days: evenly within its bin; None of nobody.

    >>> median_days_to_goal({}), round(median_days_to_goal({bin_of(DAY_MS): 1, bin_of(9 * DAY_MS): 2}), 1)
    (None, 9.4)
    """
    half, passed = sum(counts.values()) / 2, 0
    for place in sorted(counts):
        count = counts[place]
        if count > 0 and passed + count >= half:
            low = BIN_ENDS[place - 1] if place else 0
            high = BIN_ENDS[min(place, BINS - 2)]
            return (low + (high - low) * (half - passed) / count) / DAY_MS
        passed += count
    return None


def _entry(journey: Journey, key: int) -> Reached | None:
    for entry in journey.reached:
        if entry[0] == key:
            return entry
    return None
