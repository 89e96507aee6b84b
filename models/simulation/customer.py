"""Kinds of simulated customers: their hidden states, hazards, transitions and behaviour.

A customer is a Markov chain with one step per day. The state alone determines the hazard and the behaviour of the day.
So the probability of having churned within any horizon is a product of small matrices (`models.simulation.hazard`), and
the best possible model is limited by how well behaviour reveals the state.
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
    hazard: float  # probability to churn within a day, outside holidays
    to: dict[str, float] = field(default_factory=dict)  # next state -> probability per day; the rest stays
    renewal: dict[str, float] = field(default_factory=dict)  # replaces `to` on the day when the subscription renews
    starts: float = 0.0  # share of the new customers of this kind who start in this state
    activity: float = 1.0  # factor on the customer's own probability to be active on a day
    depth: float = 1.0  # factor on the number of events on an active day
    breadth: float = 1.0  # factor on the number of features that the customer uses
    tickets: float = 0.006
    reopens: float = 0.08  # probability that a solved ticket is reopened
    mood: float = 0.78  # mean survey score, 0 .. 1
    opens: float = 0.5  # probability that a mail is opened
    speaks: float = 0.0008  # reviews and social mentions
    refers: float = 0.001
    exports: float = 0.01  # data exports
    errors: float = 0.004  # error messages shown
    unpaid: bool = False  # the last payment failed: churn from this state is involuntary
    leaving: bool = False  # the customer has scheduled a cancellation


# In its safe state every kind has about the same hazard, 1.7% in 30 days: behaviour hardly reveals the kind then, so no
# model could learn different hazards. Dangerous states last five to ten weeks, so that the changed behaviour is visible
# for most of that time.
STATES: Final = (
    # Fading: less and less activity, then churn.
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
    # Sudden stop: steady, then two dangerous weeks with few signs: errors, an export.
    HiddenState("sudden", "steady", 0.00028, {"shocked": 1 / 1100}, starts=1.0),
    HiddenState(
        "sudden", "shocked", 0.04, {"steady": 1 / 30},
        activity=0.4, depth=0.6, mood=0.5, opens=0.2, exports=0.5, errors=0.4,
    ),
    # Payment failure: a card expires, a renewal fails, dunning, then recovery or an involuntary end.
    HiddenState("payment", "paying", 0.00034, {"expiring": 1 / 200}, renewal={"failed": 0.004}, starts=1.0),
    HiddenState("payment", "expiring", 0.0003, {"paying": 1 / 45}, renewal={"failed": 0.6, "paying": 0.2}),
    HiddenState("payment", "failed", 0.025, {"paying": 0.025}, activity=0.9, unpaid=True),
    # Bad support: tickets, reopened tickets, low scores, then fed up.
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
    # Happy: loyal, refers others, is sometimes away; failed payments recover soon.
    HiddenState(
        "happy", "loyal", 0.00057, {"away": 1 / 200}, renewal={"failed": 0.01}, starts=1.0,
        activity=1.2, depth=1.3, mood=0.93, opens=0.75, speaks=0.004, refers=0.03,
    ),
    HiddenState("happy", "away", 0.0003, {"loyal": 1 / 9}, activity=0.4, mood=0.9, opens=0.4),
    HiddenState("happy", "failed", 0.008, {"loyal": 0.25}, mood=0.9, unpaid=True),
    # Automated: programs continue to send events after the people have stopped.
    HiddenState("automated", "used", 0.00031, {"deserted": 1 / 550}, starts=0.75),
    HiddenState(
        "automated", "deserted", 0.012, {"used": 1 / 400}, starts=0.25,
        activity=0.1, depth=0.1, breadth=0.4, opens=0.05, mood=0.6,
    ),
    # Seasonal: low activity by the calendar is safe; the lapsing state is dangerous.
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
"""Kinds that always have a subscription."""

BARRIERS: Final = {
    "fading": ("unused", "too_expensive", "missing_features"),
    "sudden": ("switched_service", "missing_features", "too_expensive"),
    "payment": ("too_expensive", "other", "unused"),
    "support": ("customer_service", "low_quality", "too_complex"),
    "happy": ("other", "too_expensive", "missing_features"),
    "automated": ("unused", "switched_service", "other"),
    "seasonal": ("unused", "too_expensive", "other"),
}
"""Barriers of each kind, the most frequent first, in Stripe's vocabulary of cancellation feedback."""

KINDS: Final = tuple(dict.fromkeys(state.kind for state in STATES))
KIND_OF: Final = np.array([KINDS.index(state.kind) for state in STATES])
HAZARD: Final[Floats] = np.array([state.hazard for state in STATES])
UNPAID: Final = np.array([state.unpaid for state in STATES])
LEAVING: Final = np.array([state.leaving for state in STATES])
EXPIRING: Final = np.array([state.name == "expiring" for state in STATES])


def column(field: str) -> Floats:
    """Return a rate of every state, as an array indexed by state number."""
    return np.array([getattr(state, field) for state in STATES], dtype=float)


def state_number(kind: str, name: str) -> int:
    """Return the number of a state: its index in `STATES`.

    >>> state_number("fading", "dormant")
    2
    """
    return next(n for n, state in enumerate(STATES) if (state.kind, state.name) == (kind, name))


def _transitions(renewal: bool) -> Floats:
    """Row-stochastic matrix (states, states) of one daily step. No transition changes the kind."""
    matrix = np.zeros((len(STATES), len(STATES)))
    for row, state in enumerate(STATES):
        targets = state.renewal if renewal and state.renewal else state.to
        for name, probability in targets.items():
            matrix[row, state_number(state.kind, name)] = probability
        matrix[row, row] = 1 - matrix[row].sum()
    return matrix


STEP: Final = _transitions(renewal=False)
STEP_AT_RENEWAL: Final = _transitions(renewal=True)


def _settled() -> Floats:
    """Distribution (kinds, states) over the states of long-standing customers."""
    step = (1 - 1 / BILLING_DAYS) * STEP + STEP_AT_RENEWAL / BILLING_DAYS
    share = np.zeros((len(KINDS), len(STATES)))
    share[KIND_OF, np.arange(len(STATES))] = column("starts")
    for _ in range(400):
        share = (share * (1 - HAZARD)) @ step
        share /= share.sum(axis=1, keepdims=True)
    return share


SETTLED: Final = _settled()
BEGIN: Final[Floats] = np.where(np.arange(len(KINDS))[:, None] == KIND_OF, column("starts"), 0.0)
"""Distribution (kinds, states) over the states in which new customers start."""


def draw(cumulative: Floats, uniform: Floats) -> npt.NDArray[np.int64]:
    """Draw one column index per row of cumulative probabilities (n, k), by inversion.

    >>> draw(np.array([[0.2, 1.0], [0.2, 1.0]]), np.array([0.1, 0.7]))
    array([0, 1])
    """
    return np.minimum((uniform[:, None] >= cumulative).sum(axis=1), cumulative.shape[1] - 1)
