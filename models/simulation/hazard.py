"""The true churn probability of a simulated customer, and the trace of its hidden states.

States and churn are drawn separately. In state s on day d a customer churns at the constant rate
-log(1 - h(s) g(d)), where h is the hazard of the state and g the factor of the calendar. So the probability to stay
through a share w of the day is (1 - h g)^w. At midnight the state takes one step of its Markov chain, by another matrix
on days when the subscription renews. Hence the probability of having churned within a horizon, given the current state,
is exact: it needs no simulation of the future and no knowledge of the later states.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.simulation.calendar import DAY_MS, Calendar
from models.simulation.customer import BILLING_DAYS, HAZARD, STATES, STEP, STEP_AT_RENEWAL, UNPAID, Floats

CAUSES: Final = ("voluntary", "involuntary")


class Trace(msgspec.Struct):
    """The hidden states of one customer. Days are counted from `start_ms`, the start of the simulation."""

    customer: str
    kind: str
    subscriber: bool  # False: a shop customer without a subscription, who churns by becoming inactive
    start_ms: int
    since_ms: int  # sign-up, or the start of the simulation for earlier customers
    anchor: int  # day on which the subscription's periods start
    days: list[int]  # days on which the state changed, ascending; the first is that of `since_ms`
    states: list[int]  # number of the state from each of these days on
    left_ms: int | None = None
    cause: str | None = None  # voluntary | involuntary, once churned

    def state(self, day: int) -> int:
        """Return the number of the hidden state on a day."""
        return self.states[max(bisect_right(self.days, day) - 1, 0)]

    def left_within(self, time_ms: int, horizon_days: float, cause: str | None = None) -> bool:
        """Return the observed outcome for `true_probability`: churned within the horizon, by that cause."""
        if self.left_ms is None or (cause and cause != self.cause):
            return False
        return self.left_ms <= time_ms + horizon_days * DAY_MS


def true_probability(trace: Trace, time_ms: int, horizon_days: float, cause: str | None = None) -> float:
    """Return the probability of having churned by `time_ms` + horizon, given the customer's state at `time_ms`.

    `cause` restricts it to voluntary or involuntary churn (competing risks). After the customer has churned the result
    is 1, or 0 if it churned by the other cause.

    >>> trace = Trace("c1", "fading", True, 0, 0, anchor=0, days=[0], states=[2])  # dormant
    >>> [round(true_probability(trace, 20 * 86_400_000, horizon), 3) for horizon in (0, 1, 14, 30)]
    [0.0, 0.012, 0.165, 0.326]
    """
    return float(true_probabilities([trace], [time_ms], horizon_days, cause)[0])


def true_probabilities(
    traces: Sequence[Trace], times_ms: Sequence[int], horizon_days: float, cause: str | None = None
) -> Floats:
    """Return `true_probability` of many (trace, time) pairs of one simulation, array (n,)."""
    if not traces:
        return np.zeros(0)
    early = next((t for t, time_ms in zip(traces, times_ms, strict=True) if time_ms < t.since_ms), None)
    if early is not None:
        raise ValueError(f"customer {early.customer} does not exist before {early.since_ms} ms")
    day, in_day_ms = np.divmod(np.asarray(times_ms, dtype=np.int64) - traces[0].start_ms, DAY_MS)
    probability = leave_probability(
        Calendar(traces[0].start_ms),
        np.array([t.state(d) for t, d in zip(traces, day.tolist(), strict=True)]),
        np.array([t.anchor for t in traces]),
        np.array([t.subscriber for t in traces]),
        day,
        in_day_ms / DAY_MS,
        horizon_days,
        cause,
    )
    churned = np.array([t.left_ms is not None and t.left_ms <= at for t, at in zip(traces, times_ms, strict=True)])
    return np.where(churned, [float(cause is None or t.cause == cause) for t in traces], probability)


def leave_probability(
    calendar: Calendar,
    state: npt.NDArray[np.integer],
    anchor: npt.NDArray[np.integer],
    subscriber: npt.NDArray[np.bool_],
    day: npt.NDArray[np.integer],
    fraction: Floats,
    horizon_days: float,
    cause: str | None = None,
) -> Floats:
    """Return the probability (n,) to churn within the horizon from `day` + `fraction`, given the state on that day.

    Each row is a distribution over the states. Each day, the mass that churns is removed; at midnight the remaining
    mass takes one step of the chain.
    """
    if cause is not None and cause not in CAUSES:
        raise ValueError(f"cause is {cause!r}: give one of {', '.join(CAUSES)}, or None for any")
    counted = (
        np.ones(len(STATES))
        if cause is None
        else np.where(UNPAID, cause == "involuntary", cause == "voluntary").astype(float)
    )
    end = fraction + horizon_days
    staying = np.zeros((len(state), len(STATES)))
    staying[np.arange(len(state)), state] = 1.0
    left = np.zeros(len(state))
    for ahead in range(int(np.ceil(end.max()))):
        if ahead:
            renews = subscriber & renews_on(anchor, day + ahead)
            staying = np.where(renews[:, None], staying @ STEP_AT_RENEWAL, staying @ STEP)
        share_of_day = np.clip(end - ahead, 0, 1) - (fraction if ahead == 0 else 0)
        hazard = HAZARD * calendar.hazard(day + ahead)[:, None]
        leaving = staying * -np.expm1(share_of_day[:, None] * np.log1p(-hazard))
        left += leaving @ counted
        staying = staying - leaving
    return np.clip(left, 0.0, 1.0)


def renews_on(anchor: npt.NDArray[np.integer], day: npt.NDArray[np.integer] | int) -> npt.NDArray[np.bool_]:
    """Return whether a subscription with periods from day `anchor` on renews on `day`."""
    return (day > anchor) & ((day - anchor) % BILLING_DAYS == 0)
