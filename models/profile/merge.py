"""Merge two profiles: the profile of one history from the profiles of its two halves.

`MERGE_RULES` names one rule for each field; `models.profile.mergeable` implements the rules that are more than a sum, a
minimum or a maximum. Tested by tests/laws/test_profile_laws.py.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any, Final

from models.profile.codec import copy
from models.profile.mergeable import (
    HOUR_MS,
    Bins,
    bins_merge,
    days_merge,
    keep_smallest,
    merge_last,
    merge_newest_keys,
    merge_rated,
    merge_reached,
    newest,
)
from models.profile.order_object import merge_orders, newer_money
from models.profile.schema import (
    FEATURES_TRACKED,
    GUARD_IDS,
    OBJECT_CHANGES,
    RATED_KEPT,
    REACHED_KEPT,
    STEPS_TRACKED,
    SUM_LIMIT,
    Commerce,
    Feedback,
    Identity,
    Journey,
    Payments,
    Profile,
    Subscription,
    advance,
)
from models.profile.subscription_object import combined, merge_rest
from models.profile.subscription_section import bound_log, bound_objects, change_order, object_order
from models.profile.ticket_object import merge_tickets

MERGE_RULES: Final[dict[type, dict[str, str]]] = {
    Profile: {
        "first_ms": "min", "newest_ms": "max", "engaged_ms": "max", "first_engaged_ms": "min", "days": "days",
        "older_days": "sum", "bins": "bins", "totals": "sums", "guard": "guard", "used": "used", "matched": "maxima",
        "commerce": "section", "subscription": "section", "payments": "section", "feedback": "section",
        "identity": "section", "journey": "section", "processing": "dropped",
    },
    Commerce: {
        "days": "days", "older_days": "sum", "first_ms": "min", "last_ms": "max", "orders": "sum", "valued": "sum",
        "revenue": "sum", "refunds": "sum", "refunded": "sum", "recent": "last:8", "objects": "objects",
        "sums": "objects", "uncounted": "sum", "latest": "larger", "settled": "sum", "unseen": "sum",
        "newest_day": "max",
    },
    Subscription: {
        "log": "log", "mrr": "newest", "period_end": "newest", "trial_end": "newest", "renewal_due": "newest",
        "currency": "newest", "earlier": "object", "renewed_ms": "min", "objects": "objects", "changes": "changes",
        "rest": "rest",
    },
    Payments: {"settled_ms": "max", "failed_ms": "max", "card_expires": "newest"},
    Feedback: {
        "ticket_ms": "max", "solve_ms_sum": "sum", "solved_timed": "sum", "csat": "last:8", "nps": "last:8",
        "ces": "last:8", "csat_sum": "sum", "csat_count": "sum", "surveys_sent": "sum", "tags": "last:16",
        "sentiment": "newest", "csat_top": "sum", "csat_boxed": "sum", "asked": "tallies",
        "answered": "tallies", "touchpoints": "rated", "surveys": "rated", "tickets": "objects", "tickets_left": "sum",
        "tickets_counted": "sum", "ticket_balance": "sum",
    },
    Identity: {
        "plan": "newest", "segment": "newest", "account": "newest", "source": "newest", "consent": "newest",
        "subscribed": "newest", "referred": "max",
    },
    Journey: {
        "signed_up_ms": "min", "onboarded_ms": "min", "steps": "smallest", "steps_total": "max",
        "first_goal_ms": "min", "last_goal_ms": "max", "goal_values": "last:8",
        "session_s_sum": "sum", "sessions_timed": "sum", "clicked_ms": "max",
        "reached": "reached",
    },
}  # fmt: skip
"""Field -> rule. "sum" counts events and needs halves without common events; every other rule is also idempotent."""


def merge(a: Profile, b: Profile) -> Profile:
    """Merge the profiles of two parts of a log into the profile of the whole.

    Of two events of one time about the same value, the one in `b` is the later one. Otherwise the order of the parts
    does not matter. The parts must not share events. `processing` is not merged: the caller starts it again. The result
    is exact unless the later part has moved bins of the earlier one out of reach, which takes 512 days for day bitmaps.
    """
    a, b = copy(a), copy(b)
    newest_ms = max(a.newest_ms, b.newest_ms)
    hours = a.newest_ms // HOUR_MS, b.newest_ms // HOUR_MS
    bins = _merge_bins(a.bins, hours[0], b.bins, hours[1])
    a.bins, b.bins = {}, {}
    advance(a, newest_ms)
    advance(b, newest_ms)
    merged = _merge_struct(a, b)
    merged.bins = bins
    merged.processing = None
    return merged


def _merge_bins(a: Bins, a_hour: int, b: Bins, b_hour: int) -> Bins:
    if not a_hour or not b_hour:
        return a or b
    return bins_merge(a, a_hour, b, b_hour)


def _merge_struct(a: Any, b: Any) -> Any:
    merged = type(a)()
    for name, rule in MERGE_RULES[type(a)].items():
        setattr(merged, name, _merge_field(rule, getattr(a, name), getattr(b, name)))
    if isinstance(merged, Subscription):
        bound_log(merged)
        bound_objects(merged, b)
    elif isinstance(merged, Commerce):
        merge_orders(merged, b)
    elif isinstance(merged, Feedback):
        merge_tickets(merged, b)
    return merged


def _merge_field(rule: str, a: Any, b: Any) -> Any:
    match rule:
        case "min":
            return min(a, b)
        case "max":
            return max(a, b)
        case "sum":
            return min(a + b, SUM_LIMIT)
        case "sums":
            return {key: a.get(key, 0) + b.get(key, 0) for key in a.keys() | b.keys()}
        case "newest":
            return newest(a, b)
        case "days":
            return days_merge(a, b)
        case "guard":
            return merge_newest_keys(a, b, GUARD_IDS)
        case "used":
            return merge_newest_keys(a, b, FEATURES_TRACKED)
        case "maxima":
            short, long = sorted((a, b), key=len)
            return [max(x, y) for x, y in zip(long, short + [0] * (len(long) - len(short)), strict=True)]
        case "tallies":
            return [x + y for x, y in zip_longest(a, b, fillvalue=0)]
        case "rated":
            return merge_rated(a, b, RATED_KEPT)
        case "reached":
            return merge_reached(a, b, REACHED_KEPT)
        case "smallest":
            return keep_smallest([*a, *b], min([*a, *b]), STEPS_TRACKED) if a or b else []
        case "log":  # bounded afterwards, like the objects
            return sorted(a + b, key=change_order)
        case "changes":
            return sorted(a + b, key=object_order)[-OBJECT_CHANGES:]
        case "object":
            return combined(a, b) if a is not None and b is not None else a or b
        case "objects":  # merged afterwards, with all that they may leave their set for
            return a
        case "larger":
            return newer_money(a, b)
        case "rest":
            return merge_rest(a, b)
        case "section":
            return (b or a) if a is None or b is None else _merge_struct(a, b)
        case "bins" | "dropped":  # bins are merged before, with both presents
            return {} if rule == "bins" else None
    return merge_last(a, b, int(rule.removeprefix("last:")))
