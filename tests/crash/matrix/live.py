"""Runs on the wall clock: the oracle follows the clock recorded in positions and in the noted receipts."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson

from models.duration import rfc3339
from models.pipeline.effects import OffsetEvent
from models.simulation import SimulatedEvent
from streams.engine import position
from tests.crash.matrix.harm import YEAR_MS, Sending
from tests.crash.matrix.log import home_of
from tests.crash.matrix.scene import Scene

# Snapshots, labels, alert dwell and reminders all fall due within seconds.
CHURN: Final = """
[churn.definitions.left]
event = "Subscription Cancelled"
[churn.definitions.inactivity]
not_performed = ["*"]
for = "8s"
if_active_in = "8s"
[label]
primary = ["left", "inactivity"]
horizon = "8s"
grace = "1s"
[snapshot]
every = "3s"
[score]
every = "1s"
[alerts]
enter = 0.02
exit = 0.01
high = 0.1
critical = 0.3
dwell = "1s"
cooldown = "3s"
reminder = "2s"
"""
# The feed takes some 20 s. Event times are at most this far ahead of sending, which still counts as live.
_FEED_MS = 20_000
_AHEAD_MS = 30 * 60_000
_HARMS = 3
_RECEIPTS = "receipts"


def now(events: Sequence[SimulatedEvent], rng: random.Random) -> list[Sending]:
    """Compress the events of weeks into the next seconds. One clock in fifty is wrong: that of the application by
    decades, or that of the publisher by half an hour, so that the time of receipt is used."""
    first, last = events[0].time_ms, events[-1].time_ms
    start_ms = int(time.time() * 1000)
    sent = []
    for e in events:
        at_ms = start_ms + (e.time_ms - first) * _FEED_MS // (last - first)
        luck, stamp = rng.random(), None
        stated_ms = at_ms
        if luck < 0.01:
            stated_ms += rng.choice((-30, 40)) * YEAR_MS
        elif luck < 0.02:
            stated_ms, stamp = at_ms + _AHEAD_MS, at_ms + _AHEAD_MS
        value = orjson.dumps({**orjson.loads(e.value), "timestamp": rfc3339(stated_ms)})
        sent.append(Sending(value, e.customer.encode(), home_of(e.customer), (), stamp, luck < 0.02))
    return sent


async def kills_by_the_clock(scene: Scene) -> None:
    """Two workers on the wall clock, one of which is killed repeatedly. Deadlines fall due while it is down."""
    scene.common["MATRIX_RECEIPTS"] = str(scene.run.directory / _RECEIPTS)
    for name in ("w0", "w1"):
        await scene.worker(name)
    for _ in range(_HARMS):
        await scene.commit()
        await scene.a_while(1, 3)
        scene.kill("w1")
        await scene.a_while(0.2, 2)
        await scene.worker("w1")
        scene.feed.next_share()


def cuts_of(
    changelog: Sequence[Any], number: int, entries: Sequence[OffsetEvent]
) -> list[tuple[list[OffsetEvent], int]]:
    """Return the transactions of a partition: the events of each, and the partition's clock after it."""
    cuts, done = [], 0
    for record in changelog:
        if record.partition != number or record.key != position.POSITION_KEY:
            continue
        here = position.decode_position(record.value)
        part = []
        while done < len(entries) and entries[done].offset < here.next_offset:
            part.append(entries[done])
            done += 1
        inner = msgspec.msgpack.decode(msgspec.msgpack.decode(here.state)[3])
        cuts.append((part, inner[2]))
    return cuts


def receipts_of(folder: Path, changelog: Sequence[Any]) -> Callable[[int, int], int]:
    """Return when the worker that committed a record received it: the last receipt before the commit."""
    commits: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for record in changelog:
        if record.key == position.POSITION_KEY:
            commits[record.partition].append((position.decode_position(record.value).next_offset, record.timestamp))
    receipts = [tuple(map(int, line.split())) for line in (folder / _RECEIPTS).read_text().splitlines()]

    def received_ms(partition: int, offset: int) -> int:
        committed_ms = next((at_ms for next_offset, at_ms in commits[partition] if next_offset > offset), 0)
        mine = [
            at_ms
            for number, first, last, at_ms in receipts
            if number == partition and first <= offset <= last and at_ms <= committed_ms
        ]
        return max(mine, default=0)

    return received_ms
