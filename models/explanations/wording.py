"""The wording of a feature as a reason: its side, its baseline and its text.

A value lies on the risk side, on the healthy side, or on neither. `models.explanations.sides` computes the side of a
batch's values from these fields, `models.explanations.sentences` renders the words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.explanations.figures import count, days, every, figure, percent

Floats = NDArray[np.float64]
NAN: Final = float("nan")
UNPAID_DAYS: Final = "unpaid_days"
"""Not a feature: days since the first failure of the payment that is unpaid, known to the profile."""
NEAR_DAYS: Final = 30.0


class FeatureLookup:
    """The features that one wording reads of a customer, by name, in natural units; NaN for missing."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, float]) -> None:
        self.values = values

    def __call__(self, name: str) -> float:
        """The value of one feature that the wording `reads`; KeyError for any other."""
        return self.values[name]


# Baselines -----------------------------------------------------------------------------------------------------------


class Pace(NamedTuple):
    """The customer's own mean of the last 90 days (or of the tenure, if shorter), for a window of `days` days."""

    total: str
    days: float
    most: float = inf


class SameAs(NamedTuple):
    """Another feature of the same customer."""

    name: str


class Constant(NamedTuple):
    """The value of a ratio for a customer whose behavior is as usual."""

    value: float


class Derived(NamedTuple):
    """A function of the customer's other features, (n,) each."""

    function: Callable[..., Floats]
    reads: tuple[str, ...]


OwnBaseline = Pace | SameAs | Constant | Derived


# Wordings ------------------------------------------------------------------------------------------------------------

Renderer = Callable[[FeatureLookup, float], str]


class Range(NamedTuple):
    """Values from `low` to `high`, both included."""

    low: float = -inf
    high: float = inf


class Needs(NamedTuple):
    """A condition: another feature of the customer lies in the range."""

    name: str
    low: float = -inf
    high: float = inf


class Wording(NamedTuple):
    """One feature as a reason.

    Attributes:
        code: Of a reason that raises the risk; "" if the feature is never one.
        strength: Code of a protective reason; "" if the feature is never one.
        risk: The value in words, for a reason that raises the risk.
        healthy: The same for a protective reason; None: as `risk`.
        worse: 1 if more is worse, -1 if less is worse.
        own: The customer's own baseline.
        own_words: The own baseline in words, the sentence's second half; None if `risk` names it.
        peer_words: The level of other customers in words; None if the value is not compared with theirs.
        peer_code: Code of a raising reason that compares with other customers; "" for `code`.
        at_risk: Values that may raise the risk.
        safe: Values that may protect.
        alone: A value in `at_risk` or `safe` needs no baseline.
        margin: Smallest difference from a baseline that counts, beside 10% of it.
        events: A count of activity: 0 lies on the risk side only where at least 3 are usual.
        risk_needs, safe_needs: Conditions on another feature.
        named: A baseline that `risk` names without comparing the value with it.
        headline: How much more than its contribution the feature weighs when its group's sentence is chosen.
        reads: Every other feature that the words read.
    """

    code: str = ""
    strength: str = ""
    risk: Renderer | None = None
    healthy: Renderer | None = None
    worse: int = 1
    own: OwnBaseline | None = None
    own_words: Callable[[float], str] | None = None
    peer_words: Callable[[float], str] | None = None
    peer_code: str = ""
    at_risk: Range = Range()
    safe: Range = Range()
    alone: bool = False
    margin: float = 1e-3
    events: bool = False
    risk_needs: Needs | None = None
    safe_needs: Needs | None = None
    named: Callable[[FeatureLookup], float] | None = None
    headline: float = 1.0
    reads: tuple[str, ...] = ()


def usually(show: Callable[[float], str] = figure) -> Callable[[float], str]:
    """The own baseline: "usually 31"."""
    return lambda own: f"usually {show(own)}"


def typically(verb: str, show: Callable[[float], str] = figure) -> Callable[[float], str]:
    """The level of other customers: "customers typically have 0.4"."""
    return lambda peer: f"customers typically {verb} {show(peer)}"


def rarely(verb: str) -> Callable[[float], str]:
    """The level of other customers for something that most have none of.

    Levels are means of log(1 + x): below 0.4 fewer than half of the customers have one.

    >>> rarely("have")(0.1), rarely("have")(0.4)
    ('most customers have none', 'customers typically have 0.4')
    """
    return lambda peer: f"most customers {verb} none" if peer < 0.4 else f"customers typically {verb} {figure(peer)}"


def share_of_customers(rest: str, of: str = "customers") -> Callable[[float], str]:
    """A flag's mean: "3% of customers have one"."""
    return lambda peer: f"{percent(max(peer, 0.0))} of {of} {rest}"


def counted(one: str, rest: str, none: str = "", many: str = "") -> Renderer:
    """A count in words: "3 tickets open"; `none` for 0."""
    return lambda f, v: none if none and not v else f"{count(v, one, many)} {rest}"


def flag(true: str, **fields: Any) -> Wording:
    """A feature that is 0 or 1, where 1 is the risk."""
    return Wording(
        risk=lambda f, v: true, at_risk=Range(0.5), safe=Range(high=0.5), margin=0.1, alone=True, **fields
    )  # fmt: skip


def overdue(what: str, since: str, gap: str, normally: str) -> Renderer:
    """The time since the usual gap ended."""

    def render_value(f: FeatureLookup, v: float) -> str:
        late, usual = f(since) - f(gap), f(gap)
        if late != late or late <= 0.0:
            return f"{what} at {figure(v)} times the usual gap"
        return f"{what} by {days(late)}; normally {normally} {every(usual)}"

    return render_value


def on_schedule(what: str, since: str, gap: str, normally: str) -> Renderer:
    """The last time, within the usual gap."""

    def render_value(f: FeatureLookup, v: float) -> str:
        usual = f(gap)
        rhythm = "" if usual != usual else f"; normally {normally} {every(usual)}"
        return f"{what} {days(f(since))} ago, on schedule{rhythm}"

    return render_value
