"""`[goals.NAME]` of churn.toml: which events reach a goal, when a customer reached it first, and the time to value.

Time to value runs from the sign-up to the first event that reaches the goal. Without a sign-up it starts at the
customer's first event. A profile keeps the first time, the last time and the count per goal. None of these depends on
the order of events.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from models.definition.named_definition import check_names
from models.definition.predicate import Where, matches, read_where, where_toml
from models.definition.toml_table import Table, write_span, write_value, wrong
from models.duration import rfc3339
from models.events.event import Event
from models.profile import sections
from models.profile.mergeable import DAY_MS, HOUR_MS, reach
from models.profile.schema import NEVER_MS, REACHED_KEPT, Journey, Profile, Reached
from models.profile.subscription import plan_of

GOAL_KEYS: Final = ("event", "where", "within")
GOALS_MAX: Final = 8  # bounds a profile and the sums of a partition
KEY_DIGITS: Final = 8
MINUTE_MS: Final = 60_000

# Upper ends of the bins of a time to value: quarters of a doubling, from a fifth of an hour to two years
BIN_ENDS: Final = tuple(round((2 ** (n / 4) - 1) * HOUR_MS) for n in range(1, 58))
BINS: Final = len(BIN_ENDS) + 1

NOT_YET, LATE, IN_TIME = range(3)
_START_EFFECTS: Final = frozenset({"signed_up", "traits", "subscription"})
"""Effects that may change when a customer started, or their plan."""


@dataclass(frozen=True, slots=True)
class Goal:
    """An event that means success, `[goals.NAME]` of churn.toml."""

    name: str
    event: str
    where: Where = ()
    within_ms: int = 0
    """The target for the time to value, 0 for none."""

    @property
    def key(self) -> int:
        """The key in profiles. The same name with another event is another goal."""
        text = json.dumps([self.name, self.event, self.where])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")

    @property
    def label(self) -> str:
        """The label in aggregates: name and key.

        >>> Goal("report", "Report Shared").label
        'report@66bd21a3'
        """
        return f"{self.name}@{self.key:0{KEY_DIGITS}x}"


class GoalFacts(msgspec.Struct, gc=False, frozen=True):
    """A customer's status on a goal. `days` is the time to value, `definition` the hash of the goal's definition."""

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
    """The goals of a churn.toml.

    >>> bool(Goals(())), Goals([Goal("report", "Report Shared")]).event_names
    (False, frozenset({'Report Shared'}))
    """

    def __init__(self, declared: Sequence[Goal]) -> None:
        self.declared = tuple(declared)
        self.event_names = frozenset(goal.event for goal in declared)
        self._keyed = tuple((goal, goal.key, goal.label) for goal in declared)
        self._keys = frozenset(key for _, key, _ in self._keyed)

    def __bool__(self) -> bool:
        return bool(self.declared)

    def may_change(self, profile: Profile, event: Event, effect: str) -> bool:
        """Check whether an event, not yet applied, may change the customer's contributions. Few events do."""
        if event.name in self.event_names and self._reached_by(event):
            return True
        return effect in _START_EFFECTS or event.traits is not None or event.time_ms < profile.first_ms

    def _reached_by(self, event: Event) -> list[int]:
        """Return the keys of the goals that an event reaches."""
        name, properties = event.name, event.properties
        return [key for goal, key, _ in self._keyed if goal.event == name and matches(goal.where, properties)]

    def record(self, profile: Profile, event: Event) -> bool:
        """Record in the profile that the event reached goals; False if it reached none."""
        reached = self._reached_by(event)
        for key in reached:
            journey = sections.journey(profile)
            if len(journey.reached) >= REACHED_KEPT:  # drop goals that are no longer declared
                journey.reached = [entry for entry in journey.reached if entry[0] in self._keys]
            reach(journey.reached, (key, event.time_ms, event.time_ms, 1))
        return bool(reached)

    def contributions(self, profile: Profile) -> tuple[tuple[str, str, int, int], ...]:
        """Return the customer's part of the times to value, per goal reached: (plan, label, bin, whole minutes).

        The target is not part of it, because it may change while the sums remain.
        """
        journey = profile.journey
        if journey is None or not journey.reached:
            return ()
        plan = plan_of(profile.identity, profile.subscription)
        contributions = []
        for _, key, label in self._keyed:
            if (entry := _entry(journey, key)) is not None:
                took_ms = entry[1] - start_ms(journey, profile.first_ms, entry[1])
                contributions.append((plan, label, bin_of(took_ms), took_ms // MINUTE_MS))
        return tuple(contributions)

    def statuses(self, journey: Journey | None, first_ms: int) -> list[tuple[str, int]]:
        """Return each goal's label and the customer's status: `NOT_YET`, `LATE` or `IN_TIME`."""
        statuses = []
        for goal, key, label in self._keyed:
            entry = None if journey is None else _entry(journey, key)
            if journey is None or entry is None:
                statuses.append((label, NOT_YET))
            else:
                took_ms = entry[1] - start_ms(journey, first_ms, entry[1])
                statuses.append((label, LATE if goal.within_ms and took_ms > goal.within_ms else IN_TIME))
        return statuses

    def facts(self, journey: Journey | None, first_ms: int) -> list[GoalFacts]:
        """Return the customer's status on each goal, as published in score records."""
        facts = []
        for goal, key, label in self._keyed:
            target = goal.within_ms / DAY_MS if goal.within_ms else None
            entry = None if journey is None else _entry(journey, key)
            if journey is None or entry is None:
                facts.append(GoalFacts(goal.name, label.rpartition("@")[2], False, 0, None, None, None, target, None))
                continue
            _, first, last, times = entry
            took_ms = first - start_ms(journey, first_ms, first)
            in_time = took_ms <= goal.within_ms if goal.within_ms else None
            days = round(took_ms / DAY_MS, 2)
            when = rfc3339(first), rfc3339(last)
            facts.append(GoalFacts(goal.name, label.rpartition("@")[2], True, times, *when, days, target, in_time))
        return facts


def read_goals(root: Table) -> tuple[Goal, ...]:
    """Read `[goals]`, sorted by name. Raises `DefinitionError`."""
    tables = root.values.get("goals", {})
    if not isinstance(tables, dict) or len(tables) > GOALS_MAX:
        raise wrong("goals", tables, f"it must be up to {GOALS_MAX} tables such as [goals.first_report]")
    check_names(tables, "goals")
    goals = []
    for name in sorted(tables):
        table = Table(tables[name], f"goals.{name}", GOAL_KEYS)
        table.required("event", "the name of an event")
        goals.append(Goal(name, table.text("event"), read_where(table), table.duration("within", 0)))
    return tuple(goals)


def goal_toml(goal: Goal) -> list[str]:
    """The lines of a goal in TOML."""
    lines = [f"[goals.{goal.name}]", f"event = {write_value(goal.event)}", *where_toml(goal.where)]
    return [*lines, *([f"within = {write_span(goal.within_ms)}"] if goal.within_ms else [])]


def start_ms(journey: Journey, first_ms: int, reached_ms: int) -> int:
    """Return the start of the customer's time to value; never after the goal was reached."""
    return min(journey.signed_up_ms if journey.signed_up_ms != NEVER_MS else first_ms, reached_ms)


def bin_of(took_ms: int) -> int:
    """Return the bin of a time to value.

    >>> bin_of(0), bin_of(HOUR_MS), bin_of(365 * DAY_MS), bin_of(9999 * DAY_MS) == BINS - 1
    (0, 4, 52, True)
    """
    return bisect_right(BIN_ENDS, took_ms)


def median_days_to_goal(counts: dict[int, int]) -> float | None:
    """Estimate the median of a histogram of times to value in days, linearly within its bin; None if it is empty.

    >>> median_days_to_goal({}), round(median_days_to_goal({bin_of(DAY_MS): 1, bin_of(9 * DAY_MS): 2}), 1)
    (None, 9.4)
    """
    half, below = sum(counts.values()) / 2, 0
    for index in sorted(counts):
        count = counts[index]
        if count > 0 and below + count >= half:
            low = BIN_ENDS[index - 1] if index else 0
            high = BIN_ENDS[min(index, BINS - 2)]
            return (low + (high - low) * (half - below) / count) / DAY_MS
        below += count
    return None


def _entry(journey: Journey, key: int) -> Reached | None:
    for entry in journey.reached:
        if entry[0] == key:
            return entry
    return None
