"""The truth about a simulated customer: the path that its hidden state took, and how likely it was to leave.

The path and the leaving are drawn apart. While in state s on day d a customer leaves at the constant rate
-log(1 - h(s) g(d)), g being the calendar's factor, so the chance to stay through a share w of that day is
(1 - h g)^w. At midnight the state takes one step of its chain, with another matrix on days when the subscription
renews. Hence the probability of having left within a horizon, given the state now, is exact: no simulation of the
future, and no knowledge of the path that the customer happened to take.
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
    """What was hidden of one customer. Days are counted from `start_ms`, the simulation's start."""

    customer: str
    kind: str
    subscriber: bool  # False: buys in a shop, has no subscription to cancel, leaves by falling silent
    start_ms: int
    since_ms: int  # sign-up, or the simulation's start for those who were there before
    anchor: int  # day on which the subscription's periods began
    days: list[int]  # days on which the state changed, ascending; the first is that of `since_ms`
    states: list[int]  # the state's number from that day on
    left_ms: int | None = None
    cause: str | None = None  # voluntary | involuntary, once left

    def state(self, day: int) -> int:
        """The hidden state's number on a day."""
        return self.states[max(bisect_right(self.days, day) - 1, 0)]

    def left_within(self, time_ms: int, horizon_days: float, cause: str | None = None) -> bool:
        """The outcome that belongs to `true_probability`: left by then, for that cause."""
        if self.left_ms is None or (cause and cause != self.cause):
            return False
        return self.left_ms <= time_ms + horizon_days * DAY_MS


def true_probability(trace: Trace, time_ms: int, horizon_days: float, cause: str | None = None) -> float:
    """Probability of having left by `time_ms` + horizon, given that the customer was there and its state at `time_ms`.

    `cause` counts only those who leave voluntarily or involuntarily (competing risks). From the moment when the
    customer has left the answer is certain: 1, or 0 when it left for the other cause.

    >>> trace = Trace("c1", "fading", True, 0, 0, anchor=0, days=[0], states=[2])  # dormant
    >>> [round(true_probability(trace, 20 * 86_400_000, horizon), 3) for horizon in (0, 1, 14, 30)]
    [0.0, 0.012, 0.165, 0.326]
    """
    return float(true_probabilities([trace], [time_ms], horizon_days, cause)[0])


def true_probabilities(
    traces: Sequence[Trace], times_ms: Sequence[int], horizon_days: float, cause: str | None = None
) -> Floats:
    """`true_probability` of many (trace, time) pairs of one simulation at once, array (n,)."""
    if not traces:
        return np.zeros(0)
    early = next((t for t, time_ms in zip(traces, times_ms, strict=True) if time_ms < t.since_ms), None)
    if early is not None:
        raise ValueError(f"customer {early.customer} was not there before {early.since_ms} ms")
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
    gone = np.array([t.left_ms is not None and t.left_ms <= at for t, at in zip(traces, times_ms, strict=True)])
    return np.where(gone, [float(cause is None or t.cause == cause) for t in traces], probability)


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
    """Probability (n,) to leave within the horizon from `day` + `fraction` of a day, given the state on that day.

    The mass of each row is spread over the states; each day takes what leaves, at midnight the rest takes a step.
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
    """Whether a subscription whose periods began on day `anchor` renews on `day`."""
    return (day > anchor) & ((day - anchor) % BILLING_DAYS == 0)
