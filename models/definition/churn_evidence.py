"""Find out whether the events of a log can ever meet the churn definitions, and why not.

A definition whose event never occurs makes every label 0, and so does a `where` on a property that events lack. Neither
is an error of a single event, so only counts over a log show it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from models.definition.churn_definition import ChurnDefinition
from models.definition.named_definition import EventDefinition, InactivityDefinition, matches
from models.definition.predicate import matches as where_matches
from models.events.event import Event
from models.events.taxonomy import UNKNOWN, UNKNOWN_PASSIVE

NAMES_MAX: Final = 1_000
"""Different unlisted names that are compared with decisive events. A comparison takes up to 1 ms."""

VALUES_SHOWN: Final = 3
_VALUE_CHARS: Final = 60


def quoted(text: str) -> str:
    r"""Quote a text that a publisher chose, without control characters.

    >>> print(quoted("Plan left"), quoted("a\nb"))
    "Plan left" "a\nb"
    """
    return json.dumps(text, ensure_ascii=not text.isprintable())


class Unmatched(NamedTuple):
    """Why an event that a definition names is no churn: a property, and its value if it has one."""

    event: str
    property: str
    value: str | None


@dataclass
class _Seen:
    """Events of a name that definitions use: all, those without a required property, and those with another value."""

    times: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    values: dict[str, list[str]] = field(default_factory=dict)


class ChurnEvidence:
    """Counts the events of a log that definitions name, those that match none, and near misses of names.

    Attributes:
        events: Events so far.
        unmatched: Events that definitions name, and that match none.
        near: Near misses by name.
    """

    def __init__(self, definition: ChurnDefinition) -> None:
        self._definition = definition
        self._by_event = definition.by_event
        absences = (each for each in definition.definitions if isinstance(each, InactivityDefinition))
        activity = {name for each in absences if not each.any_activity for name in each.not_performed}
        self._seen = {name: _Seen() for name in (*self._by_event, *activity)}
        self._compared: set[str] = set()
        self.events = self.unmatched = 0
        self.near: Counter[str] = Counter()

    def add(self, event: Event) -> Unmatched | None:
        """Count a decoded event; return why it is no churn, if a definition names it and none matches."""
        self.events += 1
        name = event.name
        seen = self._seen.get(name)
        if seen is not None:
            seen.times += 1
            return self._match(event, seen)
        if event.meaning is UNKNOWN or event.meaning is UNKNOWN_PASSIVE:
            self._compare(name)
        return None

    def times(self, name: str) -> int:
        """Return how often an event that a definition names has occurred."""
        return self._seen[name].times

    def resembles(self, name: str) -> str:
        """Return the decisive event that a name of `near` nearly is."""
        return self._definition.names.near(name) or ""

    def _compare(self, name: str) -> None:
        if name in self.near:
            self.near[name] += 1
        elif name not in self._compared and len(self._compared) < NAMES_MAX:
            self._compared.add(name)
            if self._definition.names.near(name) is not None:
                self.near[name] += 1

    def _match(self, event: Event, seen: _Seen) -> Unmatched | None:
        definitions, properties = self._by_event.get(event.name, ()), event.properties
        if not definitions or any(matches(each, event.name, properties) for each in definitions):
            return None
        self.unmatched += 1
        keys = sorted({key for each in definitions for key, _ in each.where})
        for key in keys:
            if properties.get(key) is None:
                seen.missing[key] += 1
                return Unmatched(event.name, key, None)
        # the first property whose value no definition lists; there is none if no definition lists all the values
        listed = {key: [(pair,) for each in definitions for pair in each.where if pair[0] == key] for key in keys}
        unlisted = (key for key in keys if not any(where_matches(where, properties) for where in listed[key]))
        key = next(unlisted, keys[0])
        value = str(properties[key])[:_VALUE_CHARS]
        seen.others[key] += 1
        values = seen.values.setdefault(key, [])
        if value not in values and len(values) < VALUES_SHOWN:
            values.append(value)
        return Unmatched(event.name, key, value)

    def findings(self, *, with_values: bool = True) -> list[str]:
        """Describe in sentences what makes labels wrong, the most serious first; empty if nothing does.

        Args:
            with_values: Quote values of properties. Logs must not contain them.
        """
        return [*self.absent().values(), *self.unmet(with_values=with_values), *self.resembling().values()]

    def absent(self) -> dict[str, str]:
        """Describe definitions none of whose events has occurred: name of the definition to a sentence."""
        found = {}
        for each in self._definition.definitions:
            if isinstance(each, EventDefinition):
                wanted: tuple[str, ...] = (each.event,)
                result = f"churn definition {each.name} is never met"
            else:
                wanted = () if each.any_activity else each.not_performed
                result = f"every customer meets churn definition {each.name}"
            if wanted and not any(self._seen[name].times for name in wanted):
                names = " or ".join(map(quoted, wanted))
                found[each.name] = f"No {names} event occurs, so {result}."
        return found

    def unmet(self, *, with_values: bool) -> list[str]:
        """Describe events that definitions name, and that match none."""
        return [
            sentence
            for name in self._by_event
            for sentence in self._unmatched_findings(name, self._seen[name], with_values=with_values)
        ]

    def resembling(self) -> dict[str, str]:
        """Describe near misses of decisive events: name to a sentence."""
        return {
            name: f"Events {quoted(name)}: {times:,}. The name resembles {quoted(self.resembles(name))}, but does not "
            "count as it: correct it, or map it in [events]."
            for name, times in sorted(self.near.items(), key=lambda item: (-item[1], item[0]))
        }

    def _unmatched_findings(self, name: str, seen: _Seen, *, with_values: bool) -> list[str]:
        by = " and ".join(each.name for each in self._by_event[name])
        found = [
            f"{quoted(name)} events without {key}: {times:,} of {seen.times:,}. Churn definition {by} requires {key}, "
            "so they do not count as churn. If another property has it, map it in [events]."
            for key, times in sorted(seen.missing.items())
        ]
        for key, times in sorted(seen.others.items()):
            values = ", such as " + ", ".join(map(quoted, seen.values[key])) if with_values else ""
            found.append(
                f"{quoted(name)} events with another {key}: {times:,} of {seen.times:,}{values}. Churn definition {by} "
                "does not list it, so they do not count as churn."
            )
        return found


__all__ = ["NAMES_MAX", "ChurnEvidence", "Unmatched", "quoted"]
