"""The words for each feature: how its value is told, and what is usual for this customer.

One entry a feature, by name; a feature without one is told by its sentence in the catalogue (`models.explanations.sentences`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, isnan
from typing import Final, NamedTuple

NAN: Final = float("nan")


class FeatureLookup:
    """What one wording may read of a customer, by name, in natural units; NaN for what is missing or not in the
    catalogue."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values = values

    def __call__(self, name: str) -> float:
        """The value of one feature that the wording `reads`; KeyError for any other."""
        return self.values[name]


# Figures -----------------------------------------------------------------------------------------------------------


def figure(value: float) -> str:
    """A number as a person would write it.

    >>> figure(11.04), figure(2.13), figure(3.0), figure(0.04), figure(1234.5)
    ('11', '2.1', '3', '0.04', '1,234')
    """
    size = abs(value)
    if size >= 9.95:
        return f"{value:,.0f}"
    if size >= 0.095 or not size:
        text = f"{value:.1f}"
        return text[:-2] if text[-1] == "0" else text
    return f"{value:.2f}".rstrip("0").rstrip(".")


def count(value: float, one: str, many: str = "") -> str:
    """
    >>> count(1.0, "day"), count(2.5, "day")
    ('1 day', '2.5 days')
    """
    text = figure(value)
    return f"{text} {one}" if text == "1" else f"{text} {many or one + 's'}"


def days(value: float) -> str:
    """A length of time; below a day in hours.

    >>> days(11.2), days(0.5), days(0.02)
    ('11 days', '12 hours', 'less than an hour')
    """
    if value >= 1.0:
        return count(value, "day")
    return count(round(value * 24), "hour") if value * 24 >= 0.5 else "less than an hour"


def percent(value: float) -> str:
    """
    >>> percent(0.404)
    '40 %'
    """
    return f"{100 * value:.0f} %"


# Wordings ----------------------------------------------------------------------------------------------------------

Say = Callable[[FeatureLookup, float], str]
Own = Callable[[FeatureLookup], float]


class Wording(NamedTuple):
    """How one feature is told: its value, the customer's own baseline, and the two together."""

    say: Say
    own: Own | None = None
    figure: Callable[[float], str] = figure  # of the baseline
    usual: str = "usual"
    worse: int = 0  # 1: more is worse, -1: less is worse, 0: neither; a comparison that says the opposite is left out
    peers: bool = True  # worth telling against the others
    compare: Say | None = None  # value and own baseline in one, instead of "...; usual ..."
    reads: tuple[str, ...] = ()  # every other feature that any of these asks for


def _pace(total: str, window: float) -> Own:
    """The customer's own mean of the last 90 days (or of the life, if shorter) for a window of so many days."""

    def own(f: FeatureLookup) -> float:
        life = min(90.0, f("tenure_days"))
        return f(total) * window / life if life >= 2 * window else NAN

    return own


def _share_of_days(window: float) -> Own:
    def own(f: FeatureLookup) -> float:
        life = min(90.0, f("tenure_days"))
        return min(window, f("active_days_90") * window / life) if life >= 2 * window else NAN

    return own


def _of(name: str) -> Own:
    return lambda f: f(name)


def _events(window: str, length: float) -> Wording:
    reads = ("tenure_days", "events_90d")
    return Wording(lambda f, v: f"{count(v, 'event')} in {window}", _pace("events_90d", length), worse=-1, reads=reads)


def _active(window: int) -> Wording:
    own, reads = (_share_of_days(window), ("tenure_days", "active_days_90")) if window < 90 else (None, ())
    return Wording(lambda f, v: f"active on {figure(v)} of the last {window} days", own, worse=-1, reads=reads)


def flag(true: str, false: str) -> Wording:
    """Yes or no, each in its own words."""
    return Wording(lambda f, v: true if v > 0.5 else false, peers=False)


def _just(text: str, how: Callable[[float], str] = figure, worse: int = 0, *, peers: bool = False) -> Wording:
    return Wording(lambda f, v: text.format(how(v)), None, how, worse=worse, peers=peers)


def _plain(words: str, worse: int = 0, *, peers: bool = False) -> Wording:
    """ "payment|failed in 30 days": 1 payment, 3 payments."""
    noun, _, rest = words.partition("|")
    return Wording(lambda f, v: f"{count(v, noun)} {rest}", worse=worse, peers=peers)


def _gap(f: FeatureLookup, name: str) -> str:
    gap = f(name)
    return "the usual gap" if isnan(gap) else f"the usual gap of {days(gap)}"


def _overdue(f: FeatureLookup, v: float) -> str:
    return f"away {figure(v)} times {_gap(f, 'gap_mean_days')}" if v > 1.05 else f"within {_gap(f, 'gap_mean_days')}"


def _order_overdue(f: FeatureLookup, v: float) -> str:
    usual = _gap(f, "order_gap_days")
    return f"last order {figure(v)} times {usual} ago" if v > 1.05 else f"last order within {usual}"


def _pace_ratio(short: str, long: str) -> Say:
    return lambda f, v: f"activity of {short} at {percent(exp(v))} of the pace of {long}"


def _streak_broken(f: FeatureLookup, v: float) -> str:
    length = f("streak_days")
    run = "a long run of active days" if isnan(length) else f"a run of {count(length, 'active day')}"
    return f"{run} has ended" if v > 0.5 else "no long run has just ended"


def _breadth(f: FeatureLookup, v: float) -> str:
    return f"used {figure(v)} of the {count(v + f('breadth_drop'), 'feature')} of 90 days"


def _ahead(what: str, past: str, furthest: float = 90.0) -> Say:
    """A date ahead or behind; at the bound of its transform it may be as far as it will."""

    def say(f: FeatureLookup, v: float) -> str:
        if v < 0:
            return f"{what} {past} {days(-v)} ago"
        return f"{what} in {days(v)}{' or more' if v >= furthest else ''}"

    return say


def _rate(f: FeatureLookup, v: float) -> str:
    return f"tickets of 30 days at {percent(exp(v))} of the usual rate"


_OUT_OF_10 = "{} out of 10"


def _scale(text: str, usual: str = "") -> Wording:
    own, reads = (_of(usual), (usual,)) if usual else (None, ())
    return Wording(lambda f, v: text.format(percent(v)), own, percent, worse=-1, peers=False, reads=reads)


# A value that says little to a person is told by the one that it is made of.
STANDS_FOR: Final[dict[str, str]] = {
    "silent_share": "recency_days",
    "overdue_z": "overdue_ratio",
    "dead_log_odds": "order_recency_days",
}

WORDINGS: Final[dict[str, Wording]] = {
    "recency_days": Wording(
        lambda f, v: f"quiet for {days(v)}", _of("gap_mean_days"), figure, "usual gap", 1, reads=("gap_mean_days",)
    ),
    "gap_mean_days": _just("usually active every {}", days),
    "gap_sd_days": _just("gaps between active days vary by {}", days),
    "overdue_ratio": Wording(_overdue, peers=False, reads=("gap_mean_days",)),
    "events_1h": _events("the last hours", 1 / 12),
    "events_1d": _events("24 hours", 1),
    "events_7d": _events("7 days", 7),
    "events_14d": _events("14 days", 14),
    "events_30d": _events("30 days", 30),
    "events_90d": _plain("event|in 90 days", -1, peers=True),
    "trend_7_28": Wording(_pace_ratio("the last week", "four weeks"), peers=False),
    "trend_28_90": Wording(_pace_ratio("four weeks", "three months"), peers=False),
    "vs_peak": _just("activity of four weeks at {} of the own best", percent),
    "active_days_7": _active(7),
    "active_days_14": _active(14),
    "active_days_30": _active(30),
    "active_days_90": _active(90),
    "active_weeks_12": _just("active in {} of the last 12 weeks", worse=-1, peers=True),
    "stickiness": _just("active days this week at {} of the month's pace", percent),
    "streak_days": _just("newest run of active days: {}"),
    "streak_broken": Wording(_streak_broken, peers=False, reads=("streak_days",)),
    "breadth_30": Wording(
        lambda f, v: f"used {count(v, 'feature')} in 30 days",
        lambda f: f("breadth_30") + f("breadth_drop"),
        worse=-1,
        compare=_breadth,
        reads=("breadth_30", "breadth_drop"),
    ),
    "breadth_7": Wording(
        lambda f, v: f"used {count(v, 'feature')} in 7 days",
        _of("breadth_30"),
        worse=-1,
        compare=lambda f, v: f"used {count(v, 'feature')} in 7 days and {figure(f('breadth_30'))} in 30",
        reads=("breadth_30",),
    ),
    "breadth_drop": _plain("feature|not used for 30 days or more"),
    "session_minutes": Wording(lambda f, v: f"sessions of {count(v, 'minute')}", peers=False),
    "session_depth": _plain("event|a session", -1, peers=True),
    "automated_share_30": _just("{} of the traffic comes from programs", percent),
    "never_engaged": flag("has never done anything", "has been active"),
    "tenure_days": _just("known for {}", days),
    "goals_30d": _plain("goal|in 30 days", -1, peers=True),
    "goals": _plain("goal|so far", -1, peers=True),
    "goal_recency_days": _just("last goal {} ago", days, 1, peers=True),
    "goal_value_last": Wording(
        lambda f, v: f"last goal went at {figure(v)}", _of("goal_value_mean"), worse=-1, reads=("goal_value_mean",)
    ),
    "goal_value_mean": _just("newest goals went at {}", worse=-1, peers=True),
    "time_to_first_goal_days": _just("first goal took {}", days),
    "onboarding_share": _just("{} of the onboarding done", percent),
    "orders": _plain("day|with an order so far"),
    "order_recency_days": Wording(
        lambda f, v: f"no order for {days(v)}",
        _of("order_gap_days"),
        figure,
        "usual gap",
        1,
        reads=("order_gap_days",),
    ),
    "order_gap_days": _just("usually orders every {}", days),
    "order_overdue": Wording(_order_overdue, peers=False, reads=("order_gap_days",)),
    "order_value": _just("mean order of {}"),
    "order_value_trend": Wording(lambda f, v: f"last order at {percent(exp(v))} of the mean", peers=False),
    "refund_rate": _just("{} of the orders refunded", percent),
    "subscribed_days": _just("subscribed for {}", days),
    "mrr": _just("pays {} a month"),
    "mrr_delta_90": Wording(
        lambda f, v: f"price at {percent(exp(v))} of 90 days ago" if abs(v) > 0.005 else "price as 90 days ago",
        peers=False,
    ),
    "downgrades_180": _plain("downgrade|in 180 days"),
    "cancel_scheduled": flag("a cancellation is scheduled", "no cancellation is scheduled"),
    "paused": flag("the subscription is paused", "the subscription is not paused"),
    "renewal_in_days": Wording(_ahead("renewal", "was due"), peers=False),
    "trial_left_days": Wording(_ahead("end of the trial", "passed", 30.0), peers=False),
    "payments_failed_30": _plain("payment|failed in 30 days"),
    "dunning_open": flag("the last payment failed and none has settled since", "payments are settled"),
    "card_expires_in_days": Wording(_ahead("card expiry", "was"), peers=False),
    "recovered_rate": _just("{} of the failed payments recovered", percent),
    "tickets_open": _plain("ticket|open"),
    "tickets_30d": _plain("ticket|in 30 days", 1, peers=True),
    "ticket_rate_vs_own": Wording(_rate, peers=False),
    "tickets_reopened_90": _plain("ticket|reopened in 90 days"),
    "time_to_solve_hours": _plain("hour|to solve a ticket", 1, peers=True),
    "errors_7d": _plain("error|shown in 7 days", 1, peers=True),
    "csat_mean": _scale("mean satisfaction {}"),
    "csat_last": _scale("last satisfaction answer {}", "csat_mean"),
    "csat_trend": Wording(
        lambda f, v: f"satisfaction {percent(abs(v))} {'below' if v < 0 else 'above'} earlier answers", peers=False
    ),
    "nps_last": Wording(lambda f, v: f"would recommend us: {_OUT_OF_10.format(figure(10 * v))}", peers=False),
    "ces_last": _scale("last customer effort answer {}"),
    "days_since_survey": _just("last survey answer {} ago", days),
    "sentiment": Wording(
        lambda f, v: f"last review or mention was {'negative' if v < -0.1 else 'positive' if v > 0.1 else 'neutral'}",
        peers=False,
    ),
    "negative_reviews_90": _plain("negative review|in 90 days"),
    "negative_mentions_30": _plain("negative mention|in 30 days"),
    "barriers_90": _plain("barrier|named in 90 days"),
    "message_open_rate_30": _just("opened {} of the messages of 30 days", percent, -1, peers=True),
    "unsubscribed": flag("refused further messages", "accepts messages"),
    "days_since_click": _just("last click in a message {} ago", days),
    "referrals_90": _plain("referral|sent in 90 days"),
    "referrals_converted": _plain("referral|became customers"),
    "was_referred": flag("came by a referral", "did not come by a referral"),
    "plan_known": flag("a subscription runs", "no running subscription is known"),
    "no_rhythm": flag("too few active days to know a rhythm", "a rhythm is known"),
    "no_goal": flag("no goal reached yet", "has reached a goal"),
    "no_answer": flag("no satisfaction answer known", "has answered a survey"),
}  # fmt: skip
