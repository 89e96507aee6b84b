"""`[events]` of churn.toml: what the names of the user's own events mean, and where their properties are.

A key is an event name, in any spelling. Its value states which listed event it is (`as`), or to which family it
belongs, or only whether it is engagement. All other keys are properties, each with a path in the event's properties or
a fixed value. The table is part of the hashes of the definition: it changes labels and profiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from models.definition.predicate import Scalar, is_scalar
from models.definition.toml_table import DefinitionError, Table, shown, write_key, write_value, wrong
from models.events.event_names import CALLS, LISTED, EventNames, EventRule
from models.events.property_source import ROOT, PropertySource
from models.events.spelling import fold
from models.events.taxonomy import CONTROL_EVENTS, COUNTER_INDEX, MEANINGS, Meaning

MAPPINGS_MAX: Final = 200  # a tracking plan with more own names needs a transformation before Kafka
PROPERTIES_MAX: Final = 16
PATH_MAX: Final = 8
NAME_MAX: Final = 128  # longer names are cut when they are decoded

_FAMILY_ROWS: Final[dict[str, tuple[bool, str]]] = {
    "activity": (True, ""),
    "lifecycle": (True, "lifecycle"),
    "commerce": (True, ""),
    "subscription": (False, ""),
    "payment": (False, ""),
    "support": (True, ""),
    "feedback": (True, "feedback"),
    "messaging": (False, "message_other"),
    "crm": (False, "crm"),
    "identity": (False, "identity"),
}
"""Family to the engagement and counter of an event without a listed counterpart."""

_FLAGS: Final = ("engaged", "decisive")
MAPPING_KEYS: Final = ("as", "family", *_FLAGS)
"""Keys of an entry that are no properties."""

_CALLS_WITH_TRAITS: Final = frozenset(("identify", "group", "alias"))


@dataclass(frozen=True, slots=True)
class EventMapping:
    """One entry of `[events]`."""

    name: str
    listed: str = ""
    """`as`: the canonical name of the event that it is; "" for an event of its own."""
    family: str = ""
    engaged: bool | None = None
    decisive: bool | None = None
    properties: tuple[tuple[str, Scalar], ...] = ()
    """Property to its path (`$.why`) or value, sorted."""

    def rule(self) -> EventRule:
        """Build the rule that `EventNames` applies."""
        rule = LISTED.resolve(self.listed or self.name)
        name = rule.name if self.listed or LISTED.is_listed(self.name) else self.name
        row = rule.meaning
        if self.family:
            engaged, counter = _FAMILY_ROWS[self.family]
            row = Meaning(self.family, engaged, False, COUNTER_INDEX.get(counter, -1), "")
        if self.engaged is not None:
            row = row._replace(engaged=self.engaged)
        if self.decisive is not None:
            row = row._replace(decisive=self.decisive)
        return EventRule(name, row, tuple(_source(*pair) for pair in self.properties))

    def to_toml(self) -> str:
        """The line of the entry in TOML."""
        pairs: list[tuple[str, Scalar]] = [("as", self.listed)] if self.listed else []
        pairs += [("family", self.family)] if self.family else []
        pairs += [(flag, value) for flag in _FLAGS if (value := getattr(self, flag)) is not None]
        pairs += self.properties
        inner = ", ".join(f"{write_key(key)} = {write_value(value)}" for key, value in pairs)
        return f"{write_key(self.name)} = {{ {inner} }}"


def read_events(root: Table, used: Iterable[str]) -> tuple[EventMapping, ...]:
    """Read `[events]`, sorted by name. Raises `DefinitionError`.

    Args:
        root: The file.
        used: The names that its definitions and goals use, which `as` may name besides listed events.
    """
    entries = root.values.get("events", {})
    if not isinstance(entries, dict):
        raise wrong("events", entries, 'it must be a table of event names, such as "plan_ended" = { as = "..." }')
    if len(entries) > MAPPINGS_MAX:
        raise DefinitionError(f"events has {len(entries)} entries: at most {MAPPINGS_MAX} are allowed.")
    known = EventNames(used=used)
    mappings: dict[str, EventMapping] = {}
    for name in sorted(entries):
        path = f"events.{write_key(name)}"
        _check_name(path, name, entries[name])
        if (other := mappings.get(fold(name))) is not None:
            raise DefinitionError(f"{path} is the same name as events.{write_key(other.name)}: keep one of them.")
        mappings[fold(name)] = _read_mapping(path, name, entries[name], known)
    return tuple(mappings.values())


def names_of(mappings: Iterable[EventMapping], used: Iterable[str], decisive: Iterable[str]) -> EventNames:
    """Build the event names of a churn.toml."""
    return EventNames({mapping.name: mapping.rule() for mapping in mappings}, used, decisive)


def events_toml(mappings: Iterable[EventMapping]) -> list[str]:
    """The lines of `[events]`; none without entries."""
    lines = [mapping.to_toml() for mapping in mappings]
    return ["[events]", *lines] if lines else []


def _check_name(path: str, name: str, value: Any) -> None:
    if not fold(name) or len(name) > NAME_MAX:
        raise wrong(path, value, f"the name of an event has 1 to {NAME_MAX} characters, at least one no separator")
    if name in CALLS:
        raise wrong(path, value, f"{name} is a type of calls, only names of track events can be mapped")
    if LISTED.resolve(name).name in CONTROL_EVENTS:
        raise wrong(path, value, "a control event always keeps its meaning, because publishers sign it by its name")


def _read_mapping(path: str, name: str, value: Any, known: EventNames) -> EventMapping:
    example = 'it must be a table such as { as = "Subscription Cancelled", reason = "$.why" }'
    if not isinstance(value, dict) or not value:
        raise wrong(path, value, example)
    table = Table(value, path, value)
    if "as" in value and "family" in value:
        raise wrong(table.at("family"), value["family"], "the listed event of as already has a family")
    for flag in _FLAGS:
        if flag in value and not isinstance(value[flag], bool):
            raise wrong(table.at(flag), value[flag], "it must be true or false")
    family = value.get("family", "")
    if "family" in value and family not in tuple(_FAMILY_ROWS):
        raise wrong(table.at("family"), family, f"it must be one of {', '.join(sorted(_FAMILY_ROWS))}")
    properties = sorted(key for key in value if key not in MAPPING_KEYS)
    if len(properties) > PROPERTIES_MAX:
        raise DefinitionError(f"{path} has {len(properties)} properties: at most {PROPERTIES_MAX} are allowed.")
    return EventMapping(
        name=name,
        listed=_read_listed(table, known) if "as" in value else "",
        family=family,
        engaged=value.get("engaged"),
        decisive=value.get("decisive"),
        properties=tuple((key, _read_source(table, key)) for key in properties),
    )


def _read_listed(table: Table, known: EventNames) -> str:
    text = table.text("as")
    rule = known.resolve(text)
    if rule.name in CONTROL_EVENTS or rule.name in _CALLS_WITH_TRAITS:
        raise wrong(table.at("as"), text, "an event cannot become a control event or an identify, group or alias call")
    if not known.is_listed(text):
        close = LISTED.near(text) or next(iter(difflib.get_close_matches(text, MEANINGS, n=1, cutoff=0.5)), None)
        hint = f", did you mean {shown(close)}" if close else ""
        raise wrong(table.at("as"), text, f"it must be a listed event or one that this file uses{hint}")
    return rule.name


def _read_source(table: Table, key: str) -> Scalar:
    value = table.values[key]
    fits = bool(key.strip()) and is_scalar(value)
    if fits and isinstance(value, str) and value.startswith("$"):
        keys = value.removeprefix(ROOT).split(".")
        fits = value.startswith(ROOT) and all(keys) and len(keys) <= PATH_MAX
    if not fits:
        raise wrong(
            table.at(key),
            value,
            f'it must be a path in the properties such as "$.case.number", of at most {PATH_MAX} keys, '
            "or a fixed text, number or true/false",
        )
    scalar: Scalar = value
    return scalar


def _source(name: str, value: Scalar) -> PropertySource:
    if isinstance(value, str) and value.startswith(ROOT):
        return PropertySource(name, tuple(value.removeprefix(ROOT).split(".")), replace=True)
    return PropertySource(name, (), value, replace=True)


__all__ = ["MAPPINGS_MAX", "MAPPING_KEYS", "EventMapping", "events_toml", "names_of", "read_events"]
