"""`[value]` of churn.toml: the settings that turn survival and purchases into money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from models.definition.toml_table import Table, write_value, wrong

KEYS: Final = ("margin", "discount", "months", "churn", "purchases", "order_value")
PURCHASES: Final = ("r", "alpha_weeks", "a", "b")
ORDER_VALUE: Final = ("p", "q", "gamma")
PARAMETER_MAX: Final = 1e9
MONTHS_MAX: Final = 120  # ten years: prices and products cannot be predicted further


@dataclass(frozen=True)
class ValueSettings:
    """Margin, discount, period and model parameters. Shares are 0 to 1."""

    margin: float = 1.0
    """Share of revenue left after the cost of serving the customer. The default 1 (cost unknown) makes CLV revenue."""
    discount: float = 0.12
    """Yearly discount rate of later revenue; Gupta and Lehmann (2003) use 12%."""
    months: int = 36
    """Months ahead for which value is counted."""
    churn: float = 0.05
    """Share of subscriptions that end within 30 days, until the partition has observed its own."""

    purchases: tuple[float, float, float, float] | None = None
    """BG/NBD parameters r, alpha (weeks), a, b for customers without a subscription; None to fit them."""
    order_value: tuple[float, float, float] | None = None
    """Gamma-Gamma parameters p, q, gamma; None to fit them."""

    @property
    def monthly(self) -> float:
        """The monthly discount factor d: the value today of one unit of money in a month.

        >>> round(ValueSettings().monthly, 4)
        0.9906
        """
        return float((1.0 + self.discount) ** (-1.0 / 12.0))

    def to_toml(self) -> list[str]:
        """The lines of the table in TOML, with every default."""
        lines = [f"{key} = {write_value(getattr(self, key))}" for key in KEYS[:4]]
        for key, names in (("purchases", PURCHASES), ("order_value", ORDER_VALUE)):
            if (parameters := getattr(self, key)) is not None:
                pairs = ", ".join(
                    f"{name} = {write_value(value)}" for name, value in zip(names, parameters, strict=True)
                )
                lines.append(f"{key} = {{ {pairs} }}")
        return ["[value]", *lines]


DEFAULTS: Final = ValueSettings()


def read_value_settings(table: Table) -> ValueSettings:
    """Read the table. Raises `DefinitionError`."""
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
    """Read all parameters of a model, each above 0 or its bound in `above`; None if the key is left out."""
    if key not in table.values:
        return None
    inner = table.table(key, names)
    for name in names:
        inner.required(name, f"a number above {above.get(name, 0.0):g}")
    return tuple(_number(inner, name, 0.0, above.get(name, 0.0), PARAMETER_MAX) for name in names)


def _number(table: Table, key: str, default: float, least: float, most: float) -> float:
    """Read a number above `least` and up to `most`. Only a discount may equal `least`."""
    value = table.values.get(key, default)
    open_ = key != "discount"
    fits = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not fits or (open_ and value == least):
        raise wrong(table.at(key), value, f"it must be a number {'above' if open_ else 'from'} {least:g} to {most:g}")
    return float(value)
