"""Write a changelog as the owner of a partition does."""

from __future__ import annotations

from streams.engine.position import POSITION_KEY, Position, encode_position
from streams.engine.recovery import recover
from streams.engine.store import PartitionStore
from streams.engine.transactions import FencedProducer
from streams.topics import CHANGELOG, name_of
from tests.crash.harness import Run

CHANGELOG_ID = b"b" * 16


class Log:
    """Writes a changelog as the owner of a partition does."""

    def __init__(self, run: Run) -> None:
        self.run, self.topic = run, name_of(CHANGELOG, run.settings)
        self.next = 0

    async def write(self, changes: dict[bytes, bytes | None], *, changelog_id: bytes = CHANGELOG_ID) -> int:
        self.next += 1
        producer = await FencedProducer.open(self.run.settings, "id")
        position = encode_position(self.next, False, changelog_id, b"state %d" % self.next)
        offset = await producer.commit([], (self.topic, 0), {**changes, POSITION_KEY: position})
        await producer.close()
        return offset

    async def abort(self, changes: dict[bytes, bytes]) -> None:
        """Leave the transaction of an owner that dies, and a successor that writes nothing."""
        dead = await FencedProducer.open(self.run.settings, "id")
        await dead._producer.begin_transaction()
        for key, value in changes.items():
            await dead._producer.send_and_wait(self.topic, key=key, value=value, partition=0)
        await dead.discard()
        await (await FencedProducer.open(self.run.settings, "id")).close()

    async def recover(self, store: PartitionStore) -> Position | None:
        return (await recover(self.run.settings, self.topic, {0: store}))[0]


def timed(due_ms: int, rest: bytes = b"") -> bytes:
    return due_ms.to_bytes(8, "big") + rest
