"""The amount of an order or a refund, under the names that shops and trackers give it.

Segment defines `revenue` without shipping and tax, and `total` with them; discounts and coupons are already deducted
from both. So the first readable amount is taken as it is. Without one, the products are added up, less `discount`.
"""

from __future__ import annotations

from typing import Any, Final

from models.events.coercion import as_number
from models.events.money import Reading, read_money

ORDER_AMOUNTS: Final = (
    "revenue", "total", "value", "amount", "total_price", "order_total", "total_amount", "grand_total", "subtotal",
)  # fmt: skip
"""Properties with the amount of an order, in this order."""

REFUND_AMOUNTS: Final = (
    "revenue", "total", "amount", "value", "refund_amount", "amount_refunded", "total_refunded",
)  # fmt: skip
"""Properties with the amount of a refund, in this order."""

PRODUCTS_MAX: Final = 500
"""Longer lists of products are not added up; an order of a wholesaler has some hundred lines."""

_PRICES: Final = ("price", "unit_price", "sale_price")
_DISCOUNTS: Final = ("discount", "total_discounts")


def order_amount(properties: dict[str, Any], names: tuple[str, ...] = ORDER_AMOUNTS) -> Reading:
    """Read the amount of an order or a refund.

    >>> order_amount({"products": [{"price": 10, "quantity": 2}, {"price": "5.50"}], "discount": 4, "currency": "EUR"})
    Reading(amount=2150, currency='EUR', unreadable=None)
    """
    found = read_money(properties, names)
    if found.amount is not None or found.unreadable == "currency":
        return found
    products = properties.get("products")
    if not isinstance(products, list) or not 0 < len(products) <= PRODUCTS_MAX:
        return found
    total, currency = 0, ""
    for product in products:
        line = _line(product, properties)
        if line is None or line.amount is None or (currency and line.currency != currency):
            return Reading(None, "", found.unreadable or "products")
        total, currency = total + line.amount, line.currency
    discount = read_money(properties, _DISCOUNTS)
    if discount.amount is not None and discount.currency == currency:
        total = max(total - abs(discount.amount), 0)
    return Reading(total, currency, found.unreadable or discount.unreadable)


def _line(product: Any, properties: dict[str, Any]) -> Reading | None:
    """The price of one line, times its quantity."""
    if not isinstance(product, dict):
        return None
    own = product if "currency" in product else {**product, "currency": properties.get("currency")}
    price = read_money(own, _PRICES)
    quantity = as_number(product.get("quantity", 1))
    if price.amount is None or quantity is None or not 0 <= quantity <= 1e6:
        return None
    return price._replace(amount=round(price.amount * quantity))


__all__ = ["ORDER_AMOUNTS", "REFUND_AMOUNTS", "order_amount"]
