"""What every process answers to `/readyz`, a few times a second, and whether that fits what was done to it."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from streams.monitoring.http_server import directory_of
from tests.crash.harness import Run

_EVERY_S = 0.25
# One that stands still answers nothing: that is an answer too.
_PATIENCE_S = 1.0
# The last question of an outage may be answered after it.
_LATE_MS = 2_000
# After the last event there is nothing to wait for but the group.
_SETTLE_S = 60.0


@dataclass(frozen=True)
class Absence:
    """A time in which a process must have been seen not ready."""

    name: str
    what: str
    since_ms: int
    until_ms: int


# Of one process (ms, ready), only where that changed.
Changes = Sequence[tuple[int, bool]]


class Readiness:
    """Asks every process of a run.

    Attributes:
        changes: by name of the process; one that does not run or does not answer is not ready.
        absences: those that must show in them.
    """

    def __init__(self, run: Run) -> None:
        self.changes: dict[str, list[tuple[int, bool]]] = {}
        self.absences: list[Absence] = []
        self._run = run
        self._why: dict[str, str] = {}

    def away(self, names: Iterable[str], what: str, since_ms: int, until_ms: int) -> None:
        """These must have been seen not ready in that time."""
        self.absences += [Absence(name, what, since_ms, until_ms) for name in names]

    def running(self) -> list[str]:
        """The processes that run now."""
        return [name for name, process in self._run.workers.items() if process.poll() is None]

    async def watch(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE_S)) as session:
            while True:
                await asyncio.gather(*(self._look(session, *one) for one in list(self._run.workers.items())))
                await asyncio.sleep(_EVERY_S)

    async def settled(self) -> list[str]:
        """Wait until all that run are ready; those that do not become so, a sentence each."""
        deadline = time.monotonic() + _SETTLE_S
        while not_ready := [name for name in self.running() if not self._is_ready(name)]:
            if time.monotonic() > deadline:
                return [f"{name} is not ready at the end: {self._why.get(name, '')}" for name in not_ready]
            await asyncio.sleep(_EVERY_S)
        return []

    def unseen(self) -> list[str]:
        """Absences that nobody could see, a sentence each."""
        return [
            f"{absence.name} never said that it was not ready: {absence.what}"
            for absence in self.absences
            if not was_away(self.changes.get(absence.name, ()), absence.since_ms, absence.until_ms + _LATE_MS)
        ]

    def longest_s(self) -> float:
        """The longest time after which one that was not ready was so again (or for the first time)."""
        return max((longest_away_s(changes) for changes in self.changes.values()), default=0.0)

    def _is_ready(self, name: str) -> bool:
        changes = self.changes.get(name)
        return bool(changes) and changes[-1][1]

    async def _look(self, session: aiohttp.ClientSession, name: str, process: subprocess.Popen[bytes]) -> None:
        ready = process.poll() is None and await self._ask(session, name, process.pid)
        changes = self.changes.setdefault(name, [])
        if self._run.workers[name] is process and (not changes or changes[-1][1] != ready):
            changes.append((int(time.time() * 1000), ready))

    async def _ask(self, session: aiohttp.ClientSession, name: str, pid: int) -> bool:
        files = list(directory_of(self._run.settings).glob(f"*-{pid}.json"))
        if not files:
            self._why[name] = "it has not said where it answers"
            return False
        [target] = orjson.loads(files[0].read_bytes())[0]["targets"]
        try:
            async with session.get(f"http://{target}/readyz") as answer:
                checks = (await answer.json())["checks"]
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            self._why[name] = f"no answer: {failure!r}"
            return False
        self._why[name] = "; ".join(check["why"] for check in checks.values() if not check["ok"])
        return answer.status == 200


def was_away(changes: Changes, since_ms: int, until_ms: int) -> bool:
    """Whether it was not ready at any time between.

    >>> [was_away([(1, True), (5, False), (9, True)], *between) for between in ((2, 4), (2, 6), (6, 8), (9, 99))]
    [False, True, True, False]
    """
    before = [ready for at_ms, ready in changes if at_ms <= since_ms]
    between = [ready for at_ms, ready in changes if since_ms < at_ms <= until_ms]
    return not all([*before[-1:], *between])


def longest_away_s(changes: Changes) -> float:
    """From not ready to ready, the longest.

    >>> longest_away_s([(0, False), (2_000, True), (5_000, False), (5_500, True), (6_000, False)])
    2.0
    """
    spans = [later - at for (at, ready), (later, _) in itertools.pairwise(changes) if not ready]
    return max(spans, default=0) / 1000
