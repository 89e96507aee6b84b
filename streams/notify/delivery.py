"""One alert event to one route: filtered, tried, tried again ever more seldom, and given up in the end."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from streams.engine.contract import Output, Record
from streams.logs import get_logger
from streams.notify.alert_event import AlertRecord, UnreadableAlert
from streams.notify.outcomes import (
    ATTEMPTS,
    BAD_BODY,
    DEAD_LETTER,
    DELIVERED,
    ENDS,
    FAILED,
    GAVE_UP,
    SKIPPED,
    UNREADABLE,
)
from streams.notify.routes import RetryPolicy, Route
from streams.notify.sender import AttemptOutcome, Sender
from streams.notify.template import TemplateError
from streams.scoring.dead_letters import ROUTE, dead_letter

log = get_logger(__name__)


class Delivery:
    """What is done with each record of a route.

    Args:
        route: where to.
        sender: how.
        topic: of the dead letters.
        bury: writes a dead letter; returns when it is kept.
        dice: for the jitter.

    Attributes:
        ends: how many events ended in which way, since the start.
        attempts: how many requests had which outcome.
        request_s: seconds spent in requests.
        closing: nothing more is begun.
    """

    def __init__(
        self,
        route: Route,
        sender: Sender,
        topic: str,
        bury: Callable[[Output], Awaitable[None]],
        rng: random.Random | None = None,
    ) -> None:
        self.route = route
        self.ends = dict.fromkeys(ENDS, 0)
        self.attempts = dict.fromkeys(ATTEMPTS, 0)
        self.request_s = 0.0
        self.closing = False
        self._sender, self._topic, self._bury = sender, topic, bury
        self._rng = rng or random.Random()
        self._slots = asyncio.Semaphore(route.pace.concurrency)
        self._busy: set[asyncio.Task[Any]] = set()
        self._not_before_s = 0.0

    async def deliver(self, record: Any) -> bool:
        """Until it is delivered, not wanted or a dead letter; false if it was left alone because this closes."""
        try:
            event = AlertRecord.of(record)
        except UnreadableAlert as why:
            return await self._give_up(record, UNREADABLE, f"this is no alert event: {why}")
        if not self.route.filter.takes(event.value, int(time.time() * 1000)):
            self.ends[SKIPPED] += 1
            return True
        try:
            body = self.route.body.render(event.value) if self.route.body is not None else None
        except TemplateError as why:
            return await self._give_up(record, BAD_BODY, str(why))
        tries = 0
        while not self.closing:
            outcome = await self._attempt(event, body)
            tries += 1
            if outcome.kind == DELIVERED:
                self.ends[DELIVERED] += 1
                return True
            if outcome.kind != FAILED:
                return await self._give_up(record, outcome.kind, outcome.why)
            if tries >= self.route.pace.tries:
                return await self._give_up(record, GAVE_UP, f"tried {tries} times; the last time: {outcome.why}")
            self._log(record, "attempt %d failed", tries)
            if outcome.wait_s:
                self._not_before_s = max(self._not_before_s, time.monotonic() + outcome.wait_s)
            if not self.closing:
                await asyncio.sleep(back_off_s(tries, self.route.pace, self._rng))
        return False

    async def settle(self, tasks: list[asyncio.Task[bool]], timeout_s: float) -> None:
        """Let requests that are under way come to their end, and nothing new begin; then all tasks have ended."""
        self.closing = True
        try:
            for task in tasks:
                if task not in self._busy:
                    task.cancel()
            if self._busy:
                await asyncio.wait(set(self._busy), timeout=timeout_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self.closing = False

    async def _attempt(self, event: AlertRecord, body: bytes | None) -> AttemptOutcome:
        async with self._slots:
            while (left_s := self._not_before_s - time.monotonic()) > 0:
                await asyncio.sleep(left_s)  # the receiver asked for it, whoever is next
            task = asyncio.current_task()
            assert task is not None
            self._busy.add(task)
            begun = time.monotonic()
            try:
                outcome = await self._sender.send(event, body)
            finally:
                self._busy.discard(task)
                self.request_s += time.monotonic() - begun
        self.attempts[outcome.kind] += 1
        return outcome

    async def _give_up(self, record: Any, reason: str, message: str) -> bool:
        await self._bury(undelivered(self._topic, record, self.route.name, reason, message))
        self.ends[DEAD_LETTER] += 1
        self._log(record, "is a dead letter: %s", reason)
        return True

    def _log(self, record: Any, words: str, *arguments: object) -> None:
        """Neither what was sent nor what was answered: both may hold what no log should."""
        log.warning(
            f"%s/%d@%d: route %s: {words}",
            record.topic,
            record.partition,
            record.offset,
            self.route.name,
            *arguments,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )


def undelivered(topic: str, record: Record, route: str, reason: str, message: str) -> Output:
    """The record for the topic of what was not delivered: the event as it was, and headers that say why."""
    letter = dead_letter(topic, record, reason, message, "Undelivered")
    # Written now: its own age decides when it is deleted, not that of the alert.
    return letter._replace(headers=[*letter.headers, (ROUTE, route.encode())], timestamp_ms=None)


def back_off_s(tries: int, pace: RetryPolicy, rng: random.Random) -> float:
    """How long to wait after so many tries: twice as long each time up to the longest, the half of it by chance.

    >>> pace = RetryPolicy(first_wait_s=1.0, longest_wait_s=60.0)
    >>> [round(back_off_s(tries, pace, random.Random(1)), 2) for tries in (1, 2, 3, 20)]
    [0.57, 1.13, 2.27, 34.03]
    """
    longest_s = min(pace.longest_wait_s, pace.first_wait_s * 2 ** min(tries - 1, 40))
    return rng.uniform(longest_s / 2, longest_s)
