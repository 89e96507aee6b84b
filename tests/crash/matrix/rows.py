"""The rows of the matrix: the injected faults and their order while the feed runs. Random waits are seeded."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from streams.topics import CHANGELOG, MODEL
from tests.crash.matrix import combinations, formats, harm, live, log, stores
from tests.crash.matrix.disk import disk_full, may_mount
from tests.crash.matrix.rights import may_certify, rights_missing
from tests.crash.matrix.scene import Scene
from tests.crash.matrix.topics import DOWNTIME_S, topics_wrong
from tests.streams.format_fixture import Fixture

# The harness sets the shortest session timeout that a broker accepts.
SESSION_S = 6.0
# 1.5 times the session: the group has noticed, and another process has taken over.
_ZOMBIE_S = 9.0
# After the session, another process rejoins, fences, recovers and continues.
OUTAGE_LIMIT_S = SESSION_S + 15.0
_BROKER_DOWN_S, _BROKER_STOPPED_S = (5.0, 60.0), 20.0
# A busy machine needs some time to apply the rest after everything is sent.
REACHED_WITHIN_S = 120.0
_KILLS = 6
_MANY_KILLS = 200
# The names in `streams.failpoints.NAMES` that belong to a batch.
_BATCH_PLACES = ("after-decode", "after-apply", "inside-transaction", "before-store", "after-store")


@dataclass(frozen=True)
class Row:
    """One row of the matrix.

    Attributes:
        number: Number of the fault; several rows may share it.
        shares: Number of shares of the feed; each injected fault releases one.
        poison: Some records make the workers raise.
        topic_limit_bytes: Message size limit of the events topic; None for the broker's default.
        once: The oracle leaves out events whose id it has already seen.
        churn: Churn definition.
        clock: Value of CHURN_CLOCK. Unless it is "event", the oracle follows the clock of the positions.
        secured: Use a separate broker with users, ACLs and TLS.
        possible: Whether the row can run on this machine.
        earlier: State of an earlier release in the topics, with its own number of partitions.
        long: Has many restarts, so it runs only if it is named.
    """

    name: str
    fault: str
    play: Callable[[Scene], Awaitable[None]]
    shares: int = 1
    publish: harm.Harm = harm.none
    poison: bool = False
    once: bool = False
    topic_limit_bytes: int | None = None
    outage_limit_s: float = OUTAGE_LIMIT_S
    churn: str = log.CHURN
    clock: str = "event"
    secured: bool = False
    possible: Callable[[], bool] = lambda: True
    earlier: Fixture | None = None
    long: bool = False

    @property
    def partitions(self) -> int:
        return log.PARTITIONS if self.earlier is None else formats.PARTITIONS

    @property
    def number(self) -> str:
        return self.name.rstrip("abcd")


async def kills(scene: Scene) -> None:
    """Kill a single worker and a single trainer and restart them at once; then kill one of two workers for good."""
    if scene.quick:
        scene.feed.shares = 4  # half of the events precede the trainer's fault, which needs matured labels
    await scene.worker("w0")
    await scene.trainer("t0")
    for number in range(2 if scene.quick else _KILLS):
        await scene.a_while()
        if number % 2:  # at a commit: within some 50 ms of when a consumer sees it
            await scene.commit(CHANGELOG)
            await scene.a_while(0, 0.05)
        scene.kill("w0")
        await scene.worker("w0")
        scene.feed.next_share()
        if number % 2:
            await scene.commit(MODEL)
            await scene.a_while(0, 0.05 if number % 3 else 1.0)
            scene.kill("t0")
            await scene.trainer("t0")
            scene.feed.next_share()
    if scene.quick:
        return
    await scene.worker("w1", static=False)
    await scene.a_while()
    scene.kill("w1")
    scene.bereft_ms = scene.harms[-1].at_ms
    await scene.logged("w0", r"took over(?s:.*)took over")
    scene.feed.next_share()


async def many_kills(scene: Scene) -> None:
    """Kill a worker soon after each start; every tenth time its stores are deleted too."""
    await scene.worker("w0")
    for number in range(_MANY_KILLS):
        await scene.a_while(0.1, 1.5)
        scene.kill("w0")
        if number % 10 == 9:
            shutil.rmtree(scene.run.settings.store_dir)
        await scene.worker("w0")
        scene.feed.next_share()


async def failpoints(scene: Scene) -> None:
    """Die at every failpoint in turn, each restart at the next one. The last restart finishes."""
    for place in _BATCH_PLACES:
        await scene.worker("w0", wait=False, failpoint=f"{place}:{scene.rng.randint(1, 8)}")
        await scene.died("w0")
        scene.feed.next_share()
    await scene.worker("w0", wait=False, failpoint="before-group-commit:1")
    await scene.died("w0")
    scene.feed.next_share()
    for store in ("kept", "deleted"):
        if store == "deleted":
            shutil.rmtree(scene.run.settings.store_dir)
        await scene.worker("w0", wait=False, failpoint="mid-recovery:1")
        await scene.died("w0")
        scene.feed.next_share()
    await scene.worker("w0")
    for _ in range(2):
        await scene.trainer("t0", wait=False, failpoint=f"mid-snapshot:{scene.rng.randint(1, 2)}")
        await scene.died("t0")
        scene.feed.next_share()
    await scene.trainer("t0")


async def zombies(scene: Scene) -> None:
    """Suspend each of two workers, and the leading trainer, for longer than the session, and resume them."""
    for name in ("w0", "w1"):
        await scene.worker(name, static=False)
    await scene.trainer("t0", static=False)
    await scene.trainer("t1", static=False, wait=False)
    await scene.a_while(1.5, 2.5)
    for name in ("w1", "w0"):
        await scene.commit(CHANGELOG)
        await scene.suspend(name, _ZOMBIE_S)
        await scene.a_while(2, 3)
        scene.feed.next_share()
    await scene.commit(MODEL)
    leads = [name for name in ("t0", "t1") if "leads from" in scene.log_of(name)]
    leader = max(leads, key=lambda name: scene.log_of(name).rsplit("leads from", 1)[0].rsplit("\n", 1)[-1])
    await scene.suspend(leader, _ZOMBIE_S)
    await scene.a_while(1, 2)
    scene.feed.next_share()


async def rebalances(scene: Scene) -> None:
    """Scale workers 1 -> 3 -> 2 -> 1, replace each by another, then six joins and leaves in less than a minute."""
    await scene.worker("w0", static=False)
    for name in ("w1", "w2"):
        scene.harmed(f"join {name}")
        await scene.worker(name, static=False)
        await scene.a_while()
    scene.feed.next_share()
    for name in ("w2", "w1"):
        await scene.stop(name)
        await scene.a_while()
    scene.feed.next_share()
    await scene.worker("w1", static=False)
    for name in ("w0", "w1"):  # rolling restart
        await scene.stop(name)
        scene.harmed(f"start {name}")
        await scene.worker(name, static=False)
    scene.feed.next_share()
    for number in range(3):
        name = f"visitor{number}"
        scene.harmed(f"join {name}")
        await scene.worker(name, static=False)
        await scene.a_while(0.1, 0.8)
        await scene.stop(name)
        await scene.a_while(0.1, 0.8)
        scene.feed.next_share()


async def broker_killed(scene: Scene) -> None:
    """kill -9 of the broker with two workers and a trainer, and restart after 5 s and after 60 s."""
    await _two_and_a_trainer(scene)
    for down_s in _BROKER_DOWN_S:
        await scene.commit(CHANGELOG)
        with scene.without_broker(f"broker killed for {down_s:.0f} s"):
            await asyncio.to_thread(scene.broker.kill)
            await asyncio.sleep(down_s)
            await asyncio.to_thread(scene.broker.start)
        await scene.commit(CHANGELOG)
        scene.feed.next_share()


async def broker_stopped(scene: Scene) -> None:
    """SIGSTOP of the broker beyond session and transaction timeout: sockets stay open without responses."""
    await _two_and_a_trainer(scene)
    await scene.commit(CHANGELOG)
    with scene.without_broker("SIGSTOP of the broker"):
        scene.broker.pause()
        try:
            await asyncio.sleep(_BROKER_STOPPED_S)
        finally:
            scene.broker.resume()
    await scene.commit(CHANGELOG)
    scene.feed.next_share()


async def published(scene: Scene) -> None:
    """Faults are only in the published log; the two workers are not harmed."""
    for name in ("w0", "w1"):
        await scene.worker(name, wait=False)


async def poisoned(scene: Scene) -> None:
    """Like `published`. Twenty records in a row that raise stop a worker with one line, because more than ten indicate
    a bug in the code. A supervisor restarts it, and it continues after those that are dead letters by then."""
    await published(scene)
    stopped, fed_s = 0, time.monotonic()
    while not scene.feed.done or stopped == 0:
        for name in ("w0", "w1"):
            process = scene.run.workers[name]
            if process.poll() == 1:
                stopped += 1
                if "events in a row cannot be applied" not in scene.last_line(name):
                    scene.problems.append(f"{name} ended with 1: {scene.last_line(name)}")
                await scene.worker(name, wait=False)
                scene.may_end(name, 1)
            scene.may_end(name, 1)
        await asyncio.sleep(0.1)
        if not scene.feed.done:
            fed_s = time.monotonic()
        elif not stopped and time.monotonic() - fed_s > REACHED_WITHIN_S:
            scene.problems.append("twenty records in a row that raise did not stop the worker")
            return


async def local_stores(scene: Scene) -> None:
    """Between a kill and the restart, delete, truncate, roll back, swap or outdate the stores."""
    folder = scene.run.settings.store_dir
    earlier = folder.with_name(folder.name + ".earlier")
    await scene.worker("w0")
    await scene.commit(CHANGELOG)
    scene.kill("w0")
    shutil.copytree(folder, earlier)
    scene.feed.next_share()
    for fault in stores.FAULTS:
        await scene.worker("w0")
        await scene.commit(CHANGELOG)
        await scene.a_while()
        scene.kill("w0")
        await asyncio.to_thread(fault, folder, earlier, scene.rng)
        scene.harmed(f"stores {fault.__name__}")
        scene.feed.next_share()
    await scene.worker("w0")


async def _two_and_a_trainer(scene: Scene) -> None:
    for name in ("w0", "w1"):
        await scene.worker(name, static=False)
    await scene.trainer("t0")


ROWS = (
    Row("1", "kill -9 of worker and trainer", kills, shares=_KILLS + _KILLS // 2 + 2),
    Row(
        "2",
        "crash at every failpoint",
        failpoints,
        shares=11,
        outage_limit_s=3 * OUTAGE_LIMIT_S,  # twice during recovery, so there are three starts in sequence
    ),
    Row("3", "zombies: SIGSTOP 9 s, session 6 s", zombies, shares=4),
    Row("4", "rebalances: 1-3-2-1, rolling, 6/min", rebalances, shares=7),
    Row(
        "6",
        "1% broken, 2 MB, null, exceptions",
        poisoned,
        publish=harm.broken,
        poison=True,
        topic_limit_bytes=3 * 1024 * 1024,
    ),
    Row("7a", "5% duplicates, same id", published, publish=harm.repeated, once=True),
    Row("7b", "disorder, days late, wrong clocks", published, publish=harm.disordered),
    Row(
        "7c",
        "live: wrong clocks, kill -9, clock auto",
        live.kills_by_the_clock,
        shares=4,
        publish=live.now,
        churn=live.CHURN,
        clock="auto",
    ),
    Row(
        "7d",
        "live: wrong clocks, kill -9, clock wall",
        live.kills_by_the_clock,
        shares=4,
        publish=live.now,
        churn=live.CHURN,
        clock="wall",
    ),
    Row("8", "half of all events from one customer", published, publish=harm.lopsided),
    Row("9a", "stores deleted, truncated, old, swapped, stale", local_stores, shares=len(stores.FAULTS) + 2),
    Row("9b", "disk of the stores full", disk_full, shares=3, possible=may_mount),
    Row(
        "10",
        "state and snapshots of earlier formats",
        formats.earlier_formats,
        shares=5,
        publish=formats.goes_on,
        churn=formats.TODAY.churn,
        earlier=formats.TODAY,
    ),
    Row(
        "11",
        "wrong topics, deleted input",
        topics_wrong,
        shares=6,
        outage_limit_s=DOWNTIME_S[1] + 2 * OUTAGE_LIMIT_S,  # one start is rejected, the next one continues
    ),
    Row("12", "password, certificate, rights; SASL_SSL", rights_missing, shares=4, secured=True, possible=may_certify),
    Row(
        "13",
        "combinations: two or three faults at a time",
        combinations.combined,
        shares=combinations.ROUNDS + 1,
        outage_limit_s=3 * OUTAGE_LIMIT_S,  # an outage of the broker, then a takeover that meets the next fault
    ),
    Row("14", "kill -9 of a worker, 200 times", many_kills, shares=_MANY_KILLS + 1, long=True),
    Row(
        "5a",
        "broker killed for 5 s and for 60 s",
        broker_killed,
        shares=3,
        outage_limit_s=max(_BROKER_DOWN_S) + OUTAGE_LIMIT_S,
    ),
    Row(
        "5b",
        "broker stopped for 20 s",
        broker_stopped,
        shares=2,
        outage_limit_s=_BROKER_STOPPED_S + OUTAGE_LIMIT_S,
    ),
)
