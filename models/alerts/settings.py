"""The settings of alerts, `[alerts]` of churn.toml, and the band of a score under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.definition.churn_definition import ChurnDefinition
from models.definition.threshold import Threshold
from models.duration import DAY_MS, HOUR_MS, parse_duration

Floats = NDArray[np.float64]

BANDS: Final = ("low", "elevated", "high", "critical")
ENTER: Final = Threshold.of("top 5%")  # what a team can review, at any churn rate
EXIT: Final = Threshold.of("top 15%")  # hysteresis: a customer at the threshold gets one alert, not ten
HIGH: Final = Threshold.of("top 2%")
CRITICAL: Final = Threshold.of("top 0.5%")


@dataclass(frozen=True)
class AlertSettings:
    """The policy's figures, `[alerts]` of churn.toml; docs/definition.md has the reasons."""

    definition: str = ""  # hash of the label definition; a customer has one alert at a time for each
    enter: Threshold = ENTER
    exit: Threshold = EXIT
    high: Threshold = HIGH
    critical: Threshold = CRITICAL
    lift: float = 1.5
    dwell_ms: int = 6 * HOUR_MS
    cooldown_ms: int = 14 * DAY_MS
    reminder_ms: int = 7 * DAY_MS  # 0: none
    expire_ms: int = 30 * DAY_MS
    detractor: str = "none"  # surveys whose low responses open an alert at once: none, csat, nps, any

    @classmethod
    def of(cls, churn: ChurnDefinition) -> AlertSettings:
        """The settings of a churn.toml. Omitted keys have their defaults; that of `expire` is the label's horizon."""
        written = dict(churn.alerts)
        found: dict[str, Any] = {"expire_ms": churn.horizon_ms}
        for key, value in written.items():
            if key in ("enter", "exit", "high", "critical"):
                assert not isinstance(value, bool)
                found[key] = Threshold.of(value)
            elif key == "lift":
                found[key] = float(value)
            elif key == "detractor":
                found[key] = str(value)
            else:
                found[f"{key}_ms"] = parse_duration(str(value))
        return cls(definition=churn.label_hash, **found)

    def band(self, probability: float, percentile: float, base: float) -> int:
        """Index into `BANDS`; a probability below `enter` is "low".

        A threshold by share also requires `lift`: the minimum odds, as a multiple of those of the average customer
        (`base` is the mean probability). If all customers are alike, the top share is therefore not at risk.
        """
        lifted = probability * (1.0 - base) >= self.lift * base * (1.0 - probability)
        band = 0
        for threshold in (self.enter, self.high, self.critical):
            if not threshold.reached(probability, percentile) or (threshold.relative and not lifted):
                break
            band += 1
        return band

    def bands(self, probability: Floats, percentile: Floats, base: Floats) -> NDArray[np.intp]:
        """`band` of n scores at once, (n,)."""
        lifted = probability * (1.0 - base) >= self.lift * base * (1.0 - probability)
        within = np.ones(len(probability), dtype=np.bool_)
        band = np.zeros(len(probability), dtype=np.intp)
        for threshold in (self.enter, self.high, self.critical):
            within &= (percentile if threshold.relative else probability) >= threshold.level
            if threshold.relative:
                within &= lifted
            band += within
        return band
