"""What churn means: read from the text of churn.toml, checked, hashed, and printed back with all its defaults.

The meaning is the user's choice. A definition is either a named event (`EventDefinition`) or the absence of events
(`InactivityDefinition`); a label is 1 when any of the primary definitions comes true after a snapshot: its event
within the horizon, or none of its events within its `for`, both counted from the snapshot.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from models.definition import competing_risks as causes
from models.definition.competing_risks import Involuntary
from models.definition.goals import GOALS_MAX, Goal
from models.definition.predicate import Scalar, Where
from models.definition.predicate import matches as properties_match
from models.definition.threshold import Threshold
from models.definition.toml_table import (
    DefinitionError,
    Table,
    check_duration,
    read_toml,
    shown,
    write_key,
    write_span,
    write_value,
    wrong,
)
from models.definition.value_settings import DEFAULTS, ValueSettings
from models.definition.value_settings import KEYS as VALUE_KEYS
from models.definition.value_settings import read_value_settings as read_value
from models.duration import DAY_MS, HOUR_MS, format_duration

__all__ = [
    "ALERT_KEYS",
    "DEFINITION_KEYS",
    "KINDS",
    "ChurnDefinition",
    "Definition",
    "DefinitionError",
    "EventDefinition",
    "InactivityDefinition",
    "matches",
]

Kind: TypeAlias = Literal["voluntary", "involuntary"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ANY_ACTIVITY = "*"

HORIZON_MS = 30 * DAY_MS  # the window most retention teams can act in
GRACE_MS = 2 * DAY_MS  # mobile clients deliver up to two days late
SNAPSHOT_EVERY_MS = 7 * DAY_MS  # a week evens out weekday rhythms
SCORE_EVERY_MS = 1 * HOUR_MS  # a busy customer is scored at most 24 times a day
PROFILE_AFTER_MS = 400 * DAY_MS  # who is billed or comes once a year is heard of within a year and a month
ANONYMOUS_AFTER_MS = 90 * DAY_MS  # a visitor's cookie is seldom older
POPULATION_HALF_LIFE_MS = 3 * DAY_MS  # a holiday that silences everybody must show within days, or it reads as churn
PENDING_MAX = 64  # snapshots of a customer whose labels are not yet known: a profile is bounded
HASH_DIGITS = 12  # 48 bits: two of a thousand definitions share a hash once in 500 million


@dataclass(frozen=True, slots=True)
class EventDefinition:
    """Churn is this event, if each property in `where` has one of its allowed values."""

    name: str
    event: str
    where: Where = ()
    kind: Kind = "voluntary"


@dataclass(frozen=True, slots=True)
class InactivityDefinition:
    """Churn is that none of these events comes for `for_ms`, for a customer who had one within `if_active_in_ms`."""

    name: str
    not_performed: tuple[str, ...]
    for_ms: int
    if_active_in_ms: int
    kind: ClassVar[str] = "inactivity"

    @property
    def any_activity(self) -> bool:
        """Whether every customer-initiated activity counts, not only named events."""
        return self.not_performed == (ANY_ACTIVITY,)


Definition: TypeAlias = EventDefinition | InactivityDefinition


def matches(definition: Definition, event_name: str, properties: Mapping[str, Any]) -> bool:
    """Whether an event is the one that the definition speaks of.

    For an `EventDefinition` True means churn. For an `InactivityDefinition` True means activity, the end of a silence;
    with "*" every name answers True, and the caller asks this of customer-initiated events only.
    Types are compared strictly: the property "1" is not 1, and true is not 1.
    """
    if isinstance(definition, InactivityDefinition):
        return event_name in definition.not_performed or definition.any_activity
    if event_name != definition.event:
        return False
    return properties_match(definition.where, properties)


@dataclass(frozen=True)
class ChurnDefinition:
    """The effective content of churn.toml. Everything is normalised: equal meaning gives equal values and hashes."""

    definitions: tuple[Definition, ...]  # by name
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
    alerts: tuple[tuple[str, Scalar], ...] = ()  # as written, keys and types checked; the alert policy reads them
    involuntary: Involuntary | None = None  # a second label, of losses by payment; None: one label, one probability
    goals: tuple[Goal, ...] = ()  # by name

    @classmethod
    def parse(cls, text: str) -> ChurnDefinition:
        """Read the text of a churn.toml. Raises `DefinitionError`, and nothing else."""
        return _definition(read_toml(text))

    def named(self, name: str) -> Definition:
        """The definition of that name. Raises KeyError."""
        return self._by_name[name]

    @cached_property
    def primary_definitions(self) -> tuple[Definition, ...]:
        """The definitions that make label 1."""
        return tuple(self._by_name[name] for name in self.primary)

    @cached_property
    def eligibility(self) -> tuple[InactivityDefinition, ...]:
        """A snapshot is taken only of a customer who was active in the sense of one of these; empty: of everybody."""
        return tuple(d for d in self.primary_definitions if isinstance(d, InactivityDefinition))

    @cached_property
    def by_event(self) -> dict[str, tuple[EventDefinition, ...]]:
        """Event name to the definitions to try with `matches`; most events are in none."""
        found: dict[str, tuple[EventDefinition, ...]] = {}
        for d in self.definitions:
            if isinstance(d, EventDefinition):
                found[d.event] = (*found.get(d.event, ()), d)
        return found

    @property
    def longest_horizon_ms(self) -> int:
        """When all labels of a snapshot are decided."""
        return self.horizon_ms if self.involuntary is None else max(self.horizon_ms, self.involuntary.horizon_ms)

    @property
    def release_after_ms(self) -> int:
        """How long after its snapshot a training example is released: of any class, with all of its labels."""
        return self.longest_horizon_ms + self.grace_ms

    @cached_property
    def hash(self) -> str:
        """Short hex of the whole effective content; the same for any order or spelling of the same settings.

        [profile] and [value] count only where they are not the default: they are younger than hashes in topics.
        """
        lasting = (self.profile_after_ms, self.anonymous_after_ms) == (PROFILE_AFTER_MS, ANONYMOUS_AFTER_MS)
        return _digest(self._printed(with_profile=not lasting, with_value=self.value != DEFAULTS))

    @cached_property
    def label_hash(self) -> str:
        """Short hex of what a label means (primary definitions, horizon, grace, version); alert or scoring settings
        may change without making earlier labels incomparable."""
        meaning: list[Any] = [self.version, self.horizon_ms, self.grace_ms]
        meaning += map(_definition_toml, self.primary_definitions)
        if self.involuntary is not None:
            named = [_definition_toml(self._by_name[name]) for name in self.involuntary.definitions]
            meaning += [causes.INVOLUNTARY, self.involuntary.horizon_ms, named]
        return _digest(json.dumps(meaning))

    @cached_property
    def state_hash(self) -> str:
        """Short hex of what profiles are laid out by: all definitions, in order. State of another one is not read."""
        return _digest(json.dumps([self.label_hash, *map(_definition_toml, self.definitions)]))

    def to_toml(self) -> str:
        """The effective definition with every default written out; `parse` reads it back to an equal value."""
        return self._printed(with_profile=True, with_value=True)

    def _printed(self, *, with_profile: bool, with_value: bool) -> str:
        lines = ["[churn]", f"version = {self.version}"]
        for definition in self.definitions:
            lines += ["", *_definition_toml(definition)]
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
            lines += ["", *self.value.printed()]
        for goal in self.goals:
            lines += ["", f"[goals.{goal.name}]", f"event = {write_value(goal.event)}", *_where_toml(goal.where)]
            lines += [f"within = {write_span(goal.within_ms)}"] if goal.within_ms else []
        if self.alerts:
            lines += ["", "[alerts]", *(f"{key} = {write_value(value)}" for key, value in self.alerts)]
        return "\n".join(lines) + "\n"

    @cached_property
    def _by_name(self) -> dict[str, Definition]:
        return {d.name: d for d in self.definitions}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def _definition_toml(definition: Definition) -> list[str]:
    lines = [f"[churn.definitions.{definition.name}]"]
    if isinstance(definition, InactivityDefinition):
        lines += [f"not_performed = {write_value(definition.not_performed)}", f"for = {write_span(definition.for_ms)}"]
        return [*lines, f"if_active_in = {write_span(definition.if_active_in_ms)}"]
    lines.append(f"event = {write_value(definition.event)}")
    return [*lines, *_where_toml(definition.where), f"kind = {write_value(definition.kind)}"]


def _where_toml(where: Where) -> list[str]:
    pairs = ", ".join(f"{write_key(key)} = {write_value(allowed)}" for key, allowed in where)
    return [f"where = {{ {pairs} }}"] if where else []


# --- reading -------------------------------------------------------------------------------------------------


TABLES = ("churn", "label", "snapshot", "score", "population", "profile", "value", "goals", "alerts")


def _definition(document: dict[str, Any]) -> ChurnDefinition:
    root = Table(document, "", TABLES)
    churn = root.table("churn", ("version", "definitions"))
    label = root.table("label", ("primary", "horizon", "grace", "involuntary"))
    profile = root.table("profile", ("after", "anonymous_after"))
    definitions = _definitions(churn)
    involuntary = _involuntary(label, definitions)
    effective = ChurnDefinition(
        definitions=definitions,
        primary=_primary(label, definitions, () if involuntary is None else involuntary.definitions),
        version=churn.integer("version", 1, 1, 2**31 - 1),
        horizon_ms=label.duration("horizon", HORIZON_MS),
        grace_ms=label.duration("grace", GRACE_MS, zero=True),
        snapshot_every_ms=root.table("snapshot", ("every",)).duration("every", SNAPSHOT_EVERY_MS),
        score_every_ms=root.table("score", ("every",)).duration("every", SCORE_EVERY_MS),
        population_half_life_ms=root.table("population", ("half_life",)).duration("half_life", POPULATION_HALF_LIFE_MS),
        profile_after_ms=profile.duration("after", PROFILE_AFTER_MS),
        anonymous_after_ms=profile.duration("anonymous_after", ANONYMOUS_AFTER_MS),
        value=read_value(root.table("value", VALUE_KEYS)),
        alerts=_alerts(root.table("alerts", ALERT_KEYS)),
        involuntary=involuntary,
        goals=_goals(root),
    )
    for silent in effective.eligibility:
        if silent.for_ms > effective.horizon_ms:
            raise DefinitionError(
                f"label.horizon = {write_span(effective.horizon_ms)} is wrong: it must be at least "
                f"churn.definitions.{silent.name}.for = {write_span(silent.for_ms)}, or no label could become 1 by it."
            )
    waiting = -(-effective.release_after_ms // effective.snapshot_every_ms)
    if waiting > PENDING_MAX:
        raise DefinitionError(
            f"snapshot.every = {write_span(effective.snapshot_every_ms)} is wrong: {waiting} snapshots of a customer "
            f"would wait for their label (label.horizon and grace), at most {PENDING_MAX} can."
        )
    return effective


def _definitions(churn: Table) -> tuple[Definition, ...]:
    found = churn.values.get("definitions", {})
    path = churn.at("definitions")
    if not isinstance(found, dict) or not found:
        as_is = f" = {shown(found)}" if found else ""
        raise DefinitionError(f"{path}{as_is} must have at least one definition, such as [{path}.voluntary].")
    _check_names(found, path)
    return tuple(_one(Table(found[name], f"{path}.{name}", DEFINITION_KEYS)) for name in sorted(found))


def _check_names(found: dict[str, Any], path: str) -> None:
    for name in found:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
            raise wrong(
                f"{path}.{write_key(name)}", found[name], "a name is lower-case letters, digits, _ and -, up to 64"
            )


GOAL_KEYS = ("event", "where", "within")


def _goals(root: Table) -> tuple[Goal, ...]:
    found = root.values.get("goals", {})
    if not isinstance(found, dict) or len(found) > GOALS_MAX:
        raise wrong("goals", found, f"it must be up to {GOALS_MAX} tables such as [goals.first_report]")
    _check_names(found, "goals")
    goals = []
    for name in sorted(found):
        table = Table(found[name], f"goals.{name}", GOAL_KEYS)
        table.required("event", "the name of an event")
        goals.append(Goal(name, table.text("event"), _where(table), table.duration("within", 0)))
    return tuple(goals)


DEFINITION_KEYS = ("event", "where", "kind", "not_performed", "for", "if_active_in")


def _one(table: Table) -> Definition:
    """A definition has `event` or `not_performed`, and only the keys that belong to it."""
    keys = table.values
    if "event" in keys and "not_performed" in keys:
        raise DefinitionError(
            f"{table.path} has both event = {shown(keys['event'])} and not_performed = "
            f"{shown(keys['not_performed'])}: a definition must have one of them."
        )
    if "event" not in keys and "not_performed" not in keys:
        raise DefinitionError(f"{table.path} must have either event or not_performed.")
    form, own = ("event", ("where", "kind")) if "event" in keys else ("not_performed", ("for", "if_active_in"))
    for key in keys:
        if key != form and key not in own:
            raise wrong(table.at(key), keys[key], f"with {form} only {' and '.join(own)} are allowed")
    return _event(table) if form == "event" else _inactivity(table)


def _event(table: Table) -> EventDefinition:
    name = table.path.rpartition(".")[2]
    kind: Any = table.values.get("kind", name if name in KINDS else "voluntary")
    if kind not in KINDS:
        raise wrong(table.at("kind"), kind, f"it must be {' or '.join(KINDS)}")
    return EventDefinition(name=name, event=table.text("event"), where=_where(table), kind=kind)


def _inactivity(table: Table) -> InactivityDefinition:
    table.required("for", 'a duration, such as "30d"')
    events = table.texts("not_performed")
    if ANY_ACTIVITY in events and len(events) > 1:
        raise wrong(
            table.at("not_performed"), table.values["not_performed"], 'it must be ["*"] or a list of event names'
        )
    for_ms = table.duration("for", 0)
    return InactivityDefinition(
        name=table.path.rpartition(".")[2],
        not_performed=events,
        for_ms=for_ms,
        if_active_in_ms=table.duration("if_active_in", for_ms),
    )


def _where(table: Table) -> Where:
    where = table.values.get("where", {})
    allowed = "it must be a text, number or true/false, or a list of at least one of these"
    if not isinstance(where, dict):
        raise wrong(table.at("where"), where, 'it must be a table such as { reason = ["cancellation_requested"] }')
    pairs = []
    for key in sorted(where):
        values = where[key] if isinstance(where[key], list) else [where[key]]
        if not key or not values or not all(_scalar(value) for value in values):
            raise wrong(f"{table.at('where')}.{write_key(key)}", where[key], allowed)
        pairs.append((key, tuple({write_value(value): value for value in sorted(values, key=write_value)}.values())))
    return tuple(pairs)


def _scalar(value: Any) -> bool:
    """Text, true/false, a finite number; whole numbers of 64 bits, which is what TOML promises to keep."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def _primary(label: Table, definitions: tuple[Definition, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    """The names of `label.primary`; where it is left out, all but those of the other label."""
    primary = _names(label, "primary", definitions)
    if primary is None:
        primary = tuple(d.name for d in definitions if d.name not in taken)
        if not primary:
            raise DefinitionError(
                "label.involuntary.definitions has every definition of this file: one must be left for label.primary."
            )
    for name in primary:
        if name in taken:
            raise wrong(
                label.at("primary"),
                label.values["primary"],
                f"{shown(name)} is in label.involuntary.definitions too: a customer is lost by one cause",
            )
    return primary


def _involuntary(label: Table, definitions: tuple[Definition, ...]) -> Involuntary | None:
    if "involuntary" not in label.values:
        return None
    table = label.table("involuntary", ("definitions", "horizon"))
    of_kind = [d for d in definitions if d.kind == causes.INVOLUNTARY]
    names = _names(table, "definitions", definitions)
    for d in definitions:
        if names is not None and d.name in names and d not in of_kind:
            raise wrong(
                table.at("definitions"),
                table.values["definitions"],
                f'{shown(d.name)} is not of kind = "{causes.INVOLUNTARY}", which only a named event can be',
            )
    if not of_kind:
        raise DefinitionError(
            f'{table.path} needs a definition of kind = "{causes.INVOLUNTARY}": an event such as Subscription Cancelled'
            ' where reason is "payment_failed".'
        )
    names = tuple(d.name for d in of_kind) if names is None else names
    return Involuntary(names, table.duration("horizon", causes.HORIZON_MS))


def _names(table: Table, key: str, definitions: tuple[Definition, ...]) -> tuple[str, ...] | None:
    """Names of definitions of this file, sorted; None where the key is left out."""
    if key not in table.values:
        return None
    names = tuple(d.name for d in definitions)
    for name in (found := table.texts(key)):
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f", did you mean {near[0]}" if near else ""
            raise wrong(
                table.at(key),
                table.values[key],
                f"{shown(name)} is not a definition of this file{hint} (allowed: {', '.join(names)})",
            )
    return found


# --- alerts: the keys that the policy knows, each with what it accepts ---------------------------------------------


def _threshold(path: str, value: Any) -> Scalar:
    """A probability, or a share of the customers as it is printed: "top 5%"."""
    allowed = 'it must be a probability from 0 to 1, or a share of the customers such as "top 5%"'
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong(path, value, allowed)
    try:
        limit = Threshold.of(value)
    except ValueError:
        raise wrong(path, value, allowed) from None
    return str(limit) if limit.relative else limit.level


def _lift(path: str, value: Any) -> Scalar:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        raise wrong(path, value, "it must be a number from 1 to 100")
    return float(value)


def _alert_span(path: str, value: Any) -> Scalar:
    return format_duration(check_duration(path, value, zero=True))


def _alert_expiry(path: str, value: Any) -> Scalar:
    return format_duration(check_duration(path, value))


DETRACTOR_CHOICES = ("none", "csat", "nps", "any")


def _detractor(path: str, value: Any) -> Scalar:
    if value not in DETRACTOR_CHOICES:
        raise wrong(path, value, f"it must be one of {', '.join(DETRACTOR_CHOICES)}")
    return str(value)


ALERT_KEYS: dict[str, Callable[[str, Any], Scalar]] = {
    "enter": _threshold,
    "exit": _threshold,
    "high": _threshold,
    "critical": _threshold,
    "lift": _lift,
    "dwell": _alert_span,
    "cooldown": _alert_span,
    "reminder": _alert_span,
    "expire": _alert_expiry,
    "detractor": _detractor,
}


def _alerts(table: Table) -> tuple[tuple[str, Scalar], ...]:
    found = {key: ALERT_KEYS[key](table.at(key), table.values[key]) for key in sorted(table.values)}
    for loose, strict in (("exit", "enter"), ("enter", "high"), ("high", "critical")):
        if loose in found and strict in found:
            low, high = (Threshold.of(found[key]) for key in (loose, strict))
            if low.relative is high.relative and low.level > high.level:
                raise wrong(table.at(loose), found[loose], f"it must not be stricter than {strict}")
    return tuple(found.items())
