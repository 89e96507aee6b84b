"""Alert types, resolutions and playbooks, and an example alert made by the functions that workers call.

The customers are simulated from a fixed seed, so that the page changes only when the code does. Numbers are rounded to
four significant digits, because the last bits can differ between CPUs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from models.alerts.alert_state import STATES
from models.alerts.policy import TYPES
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
DAYS: Final = 75  # horizon and grace take 32 days: the model has labels for the second half
DIGITS: Final = 4
WIDTH: Final = 112

_TYPES: Final = {  # by type: when it is published, what the recipient should do
    "opened": ("a customer is at risk", "handle the alert, or acknowledge it"),
    "escalated": ("the risk reached a higher band than any published before", "review it again, even if acknowledged"),
    "acknowledged": ("a person is handling the alert: no more reminders", "nothing"),
    "snoozed": ("a person snoozed the alert until `snoozed_until`", "nothing until then"),
    "reminded": ("the alert is still open without a response, or a snooze ended", "handle the alert, or dismiss it"),
    "resolved": ("the risk is gone, or a person dismissed the alert", "close it"),
    "retracted": ("late events show that the alert was unfounded", "close it; do not count it as a success"),
    "expired": (
        "the customer churned, was deleted, or was not scored for too long", "close it; do not count it as a success",
    ),
}  # fmt: skip
RESOLUTIONS: Final = {  # by resolution: final state and cause
    "recovered": ("resolved", "the probability fell below `alerts.exit`"),
    "dismissed": ("resolved", "a person dismissed the alert"),
    "late_evidence": (
        "retracted",
        "the probability fell because of events that happened before the alert and arrived after it",
    ),
    "churned": ("expired", "the customer churned"),
    "not_scored": ("expired", "the customer was not scored for `alerts.expire`"),
    "deleted": ("expired", "the customer was deleted on request: delete what you store about them"),
}


def types() -> str:
    """Table of alert types."""
    rows = [(f"`churn.alert.{kind}.v1`", code(kind), *_TYPES[kind]) for kind in TYPES]
    return table(("`ce_type`", "`type`", "when", "what to do"), rows)


def resolutions() -> str:
    """Table of resolutions, in the order of the states."""
    rows = [(state, name, cause) for name, (state, cause) in RESOLUTIONS.items()]
    rows.sort(key=lambda row: STATES.index(row[0]))
    return table(("state", "`resolution`", "cause"), [(code(state), code(name), cause) for state, name, cause in rows])


def playbooks() -> str:
    """The playbook of each reason and the features that contribute to it; protective reasons have no playbook."""
    rows = []
    for reason in CODES:
        contributing = ", ".join(code(f.name) for f in FEATURES if reason in codes_of(f.name))
        rows.append((code(reason), code(PLAYBOOKS[reason]) if reason in PLAYBOOKS else "protective", contributing))
    return table(("reason", "playbook", "features"), rows)


def example() -> str:
    """Value of the example alert as JSON."""
    return f"```json\n{pretty(abridged(json.loads(opened_alert().value)))}\n```"


def responses() -> str:
    """Example events that respond to the example alert."""
    value = json.loads(opened_alert().value)
    opened_ms = moment_ms(value["time"])
    assert opened_ms is not None
    at_ms = (opened_ms // DAY_MS + 1) * DAY_MS + 8 * HOUR_MS  # the next morning
    details: tuple[tuple[str, dict[str, Any]], ...] = (
        ("Alert Acknowledged", {"alert_id": value["alert_id"]}),
        ("Alert Snoozed", {"alert_id": value["alert_id"], "until": rfc3339(at_ms + 7 * DAY_MS)}),
        ("Alert Dismissed", {}),
    )
    events = [
        {
            "type": "track",
            "event": name,
            "userId": value["customer"]["id"],
            "messageId": f"desk-{number}",
            "timestamp": rfc3339(at_ms),
            "properties": properties,
        }
        for number, (name, properties) in enumerate(details, 1)
    ]
    return "\n\n".join(f"```json\n{pretty(event)}\n```" for event in events)


def opened_alert() -> AlertOutput:
    """The example alert: the `opened` event with the most reasons."""

    def reasons(alert: AlertOutput) -> int:
        value = json.loads(alert.value)
        return len(value["reasons"]) + len(value["protective"])

    return max((alert for alert in alert_events() if alert.event.type == "opened"), key=reasons)


def lifecycle() -> str:
    """Table of all events of one alert, the one with the most types of events."""
    by_alert: dict[str, list[AlertOutput]] = {}
    for alert in alert_events():
        by_alert.setdefault(alert.event.alert_id, []).append(alert)
    longest = max(by_alert.values(), key=lambda found: (len({one.event.type for one in found}), found[-1].event.type))
    rows = []
    for alert in longest:
        value = abridged(json.loads(alert.value))
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
def alert_events() -> tuple[AlertOutput, ...]:
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


# Formatting ----------------------------------------------------------------------------------------------------------


def abridged(value: dict[str, Any]) -> dict[str, Any]:
    """Round the numbers of an alert and drop the checksum of its model version."""
    found: dict[str, Any] = rounded(value)
    found["score"]["model"] = version_without_checksum(found["score"]["model"])
    return found


def version_without_checksum(model: str) -> str:
    """Drop the checksum of a model version, which can differ between CPUs.

    >>> version_without_checksum("12-5f3a"), version_without_checksum("0")
    ('12-...', '0')
    """
    labels, _, checksum = model.partition("-")
    return labels + ("-..." if checksum else "")


def rounded(value: Any) -> Any:
    """Round all floats to four significant digits, at any depth."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [rounded(inner) for inner in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def pretty(value: Any, indent: int = 0) -> str:
    """Format as JSON, with each value that fits on one line.

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
