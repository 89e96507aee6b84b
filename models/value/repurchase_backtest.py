"""Backtest of repurchase probabilities: weekly predictions by BG/NBD, raw and calibrated online, against outcomes.

No prediction uses later data. A week's predictions and parameters come from the purchases before the week. The
calibration uses only predictions whose outcome was known by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.value.bg_nbd import REPEAT_CLASSES, WEEK_DAYS, BgNbd, Cohort, NoEstimate, PurchaseCells, fit
from models.value.repurchase_calibration import CLIP, ReturnCalibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AHEAD_WEEKS: Final = 13  # a quarter: long enough for most active customers to buy, short enough to be known soon
WARM_UP_WEEKS: Final = 10  # before them BG/NBD has too few second purchases
ECE_BINS: Final = 15
WEEK: Final = int(WEEK_DAYS)


class ScoredForecast(NamedTuple):
    """Predictions of one week with their outcomes; arrays are (customers,)."""

    repeats: Floats
    predicted: Floats
    calibrated: Floats
    returned: NDArray[np.bool_]


class ReturnClass(msgspec.Struct, frozen=True):
    """Predictions for one class of repeat purchases."""

    repeats: str
    forecasts: int
    foretold: float  # mean raw probability
    calibrated: float  # mean calibrated probability
    came: float  # actual share that bought again


class ReturnReport(msgspec.Struct, frozen=True):
    """Quality of all predictions from a day on."""

    ahead_weeks: int
    forecasts: int
    log_loss: float
    log_loss_calibrated: float
    ece: float
    """Expected calibration error, 15 bins of equal mass."""
    ece_calibrated: float
    classes: list[ReturnClass]

    @property
    def kept(self) -> bool:
        """Whether calibration improves the log loss."""
        return self.log_loss_calibrated < self.log_loss


def backtest_repurchases(days: Mapping[str, Sequence[int]], from_day: int, last_day: int) -> Iterator[ScoredForecast]:
    """Yield each week's predictions whose outcomes are known on `last_day`; calibrate with earlier weeks too.

    Args:
        days: Days of purchases per customer, in order.
        from_day: First day of the predictions that are yielded.
        last_day: Last day of the log.
    """
    flat = np.array([day for customer_days in days.values() for day in customer_days], np.int64)
    who = np.repeat(np.arange(len(days)), [len(customer_days) for customer_days in days.values()])
    order = np.argsort(flat, kind="stable")
    flat, who = flat[order], who[order]
    calibration, model = ReturnCalibration(), None
    waiting: list[tuple[int, ScoredForecast]] = []
    offset = (from_day - int(flat[0])) % WEEK  # aligns the weeks with `from_day`
    for start in range(int(flat[0]) + offset + WEEK * WARM_UP_WEEKS, last_day + 2 - WEEK * AHEAD_WEEKS, WEEK):
        while waiting and waiting[0][0] + WEEK * AHEAD_WEEKS <= start:
            made, scored = waiting.pop(0)
            calibration.update(made / WEEK, scored.repeats, scored.predicted, scored.returned)
        known = int(np.searchsorted(flat, start))
        customers, cohort, cells = _as_of(flat[:known], who[:known], start, len(days))
        try:
            model = _fitted(cells, start - 1, model)
        except NoEstimate:
            continue
        predicted = model.returns(cohort, AHEAD_WEEKS)
        later = who[known : int(np.searchsorted(flat, start + WEEK * AHEAD_WEEKS))]
        returned = np.bincount(later, minlength=len(days))[customers] > 0
        scored = ScoredForecast(cohort.x, predicted, calibration.calibrated(cohort.x, predicted), returned)
        waiting.append((start, scored))
        if start >= from_day:
            yield scored


def _fitted(cells: PurchaseCells, day: int, model: BgNbd | None) -> BgNbd:
    cohort = cells.as_of(day)
    return fit(cohort) if model is None else fit(cohort, model)


def _as_of(flat: Ints, who: Ints, start: int, number: int) -> tuple[NDArray[np.intp], Cohort, PurchaseCells]:
    """Return the customers who bought before a day, their BG/NBD inputs, and the cells."""
    count = np.bincount(who, minlength=number)
    first, last = np.zeros(number, np.int64), np.zeros(number, np.int64)
    last[who] = flat  # sorted by day, so the last one remains
    first[who[::-1]] = flat[::-1]
    customers = np.flatnonzero(count)
    repeats, first, last = count[customers] - 1, first[customers], last[customers]
    cells = PurchaseCells.of(repeats, first, last)
    x, t_x, age = repeats.astype(np.float64), (last - first) / WEEK_DAYS, (start - 1 - first) / WEEK_DAYS
    return customers, Cohort(np.ones(len(x)), x, t_x, age), cells


def report(weeks: Sequence[ScoredForecast]) -> ReturnReport | None:
    """Evaluate all weeks together; None without weeks."""
    if not weeks:
        return None
    repeats, predicted, calibrated, returned = (np.concatenate(column) for column in zip(*weeks, strict=True))
    number = np.searchsorted(REPEAT_CLASSES, repeats, side="right")
    classes = []
    for kind in np.unique(number).tolist():
        rows = number == kind
        means = (float(column[rows].mean()) for column in (predicted, calibrated, returned))
        classes.append(ReturnClass(class_name(kind), int(rows.sum()), *means))
    return ReturnReport(
        ahead_weeks=AHEAD_WEEKS,
        forecasts=len(returned),
        log_loss=_log_loss(predicted, returned),
        log_loss_calibrated=_log_loss(calibrated, returned),
        ece=_ece(predicted, returned),
        ece_calibrated=_ece(calibrated, returned),
        classes=classes,
    )


def _log_loss(p: Floats, returned: NDArray[np.bool_]) -> float:
    p = np.clip(p, CLIP, 1 - CLIP)
    return float(-np.mean(np.where(returned, np.log(p), np.log(1 - p))))


def _ece(p: Floats, returned: NDArray[np.bool_]) -> float:
    bins = np.array_split(np.argsort(p, kind="stable"), ECE_BINS)
    return float(sum(abs(p[rows].sum() - returned[rows].sum()) for rows in bins) / len(p))


def class_name(number: int) -> str:
    """Return the range of repeat purchases of a class.

    >>> class_name(0), class_name(5), class_name(9)
    ('0', '5-6', '25+')
    """
    first = REPEAT_CLASSES[number - 1] if number else 0
    if number == len(REPEAT_CLASSES):
        return f"{first}+"
    last = REPEAT_CLASSES[number] - 1
    return str(first) if first == last else f"{first}-{last}"


__all__ = ["AHEAD_WEEKS", "ReturnReport", "backtest_repurchases", "class_name", "report"]
