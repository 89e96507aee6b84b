"""[value] of churn.toml: what turns survival and purchases into money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from models.definition.toml_table import Table, write_value, wrong

KEYS: Final = ("margin", "discount", "months", "churn", "purchases", "order_value")
PURCHASES: Final = ("r", "alpha_weeks", "a", "b")
ORDER_VALUE: Final = ("p", "q", "gamma")
PARAMETER_MAX: Final = 1e9
MONTHS_MAX: Final = 120  # ten years: nobody's price and product are foretold further


@dataclass(frozen=True)
class ValueSettings:
    """Shares are 0 to 1."""

    margin: float = 1.0
    """Of revenue, what is left after the costs of serving the customer. Not known here: 1 makes clv revenue."""
    discount: float = 0.12
    """A year's, of money that comes later; Gupta and Lehmann (2003) use 12 %."""
    months: int = 36
    """How far ahead value is counted."""
    churn: float = 0.05
    """Subscriptions that end within 30 days, until the partition has seen its own."""

    purchases: tuple[float, float, float, float] | None = None
    """BG/NBD's r, alpha (weeks), a, b, where there is no subscription."""
    order_value: tuple[float, float, float] | None = None
    """Gamma-Gamma's p, q, gamma."""

    @property
    def monthly(self) -> float:
        """d: what a unit of money a month from now is worth today.

        >>> round(ValueSettings().monthly, 4)
        0.9906
        """
        return float((1.0 + self.discount) ** (-1.0 / 12.0))

    def printed(self) -> list[str]:
        """As a table of churn.toml, every default written out."""
        lines = [f"{key} = {write_value(getattr(self, key))}" for key in KEYS[:4]]
        for key, names in (("purchases", PURCHASES), ("order_value", ORDER_VALUE)):
            if (given := getattr(self, key)) is not None:
                pairs = ", ".join(f"{name} = {write_value(one)}" for name, one in zip(names, given, strict=True))
                lines.append(f"{key} = {{ {pairs} }}")
        return ["[value]", *lines]


DEFAULTS: Final = ValueSettings()


def read_value_settings(table: Table) -> ValueSettings:
    """Raises DefinitionError."""
    default = DEFAULTS
    return ValueSettings(
        margin=_number(table, "margin", default.margin, 0.0, 1.0),
        discount=_number(table, "discount", default.discount, 0.0, 10.0),
        months=table.integer("months", default.months, 1, MONTHS_MAX),
        churn=_number(table, "churn", default.churn, 0.0, 0.95),
        purchases=_parameters(table, "purchases", PURCHASES),
        order_value=_parameters(table, "order_value", ORDER_VALUE, q=1.0),
    )


def _parameters(table: Table, key: str, names: tuple[str, ...], **above: float) -> Any:
    """Positive numbers, all of them; None where none is given."""
    if key not in table.values:
        return None
    inner = table.table(key, names)
    for name in names:
        inner.required(name, f"a number above {above.get(name, 0.0):g}")
    return tuple(_number(inner, name, 0.0, above.get(name, 0.0), PARAMETER_MAX) for name in names)


def _number(table: Table, key: str, default: float, least: float, most: float) -> float:
    """Above `least`, but for a discount, which may be nothing."""
    value = table.values.get(key, default)
    open_ = key != "discount"
    fits = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not fits or (open_ and value == least):
        raise wrong(table.at(key), value, f"it must be a number {'above' if open_ else 'from'} {least:g} to {most:g}")
    return float(value)
