"""`[alerts]` of churn.toml: the keys that the alert policy knows, and what each accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from models.definition.predicate import Scalar
from models.definition.threshold import Threshold
from models.definition.toml_table import Table, check_duration, wrong
from models.duration import format_duration

DETRACTOR_CHOICES: Final = ("none", "csat", "nps", "any")


def read_alerts(table: Table) -> tuple[tuple[str, Scalar], ...]:
    """Read and normalise the keys that are set, sorted. Raises `DefinitionError`."""
    values = {key: ALERT_KEYS[key](table.at(key), table.values[key]) for key in sorted(table.values)}
    for loose, strict in (("exit", "enter"), ("enter", "high"), ("high", "critical")):
        if loose in values and strict in values:
            low, high = (Threshold.of(values[key]) for key in (loose, strict))
            if low.relative is high.relative and low.level > high.level:
                raise wrong(table.at(loose), values[loose], f"it must not be stricter than {strict}")
    return tuple(values.items())


def _threshold(path: str, value: Any) -> Scalar:
    """A probability, or a share of customers in its printed form: "top 5%"."""
    allowed = 'it must be a probability from 0 to 1, or a share of customers such as "top 5%"'
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong(path, value, allowed)
    try:
        threshold = Threshold.of(value)
    except ValueError:
        raise wrong(path, value, allowed) from None
    return str(threshold) if threshold.relative else threshold.level


def _lift(path: str, value: Any) -> Scalar:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
        raise wrong(path, value, "it must be a number from 1 to 100")
    return float(value)


def _span_or_zero(path: str, value: Any) -> Scalar:
    return format_duration(check_duration(path, value, zero=True))


def _span(path: str, value: Any) -> Scalar:
    return format_duration(check_duration(path, value))


def _detractor(path: str, value: Any) -> Scalar:
    if value not in DETRACTOR_CHOICES:
        raise wrong(path, value, f"it must be one of {', '.join(DETRACTOR_CHOICES)}")
    return str(value)


ALERT_KEYS: Final[dict[str, Callable[[str, Any], Scalar]]] = {
    "enter": _threshold,
    "exit": _threshold,
    "high": _threshold,
    "critical": _threshold,
    "lift": _lift,
    "dwell": _span_or_zero,
    "cooldown": _span_or_zero,
    "reminder": _span_or_zero,
    "expire": _span,
    "detractor": _detractor,
}
"""Key to the function that checks a value and returns it in normal form."""
