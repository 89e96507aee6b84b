"""Describe the churn definition in one sentence, so that people see whether it fits their events."""

from __future__ import annotations

from models.definition.churn_definition import ChurnDefinition
from models.definition.named_definition import Definition, EventDefinition
from models.profile.mergeable import DAY_MS


def definition_text(definition: ChurnDefinition) -> str:
    """Describe when a customer counts as churned.

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
    primary = sorted(definition.primary_definitions, key=lambda d: d.name)
    conditions = [_condition(churn, definition.horizon_ms) for churn in primary]
    involuntary = definition.involuntary
    if involuntary is not None:
        conditions += [_condition(definition.named(name), involuntary.horizon_ms) for name in involuntary.definitions]
    return ", or ".join(conditions)


def days_text(span_ms: int) -> str:
    """Format a duration in days.

    >>> days_text(30 * DAY_MS), days_text(DAY_MS), days_text(DAY_MS // 2)
    ('30 days', '1 day', '0.5 days')
    """
    count = span_ms / DAY_MS
    return f"{count:g} day" + ("" if count == 1 else "s")


def _condition(churn: Definition, horizon_ms: int) -> str:
    if isinstance(churn, EventDefinition):
        where = "; ".join(f"{key}: {' or '.join(map(str, values))}" for key, values in churn.where)
        return f'"{churn.event}"{f" ({where})" if where else ""} within {days_text(horizon_ms)}'
    missing = "activity" if churn.any_activity else " or ".join(f'"{name}"' for name in churn.not_performed)
    return f"no {missing} for {days_text(churn.for_ms)}"
