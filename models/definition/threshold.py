"""A limit on a probability, written as one (0.3) or as the share of customers above it ("top 5%")."""

from __future__ import annotations

import re
from typing import NamedTuple

_TOP = re.compile(r"top ([0-9]{1,3}(?:\.[0-9]{1,4})?) ?%")


class Threshold(NamedTuple):
    """Reached by a probability, or by a place among the customers.

    A share works at any churn rate: 5 % of the customers are as many where 1 % leave as where 60 % do.

    >>> Threshold.of("top 5%").reached(0.02, 0.97), Threshold.of(0.3).reached(0.02, 0.97)
    (True, False)
    """

    level: float
    """The probability, or 1 - share: the percentile from which on a customer is within the share."""
    relative: bool

    @classmethod
    def of(cls, written: float | str) -> Threshold:
        """Raises ValueError for anything but a probability from 0 to 1, or "top N%" with N above 0 and up to 100."""
        if not isinstance(written, str):
            if not 0.0 <= written <= 1.0:
                raise ValueError("a probability is from 0 to 1")
            return cls(float(written), False)
        found = _TOP.fullmatch(written)
        if found is None or not 0.0 < float(found[1]) <= 100.0:
            raise ValueError('a share of customers is written "top 5%"')
        return cls(round(1.0 - float(found[1]) / 100.0, 6), True)

    def reached(self, probability: float, percentile: float) -> bool:
        """`percentile` is the share of customers with a lower probability, 0 to 1."""
        return (percentile if self.relative else probability) >= self.level

    def __str__(self) -> str:
        return f"top {100 * (1 - self.level):.6g}%" if self.relative else f"{self.level:g}"
