"""Kinds of simulated customers: the hidden states that they pass through, how likely each leaves, and what each shows.

A customer is a Markov chain with one step a day. Its state alone decides how likely it is to leave on that day and how
it behaves, so the probability of having left within any horizon is a product of small matrices
(`models.simulation.hazard`), and what a model can learn is bounded by how well behaviour shows the state.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BILLING_DAYS: Final = 30
"""A subscription renews every 30 days after it started."""


@dataclass(frozen=True)
class HiddenState:
    """One hidden state of one kind of customer. Rates are per customer and day."""

    kind: str
    name: str
    hazard: float  # probability to leave within a day, in an ordinary week
    to: dict[str, float] = field(default_factory=dict)  # next state -> probability a day; the rest stays
    renewal: dict[str, float] = field(default_factory=dict)  # instead of `to` on the day when the subscription renews
    starts: float = 0.0  # share of the new customers of this kind who begin here
    activity: float = 1.0  # factor on the customer's own probability to be active on a day
    depth: float = 1.0  # factor on what the customer does on an active day
    breadth: float = 1.0  # factor on the number of features that the customer uses
    tickets: float = 0.006
    reopens: float = 0.08  # probability that a solved ticket is reopened
    mood: float = 0.78  # mean answer to a survey, 0 .. 1
    opens: float = 0.5  # probability that a mail is opened
    speaks: float = 0.0008  # reviews and social mentions
    refers: float = 0.001
    exports: float = 0.01  # takes its data out
    errors: float = 0.004  # sees an error message
    unpaid: bool = False  # the last payment failed: who leaves here leaves involuntarily
    leaving: bool = False  # has scheduled the end of the subscription


# While all is well every kind is equally safe, 1.7 % in 30 days: what kind a customer is hardly shows then, so a truth
# that told the kinds apart could not be learned by anybody. Dangerous states last five to ten weeks, so that what they
# change in a customer's behaviour is seen for most of that time.
STATES: Final = (
    # Silent fading: less and less, then gone.
    HiddenState("fading", "engaged", 0.00033, {"waning": 1 / 150}, starts=0.75),
    HiddenState(
        "fading", "waning", 0.002, {"engaged": 1 / 200, "dormant": 1 / 70}, starts=0.25,
        activity=0.25, depth=0.3, breadth=0.4, opens=0.12,
    ),
    HiddenState(
        "fading", "dormant", 0.012, {"waning": 1 / 400, "leaving": 1 / 400},
        activity=0.08, depth=0.1, breadth=0.25, opens=0.03, mood=0.5,
    ),
    HiddenState(
        "fading", "leaving", 0.11, {"dormant": 0.03}, leaving=True,
        activity=0.1, depth=0.1, breadth=0.35, opens=0.05, mood=0.5,
    ),
    # Sudden stop: steady, then a fortnight of danger with few signs: errors, an export.
    HiddenState("sudden", "steady", 0.00028, {"shocked": 1 / 1100}, starts=1.0),
    HiddenState(
        "sudden", "shocked", 0.04, {"steady": 1 / 30},
        activity=0.4, depth=0.6, mood=0.5, opens=0.2, exports=0.5, errors=0.4,
    ),
    # Payment failure: a card expires, a renewal fails, dunning, then recovery or an involuntary end.
    HiddenState("payment", "paying", 0.00034, {"expiring": 1 / 200}, renewal={"failed": 0.004}, starts=1.0),
    HiddenState("payment", "expiring", 0.0003, {"paying": 1 / 45}, renewal={"failed": 0.6, "paying": 0.2}),
    HiddenState("payment", "failed", 0.025, {"paying": 0.025}, activity=0.9, unpaid=True),
    # Bad support: tickets, reopened ones, low scores, then angry.
    HiddenState("support", "content", 0.00031, {"troubled": 1 / 180}, starts=0.75),
    HiddenState(
        "support", "troubled", 0.003, {"content": 1 / 200, "fed_up": 1 / 80}, starts=0.25,
        activity=0.6, depth=0.6, tickets=0.5, reopens=0.45, errors=0.2,
        mood=0.5, opens=0.35, speaks=0.006, refers=0.0002,
    ),
    HiddenState(
        "support", "fed_up", 0.013, {"content": 1 / 400, "leaving": 1 / 400},
        activity=0.25, depth=0.4, breadth=0.5, tickets=0.4, reopens=0.6, errors=0.2,
        mood=0.2, opens=0.15, speaks=0.02, refers=0.0,
    ),
    HiddenState(
        "support", "leaving", 0.11, {"fed_up": 0.03}, leaving=True,
        activity=0.4, depth=0.4, breadth=0.5, tickets=0.1, reopens=0.5, mood=0.2, opens=0.1, speaks=0.02, refers=0.0,
    ),
    # Happy: loyal, recommends, is sometimes away; its cards fail too, and are mended soon.
    HiddenState(
        "happy", "loyal", 0.00057, {"away": 1 / 200}, renewal={"failed": 0.01}, starts=1.0,
        activity=1.2, depth=1.3, mood=0.93, opens=0.75, speaks=0.004, refers=0.03,
    ),
    HiddenState("happy", "away", 0.0003, {"loyal": 1 / 9}, activity=0.4, mood=0.9, opens=0.4),
    HiddenState("happy", "failed", 0.008, {"loyal": 0.25}, mood=0.9, unpaid=True),
    # Automated: programs go on calling when the people have long stopped.
    HiddenState("automated", "used", 0.00031, {"deserted": 1 / 550}, starts=0.75),
    HiddenState(
        "automated", "deserted", 0.012, {"used": 1 / 400}, starts=0.25,
        activity=0.1, depth=0.1, breadth=0.4, opens=0.05, mood=0.6,
    ),
    # Seasonal: quiet by the calendar, which is no danger; lapsing is.
    HiddenState("seasonal", "following", 0.00031, {"lapsing": 1 / 550}, starts=0.75),
    HiddenState(
        "seasonal", "lapsing", 0.012, {"following": 1 / 400}, starts=0.25,
        activity=0.1, depth=0.1, breadth=0.5, opens=0.05, mood=0.6,
    ),
)  # fmt: skip

MIX: Final = {
    "fading": 0.28,
    "sudden": 0.06,
    "payment": 0.16,
    "support": 0.18,
    "happy": 0.18,
    "automated": 0.07,
    "seasonal": 0.07,
}
"""Share of each kind among the customers."""

SUBSCRIBERS_ONLY: Final = frozenset({"payment", "automated"})
"""Kinds that never are customers of a shop without a subscription."""

BARRIERS: Final = {
    "fading": ("unused", "too_expensive", "missing_features"),
    "sudden": ("switched_service", "missing_features", "too_expensive"),
    "payment": ("too_expensive", "other", "unused"),
    "support": ("customer_service", "low_quality", "too_complex"),
    "happy": ("other", "too_expensive", "missing_features"),
    "automated": ("unused", "switched_service", "other"),
    "seasonal": ("unused", "too_expensive", "other"),
}
"""What stands in each kind's way, the most frequent first: Stripe's vocabulary of cancellation feedback."""

KINDS: Final = tuple(dict.fromkeys(state.kind for state in STATES))
KIND_OF: Final = np.array([KINDS.index(state.kind) for state in STATES])
HAZARD: Final[Floats] = np.array([state.hazard for state in STATES])
UNPAID: Final = np.array([state.unpaid for state in STATES])
LEAVING: Final = np.array([state.leaving for state in STATES])
EXPIRING: Final = np.array([state.name == "expiring" for state in STATES])


def column(field: str) -> Floats:
    """A rate of every state, as an array to be indexed by state number."""
    return np.array([getattr(state, field) for state in STATES], dtype=float)


def column_number(kind: str, name: str) -> int:
    """The state's number, its place in `STATES`.

    >>> column_number("fading", "dormant")
    2
    """
    return next(n for n, state in enumerate(STATES) if (state.kind, state.name) == (kind, name))


def _transitions(renewal: bool) -> Floats:
    """Row-stochastic matrix (states, states) of one daily step; chains of different kinds never meet."""
    matrix = np.zeros((len(STATES), len(STATES)))
    for row, state in enumerate(STATES):
        targets = state.renewal if renewal and state.renewal else state.to
        for name, probability in targets.items():
            matrix[row, column_number(state.kind, name)] = probability
        matrix[row, row] = 1 - matrix[row].sum()
    return matrix


STEP: Final = _transitions(renewal=False)
STEP_AT_RENEWAL: Final = _transitions(renewal=True)


def _settled() -> Floats:
    """Distribution (kinds, states) over the states of those still there after long: where old customers are found."""
    step = (1 - 1 / BILLING_DAYS) * STEP + STEP_AT_RENEWAL / BILLING_DAYS
    share = np.zeros((len(KINDS), len(STATES)))
    share[KIND_OF, np.arange(len(STATES))] = column("starts")
    for _ in range(400):
        share = (share * (1 - HAZARD)) @ step
        share /= share.sum(axis=1, keepdims=True)
    return share


SETTLED: Final = _settled()
BEGIN: Final[Floats] = np.where(np.arange(len(KINDS))[:, None] == KIND_OF, column("starts"), 0.0)
"""Distribution (kinds, states) over the states in which new customers begin."""


def draw(cumulative: Floats, uniform: Floats) -> npt.NDArray[np.int64]:
    """One column number per row of cumulative probabilities (n, k), by inversion.

    >>> draw(np.array([[0.2, 1.0], [0.2, 1.0]]), np.array([0.1, 0.7]))
    array([0, 1])
    """
    return np.minimum((uniform[:, None] >= cumulative).sum(axis=1), cumulative.shape[1] - 1)
