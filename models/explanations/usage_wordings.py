"""Wordings of features of activity and of the journey."""

from __future__ import annotations

from typing import Final

from models.explanations.figures import count, days, every, figure, percent
from models.explanations.wording import (
    NEAR_DAYS,
    Constant,
    Derived,
    FeatureLookup,
    Floats,
    Needs,
    Pace,
    Range,
    Renderer,
    SameAs,
    Wording,
    counted,
    flag,
    on_schedule,
    overdue,
    typically,
    usually,
)

_RECENT_DAYS: Final = 7.0  # a customer who was away for longer is not "recently active"

_ONBOARDING_DAYS: Final = (7.0, 180.0)  # tenure in which onboarding can be late (models.outputs.customer_facts)


def _events(window: str, length: float) -> Wording:
    return Wording(
        "USAGE_DROP",
        "USAGE_HEALTHY",
        counted("event", f"in the last {window}", f"No events in the last {window}"),
        worse=-1,
        own=Pace("events_90d", length) if length < 90 else None,
        own_words=usually(),
        peer_words=typically("have"),
        peer_code="LOW_USAGE",
        margin=1.0,
        events=True,
    )


def _active(window: int) -> Wording:
    def render_value(f: FeatureLookup, v: float) -> str:
        return f"Active on {figure(v) if v else 'none'} of the last {window} days"

    return Wording(
        "USAGE_DROP",
        "USAGE_HEALTHY",
        render_value,
        worse=-1,
        own=Pace("active_days_90", window, window) if window < 90 else None,
        own_words=lambda own: f"usually on {figure(own)}",
        peer_words=typically("on"),
        peer_code="LOW_USAGE",
        margin=1.0,
        events=True,
    )


def _used(window: str) -> Renderer:
    return lambda f, v: (f"Used {count(v, 'feature')}" if v else "No feature used") + f" in the last {window}"


def _abandoned(f: FeatureLookup, v: float) -> str:
    used = v + f("breadth_30")
    known = count(v, "feature") if used != used else f"{figure(v)} of {count(used, 'feature')}"
    return f"{known} unused for over 30 days"


def _kept(f: FeatureLookup, v: float) -> str:
    return f"Still uses all {count(f('breadth_30'), 'feature')} of the last 90 days"


def _sum(a: Floats, b: Floats) -> Floats:
    return a + b


USAGE_WORDINGS: Final[dict[str, Wording]] = {
    # Recency and rhythm
    "recency_days": Wording(
        "SILENCE",
        "RECENTLY_ACTIVE",
        lambda f, v: f"No activity for {days(v)}",
        lambda f, v: f"Last active {days(v)} ago",
        own=SameAs("gap_mean_days"),
        own_words=lambda own: f"normally active {every(own)}",
        peer_words=lambda peer: f"customers were typically active {days(peer)} ago",
        safe=Range(high=_RECENT_DAYS),
        margin=1.0,
    ),
    "gap_mean_days": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Active {every(v)} on average",
        peer_words=lambda peer: f"customers typically {every(peer)}",
        safe_needs=Needs("recency_days", high=_RECENT_DAYS),
        margin=0.5,
    ),
    "overdue_ratio": Wording(
        "RHYTHM_BROKEN",
        "RHYTHM_REGULAR",
        overdue("Overdue", "recency_days", "gap_mean_days", "active"),
        on_schedule("Last active", "recency_days", "gap_mean_days", "active"),
        own=Constant(1.0),
        at_risk=Range(1.5),
        safe_needs=Needs("recency_days", high=_RECENT_DAYS),
        reads=("recency_days", "gap_mean_days"),
    ),
    "never_engaged": flag("Never active so far", code="SILENCE"),
    # Activity
    "events_1d": _events("24 hours", 1),
    "events_7d": _events("7 days", 7),
    "events_14d": _events("14 days", 14),
    "events_30d": _events("30 days", 30),
    "events_90d": _events("90 days", 90),
    "vs_peak": Wording(
        "USAGE_DROP",
        "USAGE_HEALTHY",
        lambda f, v: f"Activity of the last 28 days at {percent(v)} of this customer's best 28 days",
        worse=-1,
        own=Constant(1.0),
        at_risk=Range(0.01, 0.7),
        safe=Range(0.9),
        alone=True,
        margin=0.3,
        safe_needs=Needs("recency_days", high=_RECENT_DAYS),
    ),
    "active_days_7": _active(7),
    "active_days_14": _active(14),
    "active_days_30": _active(30),
    "active_days_90": _active(90),
    "active_weeks_12": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Active in {figure(v)} of the last 12 weeks",
        worse=-1,
        peer_words=typically("in"),
        margin=1.0,
        events=True,
    ),
    "streak_broken": Wording(
        "RHYTHM_BROKEN",
        risk=lambda f, v: f"A run of {count(f('streak_days'), 'active day')} in a row has ended",
        at_risk=Range(0.5),
        alone=True,
        risk_needs=Needs("streak_days", low=5.0),
        reads=("streak_days",),
    ),
    "breadth_30": Wording(
        "DEPTH_DROP",
        "DEPTH_HEALTHY",
        _used("30 days"),
        worse=-1,
        own=Derived(_sum, ("breadth_30", "breadth_drop")),
        own_words=lambda own: f"{figure(own)} in the last 90 days",
        peer_words=typically("use"),
        peer_code="LOW_DEPTH",
        margin=1.0,
        events=True,
    ),
    "breadth_7": Wording(
        "LOW_DEPTH",
        "DEPTH_HEALTHY",
        _used("7 days"),
        worse=-1,
        peer_words=typically("use"),
        margin=1.0,
        events=True,
    ),
    "breadth_drop": Wording(
        "FEATURE_ABANDONED",
        "FEATURES_KEPT",
        _abandoned,
        _kept,
        at_risk=Range(1.0),
        safe=Range(high=0.0),
        alone=True,
        safe_needs=Needs("breadth_30", low=2.0),
        named=lambda f: f("breadth_drop") + f("breadth_30"),
        reads=("breadth_30", "breadth_drop"),
    ),
    "session_minutes": Wording(
        "LOW_DEPTH",
        "DEPTH_HEALTHY",
        lambda f, v: f"Sessions last {count(v, 'minute')} on average",
        worse=-1,
        peer_words=typically("spend"),
    ),
    "session_depth": Wording(
        "LOW_DEPTH",
        "DEPTH_HEALTHY",
        counted("event", "per session in the last 30 days"),
        worse=-1,
        peer_words=typically("have"),
        margin=0.5,
    ),
    # Journey
    "tenure_days": Wording(
        "LOW_EVIDENCE",
        risk=lambda f, v: f"First seen {days(v)} ago",
        at_risk=Range(high=6.9999),
        alone=True,
    ),
    "goals_30d": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        counted("goal", "reached in the last 30 days", "No goal reached in the last 30 days"),
        worse=-1,
        peer_words=typically("reach"),
        margin=0.5,
    ),
    "goals": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        counted("goal", "reached so far", "No goal reached so far"),
        worse=-1,
        peer_words=typically("have reached"),
        margin=0.5,
    ),
    "goal_recency_days": Wording(
        "LOW_USAGE",
        "USAGE_HEALTHY",
        lambda f, v: f"Last goal reached {days(v)} ago",
        peer_words=lambda peer: f"customers typically {days(peer)} ago",
        safe=Range(high=NEAR_DAYS),
        margin=1.0,
    ),
    "goal_value_last": Wording(
        "GOAL_VALUE_LOW",
        "GOAL_VALUE_HIGH",
        lambda f, v: f"Last goal value {figure(v)}",
        worse=-1,
        own=SameAs("goal_value_mean"),
        own_words=usually(),
        peer_words=typically("reach"),
        margin=1e-3,
    ),
    "goal_value_mean": Wording(
        "GOAL_VALUE_LOW",
        "GOAL_VALUE_HIGH",
        lambda f, v: f"Recent goal values average {figure(v)}",
        worse=-1,
        peer_words=typically("reach"),
    ),
    "time_to_first_goal_days": Wording(
        "",
        "ONBOARDED",
        healthy=lambda f, v: f"First goal reached after {days(v)}",
        peer_words=lambda peer: f"customers typically need {days(peer)}",
        margin=0.5,
    ),
    "onboarding_share": Wording(
        "ONBOARDING_STALLED",
        "ONBOARDED",
        lambda f, v: f"{percent(v)} of onboarding completed",
        lambda f, v: "Onboarding completed",
        worse=-1,
        peer_words=lambda peer: f"customers typically complete {percent(peer)}",
        at_risk=Range(high=0.9999),
        safe=Range(1.0),
        alone=False,
        margin=0.1,
        risk_needs=Needs("tenure_days", *_ONBOARDING_DAYS),
    ),
    "no_goal": Wording(
        "ONBOARDING_STALLED",
        risk=lambda f, v: f"No goal reached in {days(f('tenure_days'))}",
        peer_words=lambda peer: f"{percent(1.0 - peer)} of customers have reached one",
        at_risk=Range(0.5),
        margin=0.1,
        risk_needs=Needs("tenure_days", *_ONBOARDING_DAYS),
        reads=("tenure_days",),
    ),
}
