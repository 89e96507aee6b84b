"""A minimal processor that counts and sums per customer. Run as a program, it is a worker with this processor."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from streams.engine.contract import NEVER_DUE_MS, BatchEffects, Output, Processor, Record, StateStore
from streams.engine.worker import Worker
from streams.logs import configure, exit_now
from streams.runtime.process_end import run_until_signal
from streams.settings import Settings

NEVER = NEVER_DUE_MS.to_bytes(8, "big")


class CountingProcessor(Processor):
    """Keeps a count and a sum per customer. Every tenth event of a customer is also an output."""

    newest_event_ms: int | None = None

    def __init__(self, settings: Settings, partition: int, store: StateStore, state: bytes | None) -> None:
        self.settings, self.partition, self.store = settings, partition, store
        self.seen = orjson.loads(state)["seen"] if state else 0

    def process(self, records: Sequence[Record], now_ms: int | None) -> BatchEffects:
        groups: dict[bytes, list[Record]] = {}
        for record in records:
            groups.setdefault(b"c" + (record.key or b""), []).append(record)
        profiles = self.store.get_many(list(groups))
        effects = BatchEffects()
        for (key, events), stored in zip(groups.items(), profiles, strict=True):
            profile = orjson.loads(stored[8:]) if stored is not None else {"count": 0, "sum": 0}
            for event in events:
                profile["count"] += 1
                profile["sum"] += orjson.loads(event.value or b"0")["n"]
                if profile["count"] % 10 == 0:
                    body = orjson.dumps({"count": profile["count"], "sum": profile["sum"], "offset": event.offset})
                    effects.outputs.append(Output(self.settings.topic_alerts, self.partition, key[1:], body))
            effects.changes[key] = NEVER + orjson.dumps(profile)
        self.seen += len(records)
        effects.state = orjson.dumps({"seen": self.seen})
        return effects

    def next_due_ms(self) -> int | None:
        return None

    def committed(self) -> None:
        pass


def main() -> int:
    settings = Settings.from_environment()
    configure(settings)

    async def work(stop: asyncio.Event) -> None:
        def factory(partition: int, store: StateStore, state: bytes | None) -> CountingProcessor:
            return CountingProcessor(settings, partition, store, state)

        await Worker(settings, factory).run(stop)

    return run_until_signal(work)


if __name__ == "__main__":
    exit_now(main())
