"""Read, check, hash and print the churn definition, the content of churn.toml.

The user defines churn. A definition is either an event (`EventDefinition`) or the absence of events
(`InactivityDefinition`). A label is 1 if any primary definition is met after the snapshot: its event occurs within the
horizon, or none of its events occurs within its `for`. Both are counted from the snapshot.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from models.definition.alert_keys import ALERT_KEYS, read_alerts
from models.definition.competing_risks import INVOLUNTARY, INVOLUNTARY_HORIZON_MS, Involuntary
from models.definition.event_mapping import EventMapping, events_toml, names_of, read_events
from models.definition.goals import Goal, goal_toml, read_goals
from models.definition.named_definition import (
    ANY_ACTIVITY,
    Definition,
    EventDefinition,
    InactivityDefinition,
    definition_toml,
    read_definitions,
)
from models.definition.predicate import Scalar
from models.definition.toml_table import DefinitionError, Table, read_toml, shown, write_span, write_value, wrong
from models.definition.value_settings import DEFAULTS, ValueSettings, read_value_settings
from models.definition.value_settings import KEYS as VALUE_KEYS
from models.duration import DAY_MS, HOUR_MS, SECOND_MS
from models.events.event_names import EventNames

HORIZON_MS: Final = 30 * DAY_MS  # the window in which most retention teams can act
GRACE_MS: Final = 2 * DAY_MS  # mobile clients deliver up to two days late
SNAPSHOT_EVERY_MS: Final = 7 * DAY_MS  # a week evens out weekday rhythms
SCORE_EVERY_MS: Final = 1 * HOUR_MS  # limits a busy customer to 24 regular scores a day
PROFILE_AFTER_MS: Final = 400 * DAY_MS  # covers customers who are billed or return once a year, plus a month
ANONYMOUS_AFTER_MS: Final = 90 * DAY_MS  # visitors' cookies are rarely older
POPULATION_HALF_LIFE_MS: Final = 3 * DAY_MS  # a holiday must reach the baseline within days, or it looks like churn
PENDING_MAX: Final = 64  # snapshots per customer that wait for their label: bounds the profile
HASH_DIGITS: Final = 12  # 48 bits: among a thousand definitions, two share a hash once in 500 million
TABLES: Final = ("churn", "label", "snapshot", "score", "population", "profile", "value", "goals", "events", "alerts")


@dataclass(frozen=True)
class ChurnDefinition:
    """The effective content of churn.toml, normalised: files with equal meaning give equal values and hashes."""

    definitions: tuple[Definition, ...]  # sorted by name
    primary: tuple[str, ...]  # names, sorted
    version: int = 1
    horizon_ms: int = HORIZON_MS
    grace_ms: int = GRACE_MS
    snapshot_every_ms: int = SNAPSHOT_EVERY_MS
    score_every_ms: int = SCORE_EVERY_MS
    population_half_life_ms: int = POPULATION_HALF_LIFE_MS
    profile_after_ms: int = PROFILE_AFTER_MS
    anonymous_after_ms: int = ANONYMOUS_AFTER_MS
    value: ValueSettings = DEFAULTS
    alerts: tuple[tuple[str, Scalar], ...] = ()  # checked and normalised; the alert policy reads them
    involuntary: Involuntary | None = None  # the label of involuntary churn; None: one label, one probability
    goals: tuple[Goal, ...] = ()  # sorted by name
    events: tuple[EventMapping, ...] = ()  # the user's own event names, sorted

    @classmethod
    def parse(cls, text: str) -> ChurnDefinition:
        """Read the text of a churn.toml. Raises `DefinitionError`, and nothing else."""
        return _read(read_toml(text))

    def named(self, name: str) -> Definition:
        """Return the definition of this name. Raises KeyError."""
        return self._by_name[name]

    @cached_property
    def names(self) -> EventNames:
        """The event names of this file, for `decode`: listed ones, those of `[events]`, of definitions and of goals."""
        return _names(self.definitions, self.goals, self.events)

    @cached_property
    def primary_definitions(self) -> tuple[Definition, ...]:
        """The definitions that set the label to 1."""
        return tuple(self._by_name[name] for name in self.primary)

    @cached_property
    def eligibility(self) -> tuple[InactivityDefinition, ...]:
        """Inactivity definitions that limit snapshots to customers who were active by one of them; empty: no limit."""
        return tuple(each for each in self.primary_definitions if isinstance(each, InactivityDefinition))

    @cached_property
    def by_event(self) -> dict[str, tuple[EventDefinition, ...]]:
        """Event name to the definitions to check with `matches`. Most event names have none."""
        by_event: dict[str, tuple[EventDefinition, ...]] = {}
        for definition in self.definitions:
            if isinstance(definition, EventDefinition):
                by_event[definition.event] = (*by_event.get(definition.event, ()), definition)
        return by_event

    @property
    def longest_horizon_ms(self) -> int:
        """The horizon after which all labels of a snapshot are decided."""
        return self.horizon_ms if self.involuntary is None else max(self.horizon_ms, self.involuntary.horizon_ms)

    @property
    def release_after_ms(self) -> int:
        """Time from snapshot to release of its training example: the longest horizon plus grace, for every label."""
        return self.longest_horizon_ms + self.grace_ms

    @cached_property
    def hash(self) -> str:
        """Short hex digest of the whole effective content, independent of order and notation in the file.

        [profile] and [value] are part of it only if they differ from the defaults, because topics hold hashes from
        before these tables existed.
        """
        default_profile = (self.profile_after_ms, self.anonymous_after_ms) == (PROFILE_AFTER_MS, ANONYMOUS_AFTER_MS)
        return _digest(self._print(with_profile=not default_profile, with_value=self.value != DEFAULTS))

    @cached_property
    def label_hash(self) -> str:
        """Short hex digest of the label's meaning: primary definitions, `[events]`, horizon, grace and version.

        `[events]` is part of it because it decides which events are churn, and which are activity. Alert and scoring
        settings are not part of it: they may change, and earlier labels stay comparable.
        """
        meaning: list[Any] = [self.version, self.horizon_ms, self.grace_ms]
        meaning += map(definition_toml, self.primary_definitions)
        if self.involuntary is not None:
            definitions = [definition_toml(self._by_name[name]) for name in self.involuntary.definitions]
            meaning += [INVOLUNTARY, self.involuntary.horizon_ms, definitions]
        meaning += events_toml(self.events)
        return _digest(json.dumps(meaning))

    @cached_property
    def state_hash(self) -> str:
        """Short hex digest of all definitions, which determine the layout of profiles.

        A worker does not read state with another hash.
        """
        return _digest(json.dumps([self.label_hash, *map(definition_toml, self.definitions)]))

    def to_toml(self) -> str:
        """Print the effective definition with every default. `parse` reads it back to an equal value."""
        return self._print(with_profile=True, with_value=True)

    def _print(self, *, with_profile: bool, with_value: bool) -> str:
        lines = ["[churn]", f"version = {self.version}"]
        for definition in self.definitions:
            lines += ["", *definition_toml(definition)]
        lines += ["", "[label]", f"primary = {write_value(self.primary)}", f"horizon = {write_span(self.horizon_ms)}"]
        lines += [f"grace = {write_span(self.grace_ms)}"]
        if self.involuntary is not None:
            lines += ["", "[label.involuntary]", f"definitions = {write_value(self.involuntary.definitions)}"]
            lines += [f"horizon = {write_span(self.involuntary.horizon_ms)}"]
        lines += ["", "[snapshot]", f"every = {write_span(self.snapshot_every_ms)}"]
        lines += ["", "[score]", f"every = {write_span(self.score_every_ms)}"]
        lines += ["", "[population]", f"half_life = {write_span(self.population_half_life_ms)}"]
        if with_profile:
            lines += ["", "[profile]", f"after = {write_span(self.profile_after_ms)}"]
            lines += [f"anonymous_after = {write_span(self.anonymous_after_ms)}"]
        if with_value:
            lines += ["", *self.value.to_toml()]
        for goal in self.goals:
            lines += ["", *goal_toml(goal)]
        if self.events:
            lines += ["", *events_toml(self.events)]
        if self.alerts:
            lines += ["", "[alerts]", *(f"{key} = {write_value(value)}" for key, value in self.alerts)]
        return "\n".join(lines) + "\n"

    @cached_property
    def _by_name(self) -> dict[str, Definition]:
        return {definition.name: definition for definition in self.definitions}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def _read(document: dict[str, Any]) -> ChurnDefinition:
    root = Table(document, "", TABLES)
    churn = root.table("churn", ("version", "definitions"))
    label = root.table("label", ("primary", "horizon", "grace", "involuntary"))
    profile = root.table("profile", ("after", "anonymous_after"))
    definitions, goals = read_definitions(churn), read_goals(root)
    events = read_events(root, _used(definitions, goals))
    names = _names(definitions, goals, events)
    definitions = tuple(_canonical(definition, names) for definition in definitions)
    involuntary = _read_involuntary(label, definitions)
    effective = ChurnDefinition(
        definitions=definitions,
        primary=_read_primary(label, definitions, () if involuntary is None else involuntary.definitions),
        version=churn.integer("version", 1, 1, 2**31 - 1),
        horizon_ms=label.duration("horizon", HORIZON_MS),
        grace_ms=label.duration("grace", GRACE_MS, zero=True),
        snapshot_every_ms=root.table("snapshot", ("every",)).duration("every", SNAPSHOT_EVERY_MS),
        score_every_ms=root.table("score", ("every",)).duration("every", SCORE_EVERY_MS),
        population_half_life_ms=root.table("population", ("half_life",)).duration("half_life", POPULATION_HALF_LIFE_MS),
        profile_after_ms=profile.duration("after", PROFILE_AFTER_MS),
        anonymous_after_ms=profile.duration("anonymous_after", ANONYMOUS_AFTER_MS),
        value=read_value_settings(root.table("value", VALUE_KEYS)),
        alerts=read_alerts(root.table("alerts", ALERT_KEYS)),
        involuntary=involuntary,
        goals=tuple(replace(goal, event=names.resolve(goal.event).name) for goal in goals),
        events=events,
    )
    _check_spans(effective)
    return effective


def _used(definitions: tuple[Definition, ...], goals: tuple[Goal, ...]) -> set[str]:
    """The event names of definitions and goals."""
    used = {goal.event for goal in goals}
    for definition in definitions:
        used |= {definition.event} if isinstance(definition, EventDefinition) else set(definition.not_performed)
    return used - {ANY_ACTIVITY}


def _names(
    definitions: tuple[Definition, ...], goals: tuple[Goal, ...], events: tuple[EventMapping, ...]
) -> EventNames:
    decisive = {definition.event for definition in definitions if isinstance(definition, EventDefinition)}
    return names_of(events, _used(definitions, goals), decisive)


def _canonical(definition: Definition, names: EventNames) -> Definition:
    """Write the event names of a definition as `decode` gives them."""
    if isinstance(definition, EventDefinition):
        return replace(definition, event=names.resolve(definition.event).name)
    if definition.any_activity:
        return definition
    return replace(definition, not_performed=tuple(sorted({names.resolve(n).name for n in definition.not_performed})))


def _check_spans(definition: ChurnDefinition) -> None:
    for inactivity in definition.eligibility:
        if inactivity.for_ms > definition.horizon_ms:
            raise DefinitionError(
                f"label.horizon = {write_span(definition.horizon_ms)} is wrong: it must be at least "
                f"churn.definitions.{inactivity.name}.for = {write_span(inactivity.for_ms)}, "
                "otherwise that definition can never set a label to 1."
            )
    if -(-definition.release_after_ms // definition.snapshot_every_ms) > PENDING_MAX:
        least_ms = -(-definition.release_after_ms // (PENDING_MAX * SECOND_MS)) * SECOND_MS
        raise DefinitionError(
            f"snapshot.every = {write_span(definition.snapshot_every_ms)} is wrong: it must be at least "
            f"{write_span(least_ms)}, because at most {PENDING_MAX} snapshots of a customer can wait for their label "
            "(longest label horizon + label.grace)."
        )


def _read_primary(label: Table, definitions: tuple[Definition, ...], involuntary: tuple[str, ...]) -> tuple[str, ...]:
    """Read the names of `label.primary`; by default, all definitions but the involuntary ones."""
    primary = _read_names(label, "primary", definitions)
    if primary is None:
        primary = tuple(definition.name for definition in definitions if definition.name not in involuntary)
        if not primary:
            raise DefinitionError(
                "label.involuntary.definitions has every definition of this file: leave at least one for label.primary."
            )
    for name in primary:
        if name in involuntary:
            raise wrong(
                label.at("primary"),
                label.values["primary"],
                f"{shown(name)} is also in label.involuntary.definitions, and a definition belongs to one label",
            )
    return primary


def _read_involuntary(label: Table, definitions: tuple[Definition, ...]) -> Involuntary | None:
    if "involuntary" not in label.values:
        return None
    table = label.table("involuntary", ("definitions", "horizon"))
    of_kind = [definition for definition in definitions if definition.kind == INVOLUNTARY]
    names = _read_names(table, "definitions", definitions)
    for definition in definitions:
        if names is not None and definition.name in names and definition not in of_kind:
            raise wrong(
                table.at("definitions"),
                table.values["definitions"],
                f'{shown(definition.name)} is not of kind = "{INVOLUNTARY}", which only a definition with event can be',
            )
    if not of_kind:
        raise DefinitionError(
            f'{table.path} needs a definition of kind = "{INVOLUNTARY}", such as event = "Subscription Cancelled"'
            ' with where = { reason = "payment_failed" }.'
        )
    names = tuple(definition.name for definition in of_kind) if names is None else names
    return Involuntary(names, table.duration("horizon", INVOLUNTARY_HORIZON_MS))


def _read_names(table: Table, key: str, definitions: tuple[Definition, ...]) -> tuple[str, ...] | None:
    """Read names of definitions of this file, sorted; None if the key is left out."""
    if key not in table.values:
        return None
    known = tuple(definition.name for definition in definitions)
    for name in (names := table.texts(key)):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f", did you mean {near[0]}" if near else ""
            raise wrong(
                table.at(key),
                table.values[key],
                f"{shown(name)} is not a definition of this file{hint} (allowed: {', '.join(known)})",
            )
    return names
