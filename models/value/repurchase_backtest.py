"""Who comes back, foretold week after week and held against what came: BG/NBD as it is, and calibrated as time passes.

Nothing is known before its time: a week's forecasts are made from the purchases before it, with parameters learned from
these, and calibrated by the forecasts whose weeks had passed by then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.value.bg_nbd import REPEAT_CLASSES, WEEK_DAYS, BgNbd, Cohort, NoEstimate, PurchaseCells, fit
from models.value.repurchase_calibration import SURE, ReturnCalibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AHEAD_WEEKS: Final = 13  # a quarter: long enough that most who are alive show it, short enough to be known soon
BEGIN_WEEKS: Final = 10  # before it BG/NBD has seen too few second purchases
ECE_BINS: Final = 15
WEEK: Final = int(WEEK_DAYS)


class ScoredForecast(NamedTuple):
    """Forecasts of one week, when their outcome is known; arrays are (customers,)."""

    repeats: Floats
    foretold: Floats
    calibrated: Floats
    came: NDArray[np.bool_]


class ReturnClass(msgspec.Struct, frozen=True):
    """Forecasts by how often customers had bought again."""

    repeats: str
    forecasts: int
    foretold: float
    calibrated: float
    came: float


class ReturnReport(msgspec.Struct, frozen=True):
    """All forecasts from a day on."""

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
        """Whether the calibration is better by its own log loss."""
        return self.log_loss_calibrated < self.log_loss


def backtest_repurchases(days: Mapping[str, Sequence[int]], from_day: int, last_day: int) -> Iterator[ScoredForecast]:
    """Each week's forecasts from `from_day` on whose outcomes are known on `last_day`; learns from earlier ones too.

    Args:
        days: The days on which each customer bought, in order.
        from_day: Forecasts from this day on are judged.
        last_day: The last one of the log.
    """
    flat = np.array([day for mine in days.values() for day in mine], np.int64)
    who = np.repeat(np.arange(len(days)), [len(mine) for mine in days.values()])
    order = np.argsort(flat, kind="stable")
    flat, who = flat[order], who[order]
    calibration, model = ReturnCalibration(), None
    waiting: list[tuple[int, ScoredForecast]] = []
    offset = (from_day - int(flat[0])) % WEEK  # so that one of the weeks begins on `from_day`
    for start in range(int(flat[0]) + offset + WEEK * BEGIN_WEEKS, last_day + 2 - WEEK * AHEAD_WEEKS, WEEK):
        while waiting and waiting[0][0] + WEEK * AHEAD_WEEKS <= start:
            made, judged = waiting.pop(0)
            calibration.learn(made / WEEK, judged.repeats, judged.foretold, judged.came)
        known = int(np.searchsorted(flat, start))
        customers, cohort, cells = _as_of(flat[:known], who[:known], start, len(days))
        try:
            model = _fitted(cells, start - 1, model)
        except NoEstimate:
            continue
        foretold = model.returns(cohort, AHEAD_WEEKS)
        later = who[known : int(np.searchsorted(flat, start + WEEK * AHEAD_WEEKS))]
        came = np.bincount(later, minlength=len(days))[customers] > 0
        judged = ScoredForecast(cohort.x, foretold, calibration.calibrated(cohort.x, foretold), came)
        waiting.append((start, judged))
        if start >= from_day:
            yield judged


def _fitted(cells: PurchaseCells, day: int, model: BgNbd | None) -> BgNbd:
    cohort = cells.as_of(day)
    return fit(cohort) if model is None else fit(cohort, model)


def _as_of(flat: Ints, who: Ints, start: int, number: int) -> tuple[NDArray[np.intp], Cohort, PurchaseCells]:
    """Who had bought before a day, what BG/NBD asks of each, and all in cells."""
    count = np.bincount(who, minlength=number)
    first, last = np.zeros(number, np.int64), np.zeros(number, np.int64)
    last[who] = flat  # in order of days: the last one stays
    first[who[::-1]] = flat[::-1]
    customers = np.flatnonzero(count)
    repeats, began, ended = count[customers] - 1, first[customers], last[customers]
    cells = PurchaseCells.of(repeats, began, ended)
    x, t_x, age = repeats.astype(np.float64), (ended - began) / WEEK_DAYS, (start - 1 - began) / WEEK_DAYS
    return customers, Cohort(np.ones(len(x)), x, t_x, age), cells


def report(weeks: Sequence[ScoredForecast]) -> ReturnReport | None:
    """Of all weeks together, None of none."""
    if not weeks:
        return None
    repeats, foretold, calibrated, came = (np.concatenate(column) for column in zip(*weeks, strict=True))
    number = np.searchsorted(REPEAT_CLASSES, repeats, side="right")
    classes = []
    for one in np.unique(number).tolist():
        mine = number == one
        shares = (float(column[mine].mean()) for column in (foretold, calibrated, came))
        classes.append(ReturnClass(class_name(one), int(mine.sum()), *shares))
    return ReturnReport(
        AHEAD_WEEKS,
        len(came),
        _log_loss(foretold, came),
        _log_loss(calibrated, came),
        _ece(foretold, came),
        _ece(calibrated, came),
        classes,
    )


def _log_loss(p: Floats, came: NDArray[np.bool_]) -> float:
    p = np.clip(p, SURE, 1 - SURE)
    return float(-np.mean(np.where(came, np.log(p), np.log(1 - p))))


def _ece(p: Floats, came: NDArray[np.bool_]) -> float:
    bins = np.array_split(np.argsort(p, kind="stable"), ECE_BINS)
    return float(sum(abs(p[some].sum() - came[some].sum()) for some in bins) / len(p))


def class_name(number: int) -> str:
    """Of a class of repeat purchases.

    >>> class_name(0), class_name(5), class_name(9)
    ('0', '5-6', '25+')
    """
    first = REPEAT_CLASSES[number - 1] if number else 0
    if number == len(REPEAT_CLASSES):
        return f"{first}+"
    last = REPEAT_CLASSES[number] - 1
    return str(first) if first == last else f"{first}-{last}"


__all__ = ["AHEAD_WEEKS", "ReturnReport", "backtest_repurchases", "class_name", "report"]
