"""Measure the size of a customer's records by number of events."""

from __future__ import annotations

from itertools import islice
from typing import Any

import orjson

from benchmarks.growth.population import folded, name_of
from benchmarks.throughput import world
from models.profile.keys import PROFILE

EVENTS = (10, 100, 1_000, 10_000)
# Events per day, and the number of simulated customers, at two events per day each, whose events become those of one
# customer. When one of them churns, another replaces it.
PACES = {2: 1, 40: 20}


def sizes(model: bytes, counts: tuple[int, ...] = EVENTS) -> list[dict[str, Any]]:
    """Bytes of one customer's profile and of all records (pending snapshots, scores) after each number of events."""
    return [row for pace, customers in PACES.items() for row in _at(pace, customers, model, counts)]


def _at(pace: int, customers: int, model: bytes, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    name = name_of(0)
    log = []
    for _, value in islice(world.endless(customers), max(counts)):
        log.append((name, orjson.dumps(orjson.loads(value) | {"userId": name.decode()})))
    rows = []
    for count in counts:
        store, _state, _newest_ms = folded(log[:count], model)
        size = sum(len(key) + len(value) for key, value in store.records.items())
        profile = len(store.records[PROFILE + name])
        rows.append({"a_day": pace, "events": count, "profile_bytes": profile, "all_bytes": size})
    return rows
