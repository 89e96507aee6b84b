"""Example output of `churn-signals customer` for feedback and goals, computed by applying example events."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from models.definition.churn_definition import ChurnDefinition
from models.definition.goals import Goals
from models.duration import DAY_MS, HOUR_MS, rfc3339
from models.events.event import Event, decode
from models.experience.aggregates import Sums, add, goal_additions
from models.experience.indices import HALVES, WEIGHTS, experience_indices
from models.experience.report import times_to_value
from models.explanations.sentences import natural
from models.features.catalogue import features
from models.profile.apply import apply
from models.profile.codec import copy
from models.profile.schema import Profile
from models.profile.view import ProfileView
from streams.rendering.customer_experience import experience_lines, goal_lines
from tools.docs.markdown import code, table

CHURN: Final = """\
[churn.definitions.voluntary]
event = "Subscription Cancelled"

[goals.first_report]
event = "Goal Completed"
where = { name = ["first report sent"] }
within = "7d"

[goals.invited]
event = "Invitation Sent"
"""
START_MS: Final = 20_058 * DAY_MS + 9 * HOUR_MS  # 2024-12-01
_SUPPORT_SURVEY: Final = {"survey": "solved", "touchpoint": "support"}
# Day, event name, properties
EVENTS: Final[tuple[tuple[int, str, dict[str, Any]], ...]] = (
    (0, "Survey Sent", {"kind": "nps", "survey": "quarterly"}),
    (1, "Survey Response Submitted", {"kind": "nps", "score": 9, "survey": "quarterly"}),
    (20, "Ticket Created", {"ticket_id": "t-1", "tags": ["too_complex"]}),
    (20, "Error Shown", {}),
    (22, "Ticket Solved", {"ticket_id": "t-1", "resolution_seconds": 172_800}),
    (22, "Survey Sent", {"kind": "csat", **_SUPPORT_SURVEY}),
    (22, "Survey Response Submitted", {"kind": "csat", "score": 4, **_SUPPORT_SURVEY}),
    (23, "Ticket Reopened", {"ticket_id": "t-1", "tags": ["too_complex"]}),
    (25, "Ticket Solved", {"ticket_id": "t-1", "resolution_seconds": 432_000}),
    (25, "Survey Sent", {"kind": "csat", **_SUPPORT_SURVEY}),
    (25, "Survey Response Submitted", {"kind": "csat", "score": 2, "tags": ["customer_service"], **_SUPPORT_SURVEY}),
    (25, "Survey Response Submitted", {"kind": "ces", "score": 3, **_SUPPORT_SURVEY}),
    (27, "Survey Sent", {"kind": "nps", "survey": "quarterly"}),
)

_PARTS: Final = {
    "satisfaction": ("the shrunk CSAT mean, times 100", "`Survey Response Submitted`"),
    "effort": (
        "the mean of the newest eight CES responses, shrunk like CSAT, times 100",
        "`Survey Response Submitted`",
    ),
    "waiting": ("100 / 2^(mean hours to solve a ticket / {half:g})", "`Ticket Solved`"),
    "reopened": ("100 / 2^(tickets reopened in 90 days / {half:g}), for customers with a ticket", "`Ticket Reopened`"),
    "errors": ("100 / 2^(errors in 7 days / {half:g}), for customers with an event in these days", "`Error Shown`"),
}


def events() -> str:
    """The example events, one per line."""
    return "```jsonl\n" + "\n".join(json.dumps(event) for event in _published()) + "\n```"


def page() -> str:
    """Lines that `churn-signals customer` prints for the customer of the example events."""
    return "```text\n" + "\n".join(experience_lines(facts())) + "\n```"


def cx_index() -> str:
    """Table of the parts of the CX index."""
    rows = [
        (code(name), str(WEIGHTS[name]), formula.format(half=HALVES.get(name, 0)), source)
        for name, (formula, source) in _PARTS.items()
    ]
    return table(("part", "weight", "formula, 0 to 100", "computed from"), rows)


def goals() -> str:
    """Lines that `churn-signals customer` prints about goals, for a customer who reached one after nine days."""
    declared = Goals(ChurnDefinition.parse(CHURN).goals)
    sums: Sums = {}
    for customer, days in enumerate((9, 1, 2, 4, 20)):
        profile = Profile()
        for day, name in ((0, "Signed Up"), (days, "Goal Completed"), (days + 3, "Goal Completed")):
            event = Event(
                f"c-{customer}", name, START_MS + day * DAY_MS, 0, {"name": "first report sent"}, False, False
            )
            apply(profile, event)
            declared.record(profile, event)
        for addition in goal_additions(0, (), declared.contributions(profile)):
            add(sums, addition.block, {addition.series: addition.amount})
        if not customer:
            own = msgspec.to_builtins(declared.facts(profile.journey, profile.first_ms))
    printed = goal_lines(own, times_to_value(sums))
    return f"```toml\n{CHURN}```\n\n```text\n" + "\n".join(printed) + "\n```"


def facts() -> dict[str, Any]:
    """`experience_indices` of the example customer, as scores contain it."""
    profile = Profile()
    for document in _published():
        event = decode(json.dumps(document).encode(), [], None)
        assert isinstance(event, Event), event
        apply(profile, event)
    at_ms = profile.newest_ms + HOUR_MS
    values = natural(features([copy(profile)], [at_ms]))[0].tolist()
    found: dict[str, Any] = msgspec.to_builtins(experience_indices(ProfileView.of(profile), values, at_ms))
    return found


def _published() -> list[dict[str, Any]]:
    return [
        {
            "type": "track",
            "event": name,
            "userId": "c-1042",
            "messageId": f"feedback-{number}",
            "timestamp": rfc3339(START_MS + day * DAY_MS + number * 60_000),
            "properties": properties,
        }
        for number, (day, name, properties) in enumerate(EVENTS, 1)
    ]
