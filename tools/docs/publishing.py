"""What each event buys, family by family: examples of events, and what they change, found out by applying them."""

from __future__ import annotations

import json
import textwrap
from copy import deepcopy
from functools import cache
from typing import Any, Final

import numpy as np

from models.definition.value_settings import DEFAULTS
from models.duration import DAY_MS, HOUR_MS, rfc3339
from models.events.event import Event, decode
from models.events.taxonomy import MEANINGS
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
START_MS: Final = 20_058 * DAY_MS + 9 * HOUR_MS + HOUR_MS // 2  # 2024-12-01, half past nine
BEFORE_DAYS: Final = 60
LOOK_AFTER_MS: Final = HOUR_MS

_NOTHING: Final = "Alert Acknowledged"  # counts as nothing and changes no profile

Example = tuple[int, str, dict[str, Any]]
"""Days after the sixtieth day of the customer's life, event, properties or traits."""

# Family, why one sends it, and a story of one customer in its events. A file of history is read in this order of
# families, so that what a later one buys is seen beside what was known before.
FAMILIES: Final[tuple[tuple[str, str, tuple[Example, ...]], ...]] = (
    (
        "activity",
        "What the customer does by hand, by whatever names your product has: send all of it, or a sample that keeps"
        " days and names. The one family without which nothing works: recency, rhythm and silence come of it.",
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
        "Where revenue is a contract. It says what churn is ([`churn.toml`](definition.md)), what the customer is"
        " worth, and who is about to leave. `mrr` is the price of a month; `reason` and `feedback` have Stripe's"
        " words.",
        (
            (
                0, "Subscription Started",
                {"plan": "pro", "mrr": 49.0, "currency": "EUR", "period_end": "2025-03-01T00:00:00Z"},
            ),
            (3, "Subscription Upgraded", {"plan": "team", "mrr": 99.0, "currency": "EUR"}),
            (5, "Subscription Downgraded", {"plan": "pro", "mrr": 49.0, "currency": "EUR"}),
            (6, "Subscription Paused", {}),
            (7, "Subscription Resumed", {}),
            (
                8, "Subscription Cancel Scheduled",
                {"reason": "cancellation_requested", "feedback": "too_expensive", "period_end": "2025-03-01T00:00:00Z"},
            ),
            (9, "Subscription Cancel Withdrawn", {}),
            (
                30, "Subscription Cancelled",
                {"reason": "cancellation_requested", "feedback": "missing_features"},
            ),
        ),
    ),
    (
        "commerce",
        "Where revenue is orders. Amounts are in major units; without a subscription they are what the customer is"
        " worth.",
        (
            (0, "Order Completed", {"revenue": 59.9, "currency": "EUR"}),
            (9, "Order Completed", {"revenue": 24.5, "currency": "EUR"}),
            (10, "Order Refunded", {"revenue": 24.5, "currency": "EUR"}),
        ),
    ),
    (
        "payment",
        "Who leaves without wanting to. A failed payment scores the customer at once.",
        (
            (0, "Payment Method Updated", {"card_expires": "2025-02-28"}),
            (1, "Payment Failed", {"amount": 49.0, "currency": "EUR", "reason": "card_declined"}),
            (3, "Payment Recovered", {"amount": 49.0, "currency": "EUR"}),
        ),
    ),
    (
        "lifecycle",
        "How the customer began: the first weeks decide more than any later ones. Set `steps_total`, or nobody knows"
        " how much of the onboarding is left.",
        (
            (-60, "Signed Up", {"plan": "trial", "source": "search"}),
            (-60, "Trial Started", {"trial_end": "2025-02-10T00:00:00Z"}),
            (0, "Onboarding Step Completed", {"step": "invite a colleague", "steps_total": 5}),
            (1, "Onboarding Completed", {}),
        ),
    ),
    (
        "support",
        "What goes wrong. `tags` out of a fixed list become the alert's `barriers`.",
        (
            (0, "Ticket Created", {"tags": ["too_complex"]}),
            (1, "Ticket Reopened", {"tags": ["too_complex"]}),
            (3, "Ticket Solved", {"resolution_seconds": 86400}),
            (3, "Error Shown", {"code": 500}),
        ),
    ),
    (
        "feedback",
        "What customers say. `kind` is `csat`, `nps` or `ces`; scales are 5, 10 and 7 unless `scale_max` says another."
        " `touchpoint` and `survey` tell answers apart; `Survey Sent` makes an answer rate.",
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
        "Whether your messages still reach anybody. From most senders' webhooks it is there already.",
        (
            (0, "Email Sent", {"campaign": "february"}),
            (0, "Email Opened", {"campaign": "february"}),
            (0, "Email Clicked", {"campaign": "february"}),
            (5, "Email Unsubscribed", {}),
        ),
    ),
    (
        "referral",
        "Who brings others stays longer.",
        ((0, "Referral Sent", {}), (4, "Referral Converted", {})),
    ),
    (
        "crm",
        "Dates that only sales knows. A renewal that comes up while nobody uses the product is a reason of its own.",
        ((0, "Renewal Due Set", {"due": "2025-02-20"}), (1, "Meeting Held", {})),
    ),
    (
        "identity",
        "Who it is: segment, plan and account stand in every alert, to route it by. Traits are never read for names or"
        " addresses; do not send them. `User Deletion Requested` [deletes](#deleting-a-customer).",
        (
            (0, "identify", {"plan": "pro", "segment": "business"}),
            (0, "group", {"seats": 25}),
            (1, "Consent Updated", {"granted": True}),
        ),
    ),
    (
        "loop",
        "What you did: [answers to alerts](alerts.md#answering-them) move the alert and never the score. An"
        " intervention is kept with the customer.",
        (
            (0, "Intervention Sent", {"kind": "call"}),
            (0, "Alert Acknowledged", {"alert_id": "ba6b51e2626a2eeaff35454088a77ddd"}),
        ),
    ),
)  # fmt: skip


def families() -> str:
    """A section each: the words, the events, and what they change."""
    return "\n\n".join(_section(name, words, story) for name, words, story in FAMILIES)


def _section(name: str, words: str, story: tuple[Example, ...]) -> str:
    title = name.upper() if len(name) < 4 else name.capitalize()
    lines = [json.dumps(example(one, number), ensure_ascii=False) for number, one in enumerate(story, 1)]
    head = ("event", "moves", "can be the reason", "tells")
    parts = (
        f"### {title}",
        textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False),
        "```jsonl\n" + "\n".join(lines) + "\n```",
        table(head, bought(name)),
    )
    return "\n\n".join(parts)


def example(one: Example, number: int) -> dict[str, Any]:
    """An event as it is published."""
    days, name, details = one
    calls = name in ("page", "identify", "group")
    found: dict[str, Any] = {"type": name if calls else "track"} | ({} if calls else {"event": name})
    found |= {"userId": CUSTOMER, "messageId": f"{name.lower().replace(' ', '-')}-{number}"}
    found |= {"groupId": "acme"} if name == "group" else {}
    found["timestamp"] = rfc3339(START_MS + (BEFORE_DAYS + days) * DAY_MS + number * 1_000)
    if details:
        found["traits" if name in ("identify", "group") else "properties"] = details
    return found


@cache
def bought(family: str) -> list[tuple[str, str, str, str]]:
    """A row for each event of a family's story: its name, the features that it moves, their reasons, and what readers
    of alerts and scores are told besides. What any event of the customer's hand moves is called activity."""
    [story] = [story for name, _, story in FAMILIES if name == family]
    profile = _life()
    found: list[tuple[str, str, str, str]] = []
    for number, one in enumerate(story, 1):
        event = _decoded(example(one, number))
        before, after, plain = deepcopy(profile), deepcopy(profile), deepcopy(profile)
        apply(before, Event(CUSTOMER, _NOTHING, event.time_ms, 0, {}, False, False))  # time passes either way
        apply(after, event)
        at_ms = max(after.newest_ms, event.time_ms) + LOOK_AFTER_MS
        moved = _moved(before, after, at_ms)
        meaning = MEANINGS.get(event.name)
        if (meaning is None or meaning.engaged) and not event.automated:
            apply(plain, Event(CUSTOMER, "screen", event.time_ms, 0, {}, False, False))
            usual = _moved(before, plain, at_ms)
            moved = ["activity", *(feature for feature in moved if feature not in usual)]
        reasons = sorted({code for feature in moved for code in codes_of(feature) if code in RISKS})
        names = ", ".join(feature if feature == "activity" else code(feature) for feature in moved)
        told = ", ".join(code(fact) for fact in _told(before, after, at_ms))
        said = code(event.name) + (", automated" if event.automated else "")
        said += ", again" if any(row[0] == said for row in found) else ""
        found.append((said, names, ", ".join(map(code, reasons)), told))
        profile = after
    return found


@cache
def moved_by_activity() -> tuple[str, ...]:
    """The features that any event of the customer's own hand moves."""
    before, after, at_ms = _life(), _life(), START_MS + BEFORE_DAYS * DAY_MS
    for profile, name in ((before, _NOTHING), (after, "screen")):
        apply(profile, Event(CUSTOMER, name, at_ms, 0, {}, False, False))
    return tuple(_moved(before, after, at_ms + LOOK_AFTER_MS))


def _life() -> Profile:
    """Sixty days of a customer who looks in every second day."""
    profile = Profile()
    for day in range(0, BEFORE_DAYS, 2):
        apply(profile, Event(CUSTOMER, "screen", START_MS + day * DAY_MS, day + 1, {"feature": "home"}, False, False))
    return profile


def _decoded(published: dict[str, Any]) -> Event:
    event = decode(json.dumps(published).encode(), [], None)
    assert isinstance(event, Event), event
    return event


def _moved(before: Profile, after: Profile, at_ms: int) -> list[str]:
    old, new = (features([deepcopy(profile)], [at_ms])[0] for profile in (before, after))
    differs = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    return [name for name, is_other in zip(NAMES, differs, strict=True) if is_other]


def _told(before: Profile, after: Profile, at_ms: int) -> list[str]:
    old, new = (_facts(profile, at_ms) for profile in (before, after))
    return [name for name in new if old[name] != new[name]]


def _experience(profile: Profile, profile_view: ProfileView, at_ms: int) -> dict[str, Any]:
    values = natural(features([deepcopy(profile)], [at_ms]))[0].tolist()
    found = experience_indices(profile_view, values, at_ms)
    # of nobody who said anything, nothing is known; that nothing of a kind was said is no more than that
    names = (name for name in Experience.__struct_fields__ if name != "barriers")  # told beside it
    return {name: (found is not None and getattr(found, name)) or None for name in names}


def _facts(profile: Profile, at_ms: int) -> dict[str, Any]:
    profile_view = ProfileView.of(profile)
    who = customer_facts(CUSTOMER, profile_view, at_ms)
    facts = {f"customer.{name}": getattr(who, name) for name in ("account", "segment", "plan", "stage")}
    facts |= {f"experience.{name}": said for name, said in _experience(profile, profile_view, at_ms).items()}
    money = customer_value(profile_view, 0.1, 30 * DAY_MS, at_ms, ValueForecast(DEFAULTS))
    paid = payment_facts(profile_view.dunning, at_ms)
    facts |= {f"payments.{name}": paid and getattr(paid, name) for name in PaymentFacts.__struct_fields__}
    del facts["payments.dunning_days"]  # time that passes
    return facts | {"value.mrr": money.mrr, "barriers": recent_barriers(profile_view, at_ms)}
