"""Find the customers of disputes: a dispute names its charge, and events of the charge name the customer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from models.imports.calls import object_at, text_at
from models.imports.source import NumberedRow, Row

CHARGES_MAX: Final = 1_000_000
"""Charges whose customer is remembered, the first of the file: some 200 MB. Disputes of later ones are rejected."""


def with_disputed_charges(rows: Iterable[NumberedRow]) -> Iterator[NumberedRow]:
    """Yield all rows; those of disputes at the end, with their charge expanded if another row has its customer.

    >>> def event(name, **found): return {"type": name, "data": {"object": found}}
    >>> rows = [(1, event("charge.dispute.created", charge="ch_1")),
    ...         (2, event("charge.succeeded", object="charge", id="ch_1", customer="cus_1"))]
    >>> [(line, row["data"]["object"].get("charge")) for line, row in with_disputed_charges(rows)]
    [(2, None), (1, {'id': 'ch_1', 'customer': 'cus_1'})]
    """
    customers: dict[str, str] = {}
    disputes: list[tuple[int, Row]] = []
    for line, row in rows:
        if isinstance(row, str):
            yield line, row
            continue
        found = object_at(row, "data", "object")
        if text_at(row, "type").startswith("charge.dispute.") and text_at(found, "charge"):
            disputes.append((line, row))
            continue
        if text_at(found, "object") == "charge" and text_at(found, "customer") and len(customers) < CHARGES_MAX:
            customers[text_at(found, "id")] = text_at(found, "customer")
        yield line, row
    for line, row in disputes:
        found = object_at(row, "data", "object")
        charge = {"id": found["charge"], "customer": customers.get(found["charge"])}
        yield line, {**row, "data": {**row["data"], "object": {**found, "charge": charge}}}


__all__ = ["CHARGES_MAX", "with_disputed_charges"]
