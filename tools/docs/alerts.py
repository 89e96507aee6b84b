"""Alerts for those who read them: what there is, and a real one, made by the very functions that workers call.

The customers are simulated from a fixed seed, so that the page changes only when the program does. Numbers are shown
with four digits, as a reader wants them and because last bits may differ between processors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from models.alerts.policy import STATES, TYPES
from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.duration import DAY_MS, HOUR_MS, rfc3339
from models.events.coercion import moment_ms
from models.events.event import Event, decode
from models.explanations.codes import CODES, PLAYBOOKS
from models.explanations.feature_wordings import codes_of
from models.features.catalogue import CATALOGUE, FEATURES, NAMES, RELATIVE
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.pipeline.alert_tracker import AlertOutput
from models.pipeline.partition import PartitionFold
from models.simulation import Simulation, SimulationSettings
from streams.kafka.partitioner import partition_of
from streams.settings import Settings
from tools.docs.markdown import code, table

CHURN_TOML: Final = Path(__file__).parents[2] / "churn.toml"
CUSTOMERS: Final = 120
DAYS: Final = 75  # snapshot, horizon and grace are 32 days: half of it with a model that has learned
DIGITS: Final = 4
WIDTH: Final = 112

_TYPES: Final = {
    "opened": ("somebody is at risk", "take it up, or acknowledge it"),
    "escalated": ("the risk reached a higher band than was told before", "look again, even if acknowledged"),
    "acknowledged": ("a person took it up: no more reminders", "nothing"),
    "snoozed": ("a person wants to hear nothing until `snoozed_until`", "nothing until then"),
    "reminded": ("it is still open and nobody said anything, or a snooze ended", "take it up, or dismiss it"),
    "resolved": ("the risk is gone, or a person dismissed it", "close it"),
    "retracted": ("events that arrived late show that there was no reason", "close it; it is no success"),
    "expired": ("the customer has churned, was deleted, or was not scored for too long", "close it; it is no success"),
}
RESOLUTIONS: Final = {  # of an end, its state and why
    "recovered": ("resolved", "the probability fell below `alerts.exit`"),
    "dismissed": ("resolved", "a person dismissed it"),
    "late_evidence": (
        "retracted",
        "what lowered the probability had happened before the alert, and only arrived later",
    ),
    "churned": ("expired", "the customer has left: there is nobody to win over"),
    "not_scored": ("expired", "no score for `alerts.expire`"),
    "deleted": ("expired", "the customer asked to be deleted: delete what you keep of them"),
}


def types() -> str:
    """What each type of event says."""
    rows = [(f"`churn.alert.{kind}.v1`", code(kind), *_TYPES[kind]) for kind in TYPES]
    return table(("`ce_type`", "`type`", "when", "what to do"), rows)


def resolutions() -> str:
    """Why an alert ended."""
    ended = [(state, name, why) for name, (state, why) in RESOLUTIONS.items()]
    ended.sort(key=lambda row: STATES.index(row[0]))
    return table(("state", "`resolution`", "why"), [(code(state), code(name), why) for state, name, why in ended])


def playbooks() -> str:
    """The playbook of each reason and the features that contribute to it; protective reasons have no playbook."""
    rows = []
    for reason in CODES:
        contributing = ", ".join(code(f.name) for f in FEATURES if reason in codes_of(f.name))
        rows.append((code(reason), code(PLAYBOOKS[reason]) if reason in PLAYBOOKS else "protective", contributing))
    return table(("reason", "playbook", "features"), rows)


def example() -> str:
    """The value of an alert that opened, the one with the most reasons."""
    return f"```json\n{pretty(shown(json.loads(opening().value)))}\n```"


def answers() -> str:
    """What people may publish about that alert."""
    value = json.loads(opening().value)
    opened = moment_ms(value["time"])
    assert opened is not None
    at = (opened // DAY_MS + 1) * DAY_MS + 8 * HOUR_MS  # the next morning
    said: tuple[tuple[str, dict[str, Any]], ...] = (
        ("Alert Acknowledged", {"alert_id": value["alert_id"]}),
        ("Alert Snoozed", {"alert_id": value["alert_id"], "until": rfc3339(at + 7 * DAY_MS)}),
        ("Alert Dismissed", {}),
    )
    events = [
        {
            "type": "track",
            "event": name,
            "userId": value["customer"]["id"],
            "messageId": f"desk-{number}",
            "timestamp": rfc3339(at),
            "properties": properties,
        }
        for number, (name, properties) in enumerate(said, 1)
    ]
    return "\n\n".join(f"```json\n{pretty(event)}\n```" for event in events)


def opening() -> AlertOutput:
    """The alert that opened with the most reasons."""

    def reasons(told: AlertOutput) -> int:
        value = json.loads(told.value)
        return len(value["reasons"]) + len(value["protective"])

    return max((t for t in told() if t.event.type == "opened"), key=reasons)


def life() -> str:
    """All that was told of one alert, the one with the most kinds of events."""
    stories: dict[str, list[AlertOutput]] = {}
    for t in told():
        stories.setdefault(t.event.alert_id, []).append(t)
    story = max(stories.values(), key=lambda events: (len({t.event.type for t in events}), events[-1].event.type))
    rows = []
    for t in story:
        value = shown(json.loads(t.value))
        score, reason = value["score"], value["reasons"][0]
        rows.append(
            (
                str(value["seq"]),
                code(value["type"]),
                value["time"],
                code(value["state"]),
                code(value["severity"]),
                f"{score['probability']:g}",
                f"{reason['sentence']} (`{reason['code']}`)",
                code(value["resolution"] or ""),
            )
        )
    head = ("`seq`", "`type`", "`time`", "`state`", "`severity`", "probability", "first reason", "`resolution`")
    return table(head, rows)


# The simulated customers ---------------------------------------------------------------------------------------------


@cache
def told() -> tuple[AlertOutput, ...]:
    """Every alert event of the simulated customers, in order."""
    definition = ChurnDefinition.parse(CHURN_TOML.read_text(encoding="utf-8"))
    run = Backtest(definition, Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)), 1, partition_of)
    topic, scorer = Settings().topic_events, run.partitions[0].scorer
    run.partitions = [PartitionFold(definition, run.stores[0], scorer, topic=topic, number=0)]
    found: list[AlertOutput] = []
    run.on_effects = lambda _, effects: found.extend(effects.alerts)
    for _ in run.run(_events()):
        pass
    return tuple(found)


def _events() -> Iterator[Event]:
    for simulated in Simulation(SimulationSettings(customers=CUSTOMERS, days=DAYS)).events():
        event = decode(simulated.value, [], None)
        assert isinstance(event, Event)
        yield event


# How values are shown ------------------------------------------------------------------------------------------------


def shown(value: dict[str, Any]) -> dict[str, Any]:
    """A value as the page has it: four digits, and the model's checksum left out."""
    found: dict[str, Any] = rounded(value)
    found["score"]["model"] = version(found["score"]["model"])
    return found


def version(model: str) -> str:
    """A model's version without its checksum, which may differ between processors.

    >>> version("12-5f3a"), version("0")
    ('12-...', '0')
    """
    labels, _, checksum = model.partition("-")
    return labels + ("-..." if checksum else "")


def rounded(value: Any) -> Any:
    """With four digits, at any depth."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def pretty(value: Any, indent: int = 0) -> str:
    """JSON in which everything that fits stands on one line.

    >>> print(pretty({"a": [1, 2], "b": {"c": None}}))
    {"a": [1, 2], "b": {"c": null}}
    """
    line = json.dumps(value, ensure_ascii=False)
    if indent + len(line) <= WIDTH or not isinstance(value, dict | list):
        return line
    pad = " " * (indent + 2)
    if isinstance(value, list):
        inner = [pad + pretty(item, indent + 2) for item in value]
        return "[\n" + ",\n".join(inner) + "\n" + " " * indent + "]"
    inner = [f"{pad}{json.dumps(name)}: {pretty(item, indent + 2)}" for name, item in value.items()]
    return "{\n" + ",\n".join(inner) + "\n" + " " * indent + "}"
