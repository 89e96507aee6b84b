"""Seeded combinations of faults: two or three at a time, several rounds in a run.

Each fault repairs what it broke. Two faults never hit the same process at once, because the second would meet nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Final

from streams.topics import CHANGELOG
from tests.crash.matrix.disk import SmallDisk, may_mount
from tests.crash.matrix.scene import AGAIN, STOP_LIMIT_S, Scene

ROUNDS: Final = 6
QUICK_ROUNDS: Final = 2
WORKERS: Final = ("w0", "w1")
TRAINER: Final = "t0"
# Of a process that gets SIGTERM: stopped, cut short, had already failed, not started yet (docs/reliability.md).
_END_CODES: Final = {0, AGAIN, 1, 128 + signal.SIGTERM, -signal.SIGTERM}
_FULL: Final = "the disk of the store"

Fault = Callable[[Scene], Awaitable[None]]


class _Targets:
    """The processes that no fault uses at the moment."""

    def __init__(self) -> None:
        self.broker = asyncio.Lock()
        self.processes = {name: asyncio.Lock() for name in (*WORKERS, TRAINER)}

    def worker(self, scene: Scene) -> tuple[str, asyncio.Lock]:
        """Choose a worker, a free one if there is one."""
        free = [name for name in WORKERS if not self.processes[name].locked()]
        name = scene.rng.choice(free or WORKERS)
        return name, self.processes[name]


async def combined(scene: Scene) -> None:
    """Kills, SIGTERM, SIGSTOP, broker restarts, joins and leaves, a full disk, and two workers with one instance id."""
    disk = SmallDisk(scene.run.settings.store_dir.parent) if may_mount() else None
    if disk is not None:
        scene.cleanups.append(disk.close)
    scene.starts_without_broker = True
    targets = _Targets()
    faults = _faults(targets, disk)
    for name in WORKERS:
        await scene.worker(name, wait=False)
    for name in WORKERS:
        await scene.logged(name, "took over")
    await scene.trainer(TRAINER)
    bag: list[str] = []
    for _ in range(QUICK_ROUNDS if scene.quick else ROUNDS):
        chosen: list[str] = []
        for _ in range(scene.rng.choice((2, 2, 3))):
            if not bag:  # every fault comes up before any comes up again
                bag = sorted(set(faults) - set(chosen))
                scene.rng.shuffle(bag)
            chosen.append(bag.pop())
        await scene.commit(CHANGELOG)
        await asyncio.gather(*[_after_a_while(scene, faults[name]) for name in chosen])
        for name in WORKERS:
            await restart(scene, name)
        await restart(scene, TRAINER)
        await scene.commit(CHANGELOG)
        scene.feed.next_share()


async def _after_a_while(scene: Scene, fault: Fault) -> None:
    await scene.a_while(0.0, 1.5)
    await fault(scene)


async def restart(scene: Scene, name: str) -> None:
    """Start a process again unless it runs, for instance because the supervisor has restarted it."""
    process = scene.run.workers.get(name)
    if process is not None and process.poll() is None:
        return
    if name == TRAINER:
        await scene.trainer(name, wait=False)
    else:
        await scene.worker(name, wait=False)


def _faults(targets: _Targets, disk: SmallDisk | None) -> dict[str, Fault]:
    """The faults by name; each holds the lock of what it breaks."""

    async def kill_worker(scene: Scene) -> None:
        name, lock = targets.worker(scene)
        async with lock:
            await restart(scene, name)
            scene.kill(name)
            scene.may_end(name, 1)  # if it was exiting, because of a full disk or an absent broker
            await scene.a_while(0.0, 3.0)
            await restart(scene, name)

    async def kill_trainer(scene: Scene) -> None:
        async with targets.processes[TRAINER]:
            scene.kill(TRAINER)
            scene.may_end(TRAINER, 1)
            await scene.a_while(0.0, 3.0)
            await restart(scene, TRAINER)

    async def end_worker(scene: Scene) -> None:
        name, lock = targets.worker(scene)
        async with lock:
            await _end(scene, name)
            await scene.a_while(0.0, 2.0)
            await restart(scene, name)

    async def end_trainer(scene: Scene) -> None:
        async with targets.processes[TRAINER]:
            await _end(scene, TRAINER)
            await restart(scene, TRAINER)

    async def suspend_worker(scene: Scene) -> None:
        name, lock = targets.worker(scene)
        async with lock:
            await restart(scene, name)
            await scene.suspend(name, scene.rng.uniform(3.0, 9.0))

    async def kill_broker(scene: Scene) -> None:
        async with targets.broker:
            with scene.without_broker("broker killed"):
                await asyncio.to_thread(scene.broker.kill)
                await scene.a_while(0.5, 8.0)
                await asyncio.to_thread(scene.broker.start)

    async def restart_broker(scene: Scene) -> None:
        async with targets.broker:
            with scene.without_broker("broker restarted"):
                await asyncio.to_thread(scene.broker.stop)
                await asyncio.to_thread(scene.broker.start)

    async def stop_broker(scene: Scene) -> None:
        async with targets.broker:
            with scene.without_broker("SIGSTOP of the broker"):
                scene.broker.pause()
                await scene.a_while(2.0, 12.0)
                scene.broker.resume()

    async def join_and_leave(scene: Scene) -> None:
        name = f"visitor{len(scene.harms)}"
        scene.harmed(f"join {name}")
        await scene.worker(name, static=False, wait=False)
        scene.may_end(name, 1)  # if the disk is full meanwhile
        await scene.a_while(1.0, 6.0)
        await _end(scene, name)

    async def two_of_one_id(scene: Scene) -> None:
        name, lock = targets.worker(scene)
        async with lock:
            await restart(scene, name)
            twin = f"twin{len(scene.harms)}"
            scene.harmed(f"{twin} has the instance id of {name}")
            await scene.worker(twin, static=False, wait=False, CHURN_KAFKA_GROUP_INSTANCE_ID=name)
            for code in (AGAIN, 1):  # replaced by `name`, which alone is restarted; or the disk is full meanwhile
                scene.may_end(twin, code)
            await scene.a_while(3.0, 8.0)
            await _end(scene, twin)
            await restart(scene, name)

    async def fill_disk(scene: Scene) -> None:
        assert disk is not None
        async with targets.processes[WORKERS[0]], targets.processes[WORKERS[1]]:
            scene.harmed("disk full")
            for name in WORKERS:
                scene.may_end(name, 1)
            disk.fill()
            await scene.a_while(0.5, 3.0)
            disk.free()
            await asyncio.sleep(1.0)  # one that has just met the full disk is still exiting
            for name in WORKERS:
                if scene.run.workers[name].poll() == 1 and _FULL not in scene.last_line(name):
                    scene.problems.append(f"{name} ended with 1: {scene.last_line(name)}")
                await restart(scene, name)

    every = (
        kill_worker, kill_trainer, end_worker, end_trainer, suspend_worker, kill_broker, restart_broker, stop_broker,
        join_and_leave, two_of_one_id,
    )  # fmt: skip
    return {fault.__name__: fault for fault in (*every, *((fill_disk,) if disk is not None else ()))}


async def _end(scene: Scene, name: str) -> None:
    """SIGTERM, with the broker in any state: the process is gone within the limit, with a documented code."""
    scene.harmed(f"SIGTERM {name}")
    for documented in _END_CODES:
        scene.may_end(name, documented)
    process, started = scene.run.workers[name], time.monotonic()
    process.terminate()
    code: int | None = None
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = await asyncio.to_thread(process.wait, 2 * STOP_LIMIT_S)
    took_s = time.monotonic() - started
    if code not in _END_CODES or took_s > STOP_LIMIT_S:
        scene.problems.append(f"{name} ended with {code}, {took_s:.1f} s after SIGTERM: {scene.last_line(name)}")
    if "Traceback" in scene.log_of(name):
        scene.problems.append(f"{name} printed a traceback")
