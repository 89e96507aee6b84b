"""Find whether a changed subscription became more or less expensive, from the events before it."""

from __future__ import annotations

from models.imports.source import Row


class PlanChanges:
    """Follows the MRR of each subscription through calls in order of time.

    Memory grows with the number of subscriptions.

    >>> changes = PlanChanges()
    >>> def call(event, mrr): return {"event": event, "properties": {"subscription_id": "s", "mrr": mrr}}
    >>> [changes.resolved(call(*stated))["event"] for stated in
    ...  (("Subscription Started", 49.0), ("Subscription Updated", 99.0), ("Subscription Updated", 99.0))]
    ['Subscription Started', 'Subscription Upgraded', 'Subscription Updated']
    """

    def __init__(self) -> None:
        self._prices: dict[tuple[object, object], float] = {}

    def resolved(self, call: Row) -> Row:
        """Return the call, renamed if it is an update that changes the price."""
        properties = call.get("properties") or {}
        identity, price = properties.get("subscription_id"), properties.get("mrr")
        if identity is None or not isinstance(price, int | float):
            return call
        key = (identity, properties.get("currency"))
        former = self._prices.get(key)
        self._prices[key] = price
        if call.get("event") != "Subscription Updated" or former is None or former == price:
            return call
        named = {**call, "event": "Subscription Upgraded" if price > former else "Subscription Downgraded"}
        named.pop("context", None)
        return named


__all__ = ["PlanChanges"]
