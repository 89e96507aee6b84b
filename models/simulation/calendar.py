"""The simulated calendar: holidays with low activity and a low hazard, weekends and seasons."""

from typing import Final

import numpy as np
import numpy.typing as npt

from models.simulation.customer import Floats

DAY_MS: Final = 86_400_000

HOLIDAYS: Final = ((1, 2), (92, 99), (213, 227), (357, 366))
"""First and last day of the year of each holiday: new year, a week in spring, two in summer, the end of the year."""

HOLIDAY_ACTIVITY: Final = 0.3
HOLIDAY_HAZARD: Final = 0.35
"""Factors on activity and hazard on a holiday. A model of absolute rates takes this low activity for churn."""

WEEKEND_ACTIVITY: Final = (1.2, 0.35)
"""Factor on activity on a Saturday or Sunday, by segment: consumers, businesses."""

SEASON_SWING: Final = (0.1, 0.6)
"""Amplitude of the yearly wave, which peaks in mid-November: ordinary customers, seasonal customers."""

_LENGTH_OF_YEAR_DAYS: Final = 365.25
_PEAK_DAY_OF_YEAR: Final = 319


class Calendar:
    """Dates of the simulated days. Days are counted from `start_ms` (midnight UTC)."""

    def __init__(self, start_ms: int) -> None:
        if start_ms % DAY_MS:
            raise ValueError(f"start_ms is {start_ms}, which is not midnight UTC: give a multiple of {DAY_MS}")
        self.start_ms = start_ms
        self._first = np.datetime64(start_ms // DAY_MS, "D")

    def date(self, day: int) -> str:
        """Return the ISO date of a day.

        >>> Calendar(1_704_067_200_000).date(31)
        '2024-02-01'
        """
        return str(self._first + day)

    def is_weekend(self, day: int) -> bool:
        """Return whether the day is a Saturday or a Sunday."""
        return not np.is_busday(self._first + day)

    def is_holiday(self, days: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Return whether each day is a holiday.

        >>> Calendar(1_704_067_200_000).is_holiday([0, 10, 100, 220])
        array([ True, False, False,  True])
        """
        day_of_year = self._day_of_year(days)
        return np.any([(first <= day_of_year) & (day_of_year <= last) for first, last in HOLIDAYS], axis=0)

    def hazard(self, days: npt.ArrayLike) -> Floats:
        """Return the factor on the hazard of each day."""
        return np.where(self.is_holiday(days), HOLIDAY_HAZARD, 1.0)

    def activity(self, day: int) -> Floats:
        """Return the factor on activity of one day: array (segment, ordinary or seasonal customer)."""
        wave = np.cos(2 * np.pi * (int(self._day_of_year(day)) - _PEAK_DAY_OF_YEAR) / _LENGTH_OF_YEAR_DAYS)
        season = 1 + np.array(SEASON_SWING) * wave
        week = np.array(WEEKEND_ACTIVITY) if self.is_weekend(day) else np.ones(2)
        return np.outer(week, season) * (HOLIDAY_ACTIVITY if self.is_holiday(day) else 1.0)

    def _day_of_year(self, days: npt.ArrayLike) -> npt.NDArray[np.int64]:
        dates = self._first + np.asarray(days, dtype="timedelta64[D]")
        return (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) + 1
