"""Faults in the published log: each function takes the events and returns the records to send."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from models.duration import HOUR_MS, rfc3339
from models.events.rejection import MAX_EVENT_BYTES, MAX_PROPERTIES
from models.profile.mergeable import DAY_MS
from models.simulation import SimulatedEvent
from streams.scoring.event_router import FORWARDED
from tests.crash.matrix.log import PARTITIONS, home_of

YEAR_MS = 365 * DAY_MS
# Marks records that make the patched worker raise (see `process`).
POISON = "poison"
# Above the default limit of 1 MiB. The topic of this row accepts 3 MiB.
LARGE_BYTES = 2_000_000


class Sending(NamedTuple):
    """One record to send.

    Attributes:
        timestamp_ms: Timestamp of the record; None for the time of sending.
        harmed: The record differs from what its application sent.
        broken: The record must be rejected.
    """

    value: bytes | None
    key: bytes | None
    partition: int
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None
    harmed: bool = False
    broken: bool = False


Harm = Callable[[Sequence[SimulatedEvent], random.Random], list[Sending]]

_TIME = b'"timestamp":"2024-01-02T00:00:00Z"'
BROKEN: tuple[bytes | None, ...] = (
    None,
    b"",
    b"not json",
    b"\x00\x00\x00\x00\x07not json behind a frame",
    b'{"type":"page","userId":"\xff"}',
    b'{"type":"page","userId":"u","properties":{"n":NaN}}',
    b"[1]",
    b'"text"',
    b"[" * 100,
    b'{"type":"page","userId":"u","properties":' + b'{"a":' * 70 + b"1" + b"}" * 71,
    b'{"specversion":"1.0","type":"page"}',
    b'{"type":"dance","userId":"u",' + _TIME + b"}",
    b'{"userId":"u",' + _TIME + b"}",
    b'{"type":"track","userId":"u",' + _TIME + b"}",
    b'{"type":"page",' + _TIME + b"}",
    b'{"type":"page","userId":"",' + _TIME + b"}",
    b'{"type":"page","userId":"' + b"u" * 257 + b'",' + _TIME + b"}",
    b'{"type":"page","userId":"undefined",' + _TIME + b"}",
    b'{"type":"group","userId":"u",' + _TIME + b"}",
    b'{"type":"page","userId":"u","timestamp":"yesterday"}',
    b'{"type":"page","userId":"u","timestamp":"1969-01-01T00:00:00Z"}',
    b'{"type":"page","userId":"u","properties":[]}',
    b'{"type":"page","userId":"u",'
    + _TIME
    + b',"properties":'
    + orjson.dumps({str(number): number for number in range(MAX_PROPERTIES + 1)})
    + b"}",
    b'{"type":"page","userId":"u",' + _TIME + b',"properties":{"a":"' + b"x" * MAX_EVENT_BYTES + b'"}}',
    b'{"type":"page","userId":"u",' + _TIME + b',"properties":{"a":[' + b"1e-300," * 1_000 + b"0]}}",
)


def none(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """Unchanged, but with every hundredth event in a wrong partition, because every row tests forwarding."""
    return [_sending(e, astray=number % 100 == 17) for number, e in enumerate(events)]


def broken(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """One record in a hundred is broken, covering every rejection reason. Two records have 2 MB. Twenty single records,
    and twenty in a row, make the code raise."""
    sent: list[Sending] = []
    clean = none(events, rng)
    for number, sending in enumerate(clean):
        sent.append(sending)
        if number % 100 == 3:
            sent.append(_broken(BROKEN[(number // 100) % len(BROKEN)], number, rng))
        if number in (len(clean) // 4, len(clean) // 2):
            large = b'{"type":"page","userId":"u",' + _TIME + b',"properties":{"a":"' + b"x" * LARGE_BYTES + b'"}}'
            sent.append(_broken(large, number, rng))
        if number % (len(clean) // 20) == 40:
            sent.append(_poisoned(events[number], number, home_of(events[number].customer)))
        if number == len(clean) // 3:
            sent += [_poisoned(e, n, 0) for n, e in enumerate(events[:400]) if home_of(e.customer) == 0][:20]
    # marked as forwarded but in a wrong partition, as from a client with another partition count
    for e in [e for e in events[:60] if home_of(e.customer) == 0]:
        mark = ((FORWARDED, b"1@0"),)
        sent.append(Sending(e.value, e.customer.encode(), 1, mark, harmed=True, broken=True))
    return sent


def repeated(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """One event in twenty is repeated with the same id, within the next sixty records. This is less than a day, so the
    duplicate guard must detect it, and the oracle leaves it out. No event is in a wrong partition, because forwarding
    from a backlog may take days, beyond the window of the guard."""
    places = [(float(number), _sending(e, astray=False)) for number, e in enumerate(events)]
    again = [(n + rng.uniform(0.5, 60), s._replace(harmed=True)) for n, s in places if rng.random() < 0.05]
    return [sending for _, sending in sorted([*places, *again], key=lambda pair: pair[0])]


def disordered(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """Repeated, shuffled and late events, and wrong clocks. As in a live feed, record timestamps are the true event
    times, so that a clock that is ahead is detected."""
    # 1. Wrong clocks: by an hour for 1% of the events, by decades for 1%
    clocked = [(e, _set_clock(e, rng)) for e in events]
    sent = [
        Sending(value, e.customer.encode(), home_of(e.customer), (), e.time_ms, value != e.value)
        for e, value in clocked
    ]
    # 2. Repeats with the same id: one event in twenty, within the next hundred records
    places = [(float(number), sending) for number, sending in enumerate(sent)]
    for number, sending in enumerate(sent):
        if rng.random() < 0.05:
            places.append((number + rng.uniform(0.5, 100), sending._replace(harmed=True)))
    # 3. Late events: one in a hundred by days, which is hundreds to thousands of records
    places = [
        (place + rng.uniform(300, 3_000), s._replace(harmed=True)) if rng.random() < 0.01 else (place, s)
        for place, s in places
    ]
    sent = [sending for _, sending in sorted(places, key=lambda pair: pair[0])]
    # 4. Shuffling: a third each in windows of 10, 100 and 1,000
    third = -(-len(sent) // 3)
    shuffled: list[Sending] = []
    for part, window in enumerate((10, 100, 1_000)):
        mine = sent[part * third : (part + 1) * third]
        for start in range(0, len(mine), window):
            some = [sending._replace(harmed=True) for sending in mine[start : start + window]]
            rng.shuffle(some)
            shuffled += some
    return shuffled


def lopsided(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """Half of all events belong to one customer."""
    whale = events[0].customer
    sent = []
    for number, e in enumerate(events):
        harmed = number % 2 == 1
        value = orjson.dumps({**orjson.loads(e.value), "userId": whale}) if harmed else e.value
        customer = whale if harmed else e.customer
        sent.append(Sending(value, customer.encode(), home_of(customer), harmed=harmed))
    return sent


def _sending(event: SimulatedEvent, *, astray: bool) -> Sending:
    home = home_of(event.customer)
    return Sending(event.value, event.customer.encode(), (home + 1) % PARTITIONS if astray else home)


def _broken(value: bytes | None, number: int, rng: random.Random) -> Sending:
    key = rng.choice((None, b"\xfe key", b"u"))
    key = key or (b"u" if value is None else key)  # aiokafka requires a key or a value
    headers = (("trace", b"\x00\xff"), ("n", b"%d" % number))
    return Sending(value, key, number % PARTITIONS, headers, harmed=True, broken=True)


def _poisoned(event: SimulatedEvent, number: int, partition: int) -> Sending:
    body: dict[str, Any] = {
        "type": "page",
        "userId": event.customer,
        "timestamp": event.time_ms,
        "properties": {POISON: 1},
    }
    body["messageId"] = f"poison-{partition}-{number}"
    return Sending(orjson.dumps(body), event.customer.encode(), partition, harmed=True, broken=True)


def _set_clock(event: SimulatedEvent, rng: random.Random) -> bytes:
    luck = rng.random()
    if luck >= 0.02:
        return event.value
    wrong_ms = rng.choice((-HOUR_MS, HOUR_MS) if luck < 0.01 else (-30 * YEAR_MS, -50 * YEAR_MS, 40 * YEAR_MS))
    return orjson.dumps({**orjson.loads(event.value), "timestamp": rfc3339(event.time_ms + wrong_ms)})
