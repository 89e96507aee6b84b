"""Find what a track call's event name means: the canonical name, its row of the taxonomy, and properties to read.

A name is looked up in this order:

1. a name of `[events]` in churn.toml, in any spelling;
2. a listed event or an alias of one, in any spelling;
3. a name that a churn definition or a goal uses, in any spelling;
4. otherwise it keeps its text, and `models.events.taxonomy.meaning` classes it.

Control events are found in every spelling too. No name of steps 1 and 3 can become or hide one, so that publishers
without churn.toml recognise, and sign, exactly the events for which workers require a signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from models.events.aliases import ALIASES, SOURCES
from models.events.near_miss import NearMiss
from models.events.property_source import PropertySource
from models.events.spelling import fold
from models.events.taxonomy import CONTROL_EVENTS, MEANINGS, Meaning, meaning

CALLS: Final = ("page", "screen", "identify", "group", "alias")
"""Types of calls. As names of a track call they match exactly: a product may have an event `Group` or `Page`."""

NAMES_CACHED: Final = 4_096
"""Names kept with their meaning, as they were sent: some 2 MB at most. Products have tens to hundreds of names."""


class EventRule(NamedTuple):
    """What an event name means.

    Attributes:
        name: The canonical name; an unlisted name as it was sent.
        meaning: Its row of the taxonomy.
        sources: Properties to set.
    """

    name: str
    meaning: Meaning
    sources: tuple[PropertySource, ...] = ()


def _built_in() -> dict[str, EventRule]:
    rules = {fold(name): EventRule(name, row) for name, row in MEANINGS.items() if name not in CALLS}
    for alias, name in ALIASES.items():
        rules[fold(alias)] = EventRule(name, MEANINGS[name], SOURCES.get(alias, ()))
    return rules


_BUILT_IN: Final = _built_in()
_CALL_RULES: Final = {name: EventRule(name, MEANINGS[name]) for name in CALLS}


class EventNames:
    """The event names of a churn.toml, on top of the listed ones.

    >>> names = EventNames()
    >>> names.resolve("order_completed").name, names.resolve("Level Finished").name, names.near("Subscripton Cancelled")
    ('Order Completed', 'Level Finished', 'Subscription Cancelled')

    Args:
        rules: Names of `[events]` with their rules. A rule of a listed event also applies to its aliases.
        used: Names that definitions and goals use. An unlisted one is recognised in every spelling.
        decisive: Names whose near misses are reported, besides the listed decisive events and control events.

    Attributes:
        cached: Names that were resolved, in the spelling in which they were sent, and the types of calls.
    """

    def __init__(
        self, rules: Mapping[str, EventRule] | None = None, used: Iterable[str] = (), decisive: Iterable[str] = ()
    ) -> None:
        self._folded = dict(_BUILT_IN)
        for name in sorted(used):
            if name not in CALLS:
                self._folded.setdefault(fold(name), EventRule(name, meaning(name)))
        own = {fold(name): rule for name, rule in (rules or {}).items()}
        for alias, listed in _BUILT_IN.items():  # an alias follows its listed event
            if (rule := own.get(fold(listed.name))) is not None and alias not in own:
                own[alias] = rule._replace(sources=(*listed.sources, *rule.sources))
        self._folded.update(own)
        self.cached = dict(_CALL_RULES)
        watched = {name for name, row in MEANINGS.items() if row.decisive} | CONTROL_EVENTS
        self._near = NearMiss({*watched, *(self.resolve(name).name for name in decisive)})
        self._near_cache: dict[str, str | None] = {}

    def resolve(self, name: str) -> EventRule:
        """Return what a name means. The result depends on the name only; it is cached."""
        rule = self.cached.get(name)
        if rule is None:
            rule = self._folded.get(fold(name)) or EventRule(name, meaning(name))
            if len(self.cached) >= NAMES_CACHED:
                self.cached = dict(_CALL_RULES)
            self.cached[name] = rule
        return rule

    def is_listed(self, name: str) -> bool:
        """Check whether a name is a call type, listed, an alias, of `[events]`, or used by a definition or goal."""
        return name in CALLS or fold(name) in self._folded

    def near(self, name: str) -> str | None:
        """Return the decisive event that an unlisted name nearly is; None for a listed name, or without one."""
        if name in self._near_cache:
            return self._near_cache[name]
        found = None if self.is_listed(name) else self._near.find(name)
        if len(self._near_cache) >= NAMES_CACHED:
            self._near_cache.clear()
        self._near_cache[name] = found
        return found


LISTED: Final = EventNames()
"""The names that need no churn.toml."""


def near(name: str) -> str | None:
    """Return the decisive event that an unlisted name nearly is, without a churn.toml.

    >>> near("Cancelled Subscription"), near("Level Finished"), near("subscription_cancelled")
    ('Subscription Cancelled', None, None)
    """
    return LISTED.near(name)


__all__ = ["CALLS", "LISTED", "NAMES_CACHED", "EventNames", "EventRule", "near"]
