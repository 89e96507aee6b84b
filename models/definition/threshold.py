"""An alert threshold: a probability (0.3), or the share of customers above it ("top 5%")."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOP = re.compile(r"top ([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%")


class Threshold(NamedTuple):
    """A threshold on the probability, or on the percentile among customers.

    A share selects the same number of customers at any churn rate: 5% of customers, whether 1% or 60% churn.

    >>> Threshold.of("top 5%").reached(0.02, 0.97), Threshold.of(0.3).reached(0.02, 0.97)
    (True, False)
    """

    level: float
    """The probability, or 1 - share: the percentile at which the share begins."""
    relative: bool
    """True for a share of customers."""

    @classmethod
    def of(cls, written: float | str) -> Threshold:
        """Read a probability from 0 to 1, or "top N%" with 0 < N <= 100. Raises ValueError for anything else."""
        if not isinstance(written, str):
            if not 0.0 <= written <= 1.0:
                raise ValueError("a probability must be from 0 to 1")
            return cls(float(written), False)
        match = _TOP.fullmatch(written)
        if match is None or not 0.0 < float(match[1]) <= 100.0:
            raise ValueError('write a share of customers as "top 5%"')
        return cls(round(1.0 - float(match[1]) / 100.0, 6), True)

    def reached(self, probability: float, percentile: float) -> bool:
        """Check a score. `percentile` is the share of customers with a lower probability, 0 to 1."""
        return (percentile if self.relative else probability) >= self.level

    def __str__(self) -> str:
        return f"top {100 * (1 - self.level):.6g}%" if self.relative else f"{self.level:g}"
