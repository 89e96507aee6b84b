"""What a customer said, as it is known: the lines of `churn-signals customer` for a story in events, really applied."""

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
from models.profile.schema import Profile, copy
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
_ASKED: Final = {"survey": "solved", "touchpoint": "support"}
# Day, event, properties
STORY: Final[tuple[tuple[int, str, dict[str, Any]], ...]] = (
    (0, "Survey Sent", {"kind": "nps", "survey": "quarterly"}),
    (1, "Survey Response Submitted", {"kind": "nps", "score": 9, "survey": "quarterly"}),
    (20, "Ticket Created", {"ticket_id": "t-1", "tags": ["too_complex"]}),
    (20, "Error Shown", {}),
    (22, "Ticket Solved", {"ticket_id": "t-1", "resolution_seconds": 172_800}),
    (22, "Survey Sent", {"kind": "csat", **_ASKED}),
    (22, "Survey Response Submitted", {"kind": "csat", "score": 4, **_ASKED}),
    (23, "Ticket Reopened", {"ticket_id": "t-1", "tags": ["too_complex"]}),
    (25, "Ticket Solved", {"ticket_id": "t-1", "resolution_seconds": 432_000}),
    (25, "Survey Sent", {"kind": "csat", **_ASKED}),
    (25, "Survey Response Submitted", {"kind": "csat", "score": 2, "tags": ["customer_service"], **_ASKED}),
    (25, "Survey Response Submitted", {"kind": "ces", "score": 3, **_ASKED}),
    (27, "Survey Sent", {"kind": "nps", "survey": "quarterly"}),
)

_PARTS: Final = {
    "satisfaction": ("the shrunk mean of CSAT, times 100", "`Survey Response Submitted`"),
    "effort": ("the mean of the newest eight CES answers, shrunk as CSAT is, times 100", "`Survey Response Submitted`"),
    "waiting": ("100 / 2^(mean hours until a ticket is solved / {half:g})", "`Ticket Solved`"),
    "reopened": ("100 / 2^(tickets reopened in 90 days / {half:g}), of who had a ticket", "`Ticket Reopened`"),
    "errors": ("100 / 2^(errors in 7 days / {half:g}), of who did something in them", "`Error Shown`"),
}


def events() -> str:
    """The story, an event a line."""
    return "```jsonl\n" + "\n".join(json.dumps(one) for one in _published()) + "\n```"


def page() -> str:
    """What `churn-signals customer` says of whoever lived through it."""
    return "```text\n" + "\n".join(experience_lines(said())) + "\n```"


def parts() -> str:
    """The parts of the CX index."""
    rows = [
        (code(name), str(WEIGHTS[name]), formula.format(half=HALVES.get(name, 0)), source)
        for name, (formula, source) in _PARTS.items()
    ]
    return table(("part", "weight", "formula, 0 to 100", "from"), rows)


def goals() -> str:
    """What `churn-signals customer` says of goals: of somebody who reached one after nine days, beside four others."""
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
            mine = msgspec.to_builtins(declared.facts(profile.journey, profile.first_ms))
    told = goal_lines(mine, times_to_value(sums))
    return f"```toml\n{CHURN}```\n\n```text\n" + "\n".join(told) + "\n```"


def said() -> dict[str, Any]:
    """The story's `experience_indices`, as scores carry it."""
    profile = Profile()
    for one in _published():
        event = decode(json.dumps(one).encode(), [], None)
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
            "messageId": f"said-{number}",
            "timestamp": rfc3339(START_MS + day * DAY_MS + number * 60_000),
            "properties": properties,
        }
        for number, (day, name, properties) in enumerate(STORY, 1)
    ]
