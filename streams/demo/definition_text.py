"""What churn means, in words that fit into a line: people see at once whether the definition speaks of their log."""

from __future__ import annotations

from models.definition.churn_definition import ChurnDefinition
from models.definition.named_definition import Definition, EventDefinition
from models.profile.mergeable import DAY_MS


def definition_text(definition: ChurnDefinition) -> str:
    """What makes a customer one who left.

    >>> definition_text(ChurnDefinition.parse('''
    ... [churn]
    ... version = 1
    ... [churn.definitions.voluntary]
    ... event = "Subscription Cancelled"
    ... where = { reason = ["cancellation_requested"] }
    ... [churn.definitions.inactivity]
    ... not_performed = ["*"]
    ... for = "30d"
    ... if_active_in = "30d"
    ... [label]
    ... primary = ["voluntary", "inactivity"]
    ... '''))
    'no activity for 30 days, or "Subscription Cancelled" (reason: cancellation_requested) within 30 days'
    """
    ways = [_way(one, definition.horizon_ms) for one in sorted(definition.primary_definitions, key=lambda d: d.name)]
    second = definition.involuntary
    if second is not None:
        ways += [_way(definition.named(name), second.horizon_ms) for name in second.definitions]
    return ", or ".join(ways)


def days_text(span_ms: int) -> str:
    """
    >>> days_text(30 * DAY_MS), days_text(DAY_MS), days_text(DAY_MS // 2)
    ('30 days', '1 day', '0.5 days')
    """
    count = span_ms / DAY_MS
    return f"{count:g} day" + ("" if count == 1 else "s")


def _way(one: Definition, horizon_ms: int) -> str:
    if isinstance(one, EventDefinition):
        where = "; ".join(f"{key}: {' or '.join(map(str, values))}" for key, values in one.where)
        return f'"{one.event}"{f" ({where})" if where else ""} within {days_text(horizon_ms)}'
    what = "activity" if one.any_activity else " or ".join(f'"{name}"' for name in one.not_performed)
    return f"no {what} for {days_text(one.for_ms)}"
