"""One `[churn.definitions.NAME]` of churn.toml: an event that means churn, or the absence of events.

A definition has either `event` (with `where` and `kind`) or `not_performed` (with `for` and `if_active_in`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

from models.definition.predicate import Where, read_where, where_toml
from models.definition.predicate import matches as properties_match
from models.definition.toml_table import DefinitionError, Table, shown, write_key, write_span, write_value, wrong

Kind: TypeAlias = Literal["voluntary", "involuntary"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ANY_ACTIVITY: Final = "*"
DEFINITION_KEYS: Final = ("event", "where", "kind", "not_performed", "for", "if_active_in")


@dataclass(frozen=True, slots=True)
class EventDefinition:
    """Churn is this event, if each property in `where` has one of its allowed values."""

    name: str
    event: str
    where: Where = ()
    kind: Kind = "voluntary"


@dataclass(frozen=True, slots=True)
class InactivityDefinition:
    """Churn is `for_ms` without any of these events, for a customer who had one within `if_active_in_ms`."""

    name: str
    not_performed: tuple[str, ...]
    for_ms: int
    if_active_in_ms: int
    kind: ClassVar[str] = "inactivity"

    @property
    def any_activity(self) -> bool:
        """Whether any activity by the customer counts, not only named events."""
        return self.not_performed == (ANY_ACTIVITY,)


Definition: TypeAlias = EventDefinition | InactivityDefinition


def matches(definition: Definition, event_name: str, properties: Mapping[str, Any]) -> bool:
    """Check whether an event is one that the definition names.

    For an `EventDefinition`, True means churn. For an `InactivityDefinition`, True means activity, which ends the
    inactivity. With "*" every event name matches, so callers pass only activity by the customer.
    Types are strict: the property "1" is not 1, and true is not 1.
    """
    if isinstance(definition, InactivityDefinition):
        return event_name in definition.not_performed or definition.any_activity
    if event_name != definition.event:
        return False
    return properties_match(definition.where, properties)


def definition_toml(definition: Definition) -> list[str]:
    """The lines of a definition in TOML, with every default."""
    lines = [f"[churn.definitions.{definition.name}]"]
    if isinstance(definition, InactivityDefinition):
        lines += [f"not_performed = {write_value(definition.not_performed)}", f"for = {write_span(definition.for_ms)}"]
        return [*lines, f"if_active_in = {write_span(definition.if_active_in_ms)}"]
    lines.append(f"event = {write_value(definition.event)}")
    return [*lines, *where_toml(definition.where), f"kind = {write_value(definition.kind)}"]


def read_definitions(churn: Table) -> tuple[Definition, ...]:
    """Read `[churn.definitions]`, sorted by name. Raises `DefinitionError`."""
    tables = churn.values.get("definitions", {})
    path = churn.at("definitions")
    if not isinstance(tables, dict) or not tables:
        value = f" = {shown(tables)}" if tables else ""
        raise DefinitionError(f"{path}{value} must have at least one definition, such as [{path}.voluntary].")
    check_names(tables, path)
    return tuple(_read(Table(tables[name], f"{path}.{name}", DEFINITION_KEYS)) for name in sorted(tables))


def check_names(tables: dict[str, Any], path: str) -> None:
    """Check the names of definitions or goals. Raises `DefinitionError`."""
    for name in tables:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", name):
            raise wrong(
                f"{path}.{write_key(name)}",
                tables[name],
                "a name must be 1 to 64 lower-case letters, digits, _ and -, and start with a letter",
            )


def _read(table: Table) -> Definition:
    """Read one definition: `event` or `not_performed`, and only the keys that belong to it."""
    keys = table.values
    if "event" in keys and "not_performed" in keys:
        raise DefinitionError(
            f"{table.path} has both event = {shown(keys['event'])} and not_performed = "
            f"{shown(keys['not_performed'])}: a definition must have only one of them."
        )
    if "event" not in keys and "not_performed" not in keys:
        raise DefinitionError(f"{table.path} must have either event or not_performed.")
    form, form_keys = ("event", ("where", "kind")) if "event" in keys else ("not_performed", ("for", "if_active_in"))
    for key in keys:
        if key != form and key not in form_keys:
            raise wrong(table.at(key), keys[key], f"with {form} only {' and '.join(form_keys)} are allowed")
    return _read_event(table) if form == "event" else _read_inactivity(table)


def _read_event(table: Table) -> EventDefinition:
    name = table.path.rpartition(".")[2]
    kind: Any = table.values.get("kind", name if name in KINDS else "voluntary")
    if kind not in KINDS:
        raise wrong(table.at("kind"), kind, f"it must be {' or '.join(KINDS)}")
    return EventDefinition(name=name, event=table.text("event"), where=read_where(table), kind=kind)


def _read_inactivity(table: Table) -> InactivityDefinition:
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
