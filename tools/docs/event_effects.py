"""Example events of each family, and the effects of each event, computed by applying it to a profile."""

from __future__ import annotations

import json
import textwrap
from copy import deepcopy
from functools import cache
from typing import Any, Final

import numpy as np

from models.definition.value_settings import DEFAULTS
from models.duration import DAY_MS, HOUR_MS, rfc3339
from models.events.event import Event, decode, meaning_of
from models.experience.barriers import recent_barriers
from models.experience.indices import Experience, experience_indices
from models.explanations.codes import RISKS
from models.explanations.feature_wordings import codes_of
from models.explanations.sentences import natural
from models.features.catalogue import NAMES, features
from models.outputs.customer_facts import customer_facts
from models.profile.apply import apply
from models.profile.dunning import PaymentFacts, payment_facts
from models.profile.schema import Profile
from models.profile.view import ProfileView
from models.value.clv import customer_value
from models.value.forecast_state import ValueForecast
from tools.docs.markdown import code, table

WIDTH: Final = 120
CUSTOMER: Final = "c-1042"
START_MS: Final = 20_058 * DAY_MS + 9 * HOUR_MS + HOUR_MS // 2  # 2024-12-01 09:30 UTC
HISTORY_DAYS: Final = 60
SCORE_DELAY_MS: Final = HOUR_MS

_NO_EFFECT: Final = "Alert Acknowledged"  # changes no profile and no counter

Example = tuple[int, str, dict[str, Any]]
"""Day relative to the end of the 60-day history, event name, properties or traits."""

_SUBSCRIPTION: Final[dict[str, Any]] = {"subscription_id": "sub-1"}

# Family, why to send it, and one customer's events in it. Each event is applied to the profile that the events before
# it in the same family have made.
FAMILIES: Final[tuple[tuple[str, str, tuple[Example, ...]], ...]] = (
    (
        "activity",
        "Actions by the customer, under any event names that your product uses. Send all of them, or a sample that"
        " preserves the active days and the event names. This is the only required family: recency, rhythm and"
        " inactivity are computed from it.",
        (
            (0, "page", {"path": "/reports", "name": "reports"}),
            (0, "Signed In", {}),
            (0, "Feature Used", {"feature": "export"}),
            (0, "Report Shared", {"feature": "sharing"}),
            (0, "Session Ended", {"duration": 640}),
            (1, "Goal Completed", {"name": "first report sent", "value": 3}),
            (1, "Feature Used", {"feature": "export", "automated": True}),
        ),
    ),
    (
        "subscription",
        "For subscription products. These events report churn ([as `churn.toml` defines it](definition.md)), revenue"
        " and cancellation intent. `mrr` is the price per month, and `subscription_id` names the"
        " [subscription](#subscription-ids). `reason` and `feedback` use the values of Stripe's"
        " `cancellation_details`.",
        (
            (
                0, "Subscription Started",
                _SUBSCRIPTION | {"plan": "pro", "mrr": 49.0, "currency": "EUR", "period_end": "2025-03-01T00:00:00Z"},
            ),
            (3, "Subscription Upgraded", _SUBSCRIPTION | {"plan": "team", "mrr": 99.0, "currency": "EUR"}),
            (5, "Subscription Downgraded", _SUBSCRIPTION | {"plan": "pro", "mrr": 49.0, "currency": "EUR"}),
            (6, "Subscription Paused", _SUBSCRIPTION),
            (7, "Subscription Resumed", _SUBSCRIPTION),
            (
                8, "Subscription Cancel Scheduled",
                _SUBSCRIPTION | {"reason": "cancellation_requested", "feedback": "too_expensive",
                                 "period_end": "2025-03-01T00:00:00Z"},
            ),
            (9, "Subscription Cancel Withdrawn", _SUBSCRIPTION),
            (
                30, "Subscription Cancelled",
                _SUBSCRIPTION | {"reason": "cancellation_requested", "feedback": "missing_features"},
            ),
        ),
    ),
    (
        "commerce",
        "For products whose revenue comes from orders. Amounts are in major units. The value of a customer without a"
        " subscription is computed from orders.",
        (
            (0, "Order Completed", {"revenue": 59.9, "currency": "EUR"}),
            (9, "Order Completed", {"revenue": 24.5, "currency": "EUR"}),
            (10, "Order Refunded", {"revenue": 24.5, "currency": "EUR"}),
        ),
    ),
    (
        "payment",
        "The signals of involuntary churn. A failed payment triggers a score at once.",
        (
            (0, "Payment Method Updated", {"card_expires": "2025-02-28"}),
            (1, "Payment Failed", {"amount": 49.0, "currency": "EUR", "reason": "card_declined"}),
            (3, "Payment Recovered", {"amount": 49.0, "currency": "EUR"}),
            (9, "Card Expired", {}),
        ),
    ),
    (
        "lifecycle",
        "Sign-up, trial and onboarding. Set `steps_total`: the share of completed onboarding steps is computed from"
        " it.",
        (
            (-60, "Signed Up", {"plan": "trial", "source": "search"}),
            (-60, "Trial Started", {"trial_end": "2025-02-10T00:00:00Z"}),
            (0, "Onboarding Step Completed", {"step": "invite a colleague", "steps_total": 5}),
            (1, "Onboarding Completed", {}),
        ),
    ),
    (
        "support",
        "Tickets and errors. `tags` from a fixed list become the alert's `barriers`.",
        (
            (0, "Ticket Created", {"tags": ["too_complex"]}),
            (1, "Ticket Reopened", {"tags": ["too_complex"]}),
            (3, "Ticket Solved", {"resolution_seconds": 86400}),
            (3, "Error Shown", {"code": 500}),
        ),
    ),
    (
        "feedback",
        "Surveys, reviews and mentions. `kind` is `csat`, `nps` or `ces`. The maximum score is 5, 10 and 7 respectively"
        " unless `scale_max` is set. Responses are also grouped by `touchpoint` and `survey`. The response rate"
        " requires `Survey Sent`.",
        (
            (0, "Survey Sent", {"kind": "nps"}),
            (1, "Survey Response Submitted", {"kind": "nps", "score": 4, "tags": ["missing_features"]}),
            (2, "Survey Response Submitted", {"kind": "csat", "score": 2, "touchpoint": "support"}),
            (2, "Survey Response Submitted", {"kind": "ces", "score": 3, "survey": "solved"}),
            (3, "Review Posted", {"rating": 2, "scale_max": 5}),
            (4, "Social Mention", {"sentiment": "negative"}),
        ),
    ),
    (
        "messaging",
        "Reactions to your messages. Most e-mail providers send these events by webhook.",
        (
            (0, "Email Sent", {"campaign": "february"}),
            (0, "Email Opened", {"campaign": "february"}),
            (0, "Email Clicked", {"campaign": "february"}),
            (5, "Email Unsubscribed", {}),
        ),
    ),
    (
        "referral",
        "Referrals that the customer sends, and those that convert.",
        ((0, "Referral Sent", {}), (4, "Referral Converted", {})),
    ),
    (
        "crm",
        "Dates from your CRM. An approaching renewal during low usage is a separate reason.",
        ((0, "Renewal Due Set", {"due": "2025-02-20"}), (1, "Meeting Held", {})),
    ),
    (
        "identity",
        "Segment, plan and account, which every alert contains for routing. Names and addresses in traits are never"
        " read; do not send them. `User Deletion Requested` [deletes the customer](#deleting-a-customer).",
        (
            (0, "identify", {"plan": "pro", "segment": "business"}),
            (0, "group", {"seats": 25}),
            (1, "Consent Updated", {"granted": True}),
        ),
    ),
    (
        "loop",
        "Your team's actions. [Responses to alerts](alerts.md#responding-to-alerts) change the alert and never the"
        " score. An intervention is stored in the customer's profile.",
        (
            (0, "Intervention Sent", {"kind": "call"}),
            (0, "Alert Acknowledged", {"alert_id": "ba6b51e2626a2eeaff35454088a77ddd"}),
        ),
    ),
)  # fmt: skip


def families() -> str:
    """One section per family: description, example events, and a table of their effects."""
    return "\n\n".join(_section(name, description, examples) for name, description, examples in FAMILIES)


def _section(name: str, description: str, examples: tuple[Example, ...]) -> str:
    title = name.upper() if len(name) < 4 else name.capitalize()
    lines = [json.dumps(published(one, number), ensure_ascii=False) for number, one in enumerate(examples, 1)]
    head = ("event", "features", "possible reasons", "fields")
    parts = (
        f"### {title}",
        textwrap.fill(description, WIDTH, break_long_words=False, break_on_hyphens=False),
        "```jsonl\n" + "\n".join(lines) + "\n```",
        table(head, effects(name)),
    )
    return "\n\n".join(parts)


def published(example: Example, number: int) -> dict[str, Any]:
    """Build the event as a producer publishes it."""
    days, name, details = example
    is_call = name in ("page", "identify", "group")
    event: dict[str, Any] = {"type": name if is_call else "track"} | ({} if is_call else {"event": name})
    event |= {"userId": CUSTOMER, "messageId": f"{name.lower().replace(' ', '-')}-{number}"}
    event |= {"groupId": "acme"} if name == "group" else {}
    event["timestamp"] = rfc3339(START_MS + (HISTORY_DAYS + days) * DAY_MS + number * 1_000)
    if details:
        event["traits" if name in ("identify", "group") else "properties"] = details
    return event


@cache
def effects(family: str) -> list[tuple[str, str, str, str]]:
    """One row per example event of a family: event, changed features, their reasons, other changed fields of outputs.

    Features that every engagement event updates are abbreviated to "activity".
    """
    [examples] = [examples for name, _, examples in FAMILIES if name == family]
    profile = _profile_with_history()
    rows: list[tuple[str, str, str, str]] = []
    for number, example in enumerate(examples, 1):
        event = _decoded(published(example, number))
        before, after, baseline = deepcopy(profile), deepcopy(profile), deepcopy(profile)
        apply(before, Event(CUSTOMER, _NO_EFFECT, event.time_ms, 0, {}, False, False))  # time passes in both profiles
        apply(after, event)
        at_ms = max(after.newest_ms, event.time_ms) + SCORE_DELAY_MS
        changed = _changed_features(before, after, at_ms)
        if meaning_of(event).engaged and not event.automated:
            apply(baseline, Event(CUSTOMER, "screen", event.time_ms, 0, {}, False, False))
            usual = _changed_features(before, baseline, at_ms)
            changed = ["activity", *(feature for feature in changed if feature not in usual)]
        reasons = sorted({code for feature in changed for code in codes_of(feature) if code in RISKS})
        names = ", ".join(feature if feature == "activity" else code(feature) for feature in changed)
        facts = ", ".join(code(fact) for fact in _changed_facts(before, after, at_ms))
        title = code(event.name) + (", automated" if event.automated else "")
        title += ", again" if any(row[0] == title for row in rows) else ""
        rows.append((title, names, ", ".join(map(code, reasons)), facts))
        profile = after
    return rows


@cache
def activity_features() -> tuple[str, ...]:
    """The features that every engagement event changes."""
    before, after, at_ms = _profile_with_history(), _profile_with_history(), START_MS + HISTORY_DAYS * DAY_MS
    for profile, name in ((before, _NO_EFFECT), (after, "screen")):
        apply(profile, Event(CUSTOMER, name, at_ms, 0, {}, False, False))
    return tuple(_changed_features(before, after, at_ms + SCORE_DELAY_MS))


def _profile_with_history() -> Profile:
    """Profile of a customer who was active every second day for 60 days."""
    profile = Profile()
    for day in range(0, HISTORY_DAYS, 2):
        apply(profile, Event(CUSTOMER, "screen", START_MS + day * DAY_MS, day + 1, {"feature": "home"}, False, False))
    return profile


def _decoded(document: dict[str, Any]) -> Event:
    event = decode(json.dumps(document).encode(), [], None)
    assert isinstance(event, Event), event
    return event


def _changed_features(before: Profile, after: Profile, at_ms: int) -> list[str]:
    old, new = (features([deepcopy(profile)], [at_ms])[0] for profile in (before, after))
    differs = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    return [name for name, is_other in zip(NAMES, differs, strict=True) if is_other]


def _changed_facts(before: Profile, after: Profile, at_ms: int) -> list[str]:
    old, new = (_facts(profile, at_ms) for profile in (before, after))
    return [name for name in new if old[name] != new[name]]


def _experience(profile: Profile, profile_view: ProfileView, at_ms: int) -> dict[str, Any]:
    values = natural(features([deepcopy(profile)], [at_ms]))[0].tolist()
    found = experience_indices(profile_view, values, at_ms)
    # A profile without any feedback has no `experience_indices` at all: its fields then count as None.
    names = (name for name in Experience.__struct_fields__ if name != "barriers")  # `barriers` is a fact of its own
    return {name: (found is not None and getattr(found, name)) or None for name in names}


def _facts(profile: Profile, at_ms: int) -> dict[str, Any]:
    profile_view = ProfileView.of(profile)
    customer = customer_facts(CUSTOMER, profile_view, at_ms)
    facts = {f"customer.{name}": getattr(customer, name) for name in ("account", "segment", "plan", "stage", "consent")}
    facts |= {f"experience.{name}": value for name, value in _experience(profile, profile_view, at_ms).items()}
    value = customer_value(profile_view, 0.1, 30 * DAY_MS, at_ms, ValueForecast(DEFAULTS))
    payments = payment_facts(profile_view.dunning, at_ms)
    facts |= {f"payments.{name}": payments and getattr(payments, name) for name in PaymentFacts.__struct_fields__}
    del facts["payments.dunning_days"]  # changes with time alone
    return facts | {"value.mrr": value.mrr, "barriers": recent_barriers(profile_view, at_ms)}
