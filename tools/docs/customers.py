"""Tables of customer facts and features with the events that change them, and the example page of a customer."""

from __future__ import annotations

import io
from typing import Final

from rich.console import Console

from models.definition.value_settings import DEFAULTS
from models.duration import DAY_MS
from models.explanations.codes import RISKS
from models.explanations.feature_wordings import codes_of
from models.features.catalogue import FEATURES
from models.profile.schema import Identity, Profile, Subscription
from models.profile.subscription_change import STARTED
from models.profile.view import ProfileView
from models.value.clv import customer_value
from models.value.forecast_state import ValueForecast
from streams.rendering.customer_page import print_customer
from tools.docs import alerts, event_effects, samples
from tools.docs.markdown import code, table

USES: Final = {  # fields of scores and alerts besides probability and reasons, and what each is for
    "customer.account": "alert routing and grouping",
    "customer.segment": "alert routing and filtering",
    "customer.plan": "alert routing; selects the survival curve for [customer value](#customer-value)",
    "customer.consent": "whether the customer has consented, for the person or program that contacts the customer",
    "customer.stage": "the customer's lifecycle stage; churned customers get no alerts",
    "value.mrr": "monthly revenue; `revenue_at_risk`, by which alerts are sorted, is computed from it",
    "experience.csat": "satisfaction, for the person who handles the alert; part of the CX index",
    "experience.nps": "promoter, passive or detractor",
    "experience.ces": "effort, for the person who handles the alert; part of the CX index",
    "experience.surveys_sent": "how many surveys the customer was sent",
    "experience.answer_rate": "a customer who stops responding may be disengaging",
    "experience.touchpoints": "satisfaction by touchpoint",
    "experience.surveys": "satisfaction by survey",
    "experience.cx": "one index of the customer's experience, [with its parts](#customer-experience)",
    "barriers": "obstacles that the customer named, for the person who handles the alert",
    "payments.dunning_since": "when the unpaid payment first failed, for the billing team ([payments](#payments))",
    "payments.failed": "how many payments failed",
    "payments.recovered": "how many failed payments were recovered",
    "payments.recovered_rate": "customers who settle failed payments have a lower risk of involuntary churn",
    "payments.card_expires_in_days": "warns about an expiring card before the payment fails",
}
WIDTH: Final = 110  # of the example page
PROBABILITIES: Final = (0.0, 0.05, 0.25, 0.9)
NAMED: Final = 6  # events listed in a table cell; the rest is counted


def page() -> str:
    """Output of `churn-signals customer ID` for a simulated customer."""
    score = alerts.rounded(samples.outputs().score)
    out = io.StringIO()
    print_customer(
        Console(file=out, width=WIDTH, highlight=False, markup=False),
        score | {"model": alerts.version_without_checksum(score["model"])},
    )
    return "```text\n" + "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n```"


def value() -> str:
    """Value of a new subscription at 49 per month by churn probability, before any subscription has ended."""
    profile = Profile(first_ms=0, subscription=Subscription([(0, 1, STARTED, 4900, "pro")], (0, 1, 4900)))
    profile.identity = Identity(plan=(0, 1, "pro"))
    profile_view, rows = ProfileView.of(profile), []
    for probability in PROBABILITIES:
        found = customer_value(profile_view, probability, 30 * DAY_MS, DAY_MS, ValueForecast(DEFAULTS))
        amounts = found.revenue_at_risk, found.clv, found.clv_at_risk
        rows.append((f"{probability:g}", *(f"{amount:,.2f}" for amount in amounts)))
    return table(("probability", "`revenue_at_risk`", "`clv`", "`clv_at_risk`"), rows)


def facts() -> str:
    """Table of customer facts in scores and alerts, with the events that change them."""
    changed = _events_by(3)
    rows = [(code(fact), _listed(changed.get(fact, [])), use) for fact, use in USES.items()]
    return table(("field", "changed by", "purpose"), rows)


def reasons() -> str:
    """Table of reasons with their features and the events that change these features."""
    by_activity, changed = event_effects.activity_features(), _events_by(2)
    rows = []
    for reason in RISKS:
        names = [feature.name for feature in FEATURES if reason in codes_of(feature.name)]
        events = ["any activity"] * any(name in by_activity for name in names) + changed.get(reason, [])
        rows.append((code(reason), ", ".join(map(code, names)), _listed(events) or "time alone"))
    return table(("reason", "features", "changed by"), rows)


def _events_by(column: int) -> dict[str, list[str]]:
    """Event names by the values in a column of `event_effects.effects`."""
    changed: dict[str, list[str]] = {}
    for family, _, _ in event_effects.FAMILIES:
        for row in event_effects.effects(family):
            for name in row[column].replace("`", "").split(", "):
                changed.setdefault(name, []).append(row[0])
    return changed


def _listed(events: list[str]) -> str:
    names = list(dict.fromkeys(event.partition(",")[0] for event in events))
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
