"""A changelog as a partition's owner writes it."""

from __future__ import annotations

from harness import Run

from streams.position import POSITION_KEY, Position, encode
from streams.recovery import recover
from streams.store import PartitionStore
from streams.topics import CHANGELOG, name_of
from streams.transactions import FencedProducer

BIRTH = b"b" * 16


class Log:
    """Writes a changelog as a partition's owner does."""

    def __init__(self, run: Run) -> None:
        self.run, self.topic = run, name_of(CHANGELOG, run.settings)
        self.next = 0

    async def write(self, changes: dict[bytes, bytes | None], *, birth: bytes = BIRTH) -> int:
        self.next += 1
        producer = await FencedProducer.open(self.run.settings, "id")
        position = encode(self.next, False, birth, b"state %d" % self.next)
        offset = await producer.commit([], (self.topic, 0), {**changes, POSITION_KEY: position})
        await producer.close()
        return offset

    async def recover(self, store: PartitionStore) -> Position | None:
        return (await recover(self.run.settings, self.topic, {0: store}))[0]


def timed(due_ms: int, rest: bytes = b"") -> bytes:
    return due_ms.to_bytes(8, "big") + rest
