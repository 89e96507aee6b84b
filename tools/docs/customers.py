"""What is known of a customer, from which event, and what it is used for: found out by applying events."""

from __future__ import annotations

import io
from typing import Final

from rich.console import Console

from models.definition.value_settings import DEFAULTS
from models.duration import DAY_MS
from models.features.catalogue import FEATURES
from models.profile.schema import Identity, Profile, Subscription
from models.profile.subscription import STARTED
from models.profile.view import ProfileView
from models.value.clv import customer_value
from models.value.forecast_state import ValueForecast
from streams.rendering.customer_page import print_customer
from tools.docs import alerts, publishing, samples
from tools.docs.markdown import code, table

USES: Final = {  # of what readers are told besides probability and reasons
    "customer.account": "routes and groups alerts",
    "customer.segment": "routes and filters alerts",
    "customer.plan": "routes alerts; whose subscriptions last how long ([worth](#what-a-customer-is-worth))",
    "customer.stage": "says where in their life the customer stands; who has left is not alerted",
    "value.mrr": "the price of what is at stake; alerts are sorted by it times the probability",
    "experience.csat": "satisfaction: for who takes up the alert, and the index",
    "experience.nps": "promoter, passive or detractor",
    "experience.ces": "effort: for who takes up the alert, and the index",
    "experience.surveys_sent": "how often the customer was asked",
    "experience.answer_rate": "who does not answer any more says something too",
    "experience.touchpoints": "where the customer is content and where not",
    "experience.surveys": "the same by survey",
    "experience.cx": "one figure of what the customer met with, [its parts shown](#what-a-customer-says)",
    "barriers": "what stands in the customer's way, for who takes up the alert",
    "payments.dunning_since": "since when a payment is open, for who sees to payments ([payments](#payments))",
    "payments.failed": "how often a payment failed",
    "payments.recovered": "how often a failed one came in after all",
    "payments.recovered_rate": "who mends it: speaks against a loss by payment",
    "payments.card_expires_in_days": "a card that ends is told before the payment fails",
}
WIDTH: Final = 110  # of the example page
PROBABILITIES: Final = (0.0, 0.05, 0.25, 0.9)
NAMED: Final = 6  # events in a cell; of what more of them move, the rest is counted


def page() -> str:
    """What `churn-signals customer ID` prints of a simulated customer."""
    score = alerts.rounded(samples.written().score)
    out = io.StringIO()
    print_customer(
        Console(file=out, width=WIDTH, highlight=False, markup=False), score | {"model": alerts.version(score["model"])}
    )
    return "```text\n" + "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n```"


def worths() -> str:
    """What a new subscription of 49 a month is worth at some probabilities, before any subscription was seen to end."""
    profile = Profile(first_ms=0, subscription=Subscription([(0, 1, STARTED, 4900, "pro")], (0, 1, 4900)))
    profile.identity = Identity(plan=(0, 1, "pro"))
    profile_view, rows = ProfileView.of(profile), []
    for probability in PROBABILITIES:
        value = customer_value(profile_view, probability, 30 * DAY_MS, DAY_MS, ValueForecast(DEFAULTS))
        money = value.revenue_at_risk, value.clv, value.clv_at_risk
        rows.append((f"{probability:g}", *(f"{amount:,.2f}" for amount in money)))
    return table(("probability", "`revenue_at_risk`", "`clv`", "`clv_at_risk`"), rows)


def told() -> str:
    """What scores and alerts say of a customer, by the events that change it."""
    moved = _by(3)
    rows = [(code(fact), _events(moved.get(fact, [])), use) for fact, use in USES.items()]
    return table(("told", "from", "used"), rows)


def speaks() -> str:
    """The features that can be a reason, by what they speak of, and the events that move them."""
    usual, moved = publishing.moved_by_activity(), _by(2)
    rows = []
    for reason in dict.fromkeys(feature.reason for feature in FEATURES):
        names = [feature.name for feature in FEATURES if feature.reason == reason]
        events = ["any activity"] * any(name in usual for name in names) + moved.get(reason, [])
        rows.append((code(reason), ", ".join(map(code, names)), _events(events) or "time that passes"))
    return table(("reason", "features", "from"), rows)


def _by(column: int) -> dict[str, list[str]]:
    """Events by what a column of `publishing.bought` names."""
    moved: dict[str, list[str]] = {}
    for family, _, _ in publishing.FAMILIES:
        for row in publishing.bought(family):
            for name in row[column].replace("`", "").split(", "):
                moved.setdefault(name, []).append(row[0])
    return moved


def _events(events: list[str]) -> str:
    named = list(dict.fromkeys(event.partition(",")[0] for event in events))
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(named[:NAMED]) + more
