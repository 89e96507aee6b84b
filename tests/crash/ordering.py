"""A minimal learner that records the order of its labels. Run as a program, it is a trainer with this learner."""

from __future__ import annotations

import asyncio

import orjson

from streams.logs import configure, exit_now
from streams.runtime.process_end import run_until_signal
from streams.settings import Settings
from streams.training.trainer import SkipLabel, TrainerLoop, ignore


class Order:
    def __init__(self) -> None:
        self.learned: list[int] = []

    def restore(self, snapshot: bytes | None) -> None:
        self.learned = orjson.loads(snapshot) if snapshot is not None else []

    def learn(self, labels: list[bytes], skip: SkipLabel = ignore) -> None:
        self.learned += [int(label) for label in labels]

    def snapshot(self) -> bytes:
        return orjson.dumps(self.learned)


def main() -> int:
    settings = Settings.from_environment()
    configure(settings)

    async def work(stop: asyncio.Event) -> None:
        await TrainerLoop(settings, Order()).run(stop)

    return run_until_signal(work)


if __name__ == "__main__":
    exit_now(main())
