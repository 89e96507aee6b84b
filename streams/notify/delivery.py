"""Delivery of one alert event to one route: filter, send, retry with exponential backoff, dead-letter in the end.

Tested by tests/streams/notify/test_delivery.py.
"""

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
    ATTEMPT_OUTCOMES,
    BAD_BODY,
    DEAD_LETTER,
    DELIVERED,
    EVENT_OUTCOMES,
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
    """Delivers the records of a route.

    Args:
        route: receiver, filter and retry policy.
        sender: sends one request.
        topic: of the dead letters.
        write_dead_letter: publishes a dead letter; returns once it is committed to the topic.
        rng: for the jitter of the backoff.

    Attributes:
        outcomes: number of events by outcome, since the start.
        attempts: number of requests by outcome, since the start.
        request_s: seconds spent in requests.
        closing: no new attempt is started.
    """

    def __init__(
        self,
        route: Route,
        sender: Sender,
        topic: str,
        write_dead_letter: Callable[[Output], Awaitable[None]],
        rng: random.Random | None = None,
    ) -> None:
        self.route = route
        self.outcomes = dict.fromkeys(EVENT_OUTCOMES, 0)
        self.attempts = dict.fromkeys(ATTEMPT_OUTCOMES, 0)
        self.request_s = 0.0
        self.closing = False
        self._sender, self._topic, self._write_dead_letter = sender, topic, write_dead_letter
        self._rng = rng or random.Random()
        self._slots = asyncio.Semaphore(route.retry.concurrency)
        self._sending: set[asyncio.Task[Any]] = set()
        self._not_before_s = 0.0

    async def deliver(self, record: Any) -> bool:
        """Process a record until it is delivered, skipped or dead-lettered.

        Returns:
            False if it was abandoned because of a shutdown, so that its offset must not be committed.
        """
        try:
            event = AlertRecord.of(record)
            if not self.route.filter.matches(event.value, int(time.time() * 1000)):
                self.outcomes[SKIPPED] += 1
                return True
        except UnreadableAlert as error:
            return await self._give_up(record, UNREADABLE, f"not an alert event: {error}")
        except Exception as failure:  # these steps depend on the record only: an exception must not stop the route
            return await self._give_up(record, UNREADABLE, f"not an alert event: {type(failure).__name__}")
        try:
            body = self.route.body.render(event.value) if self.route.body is not None else None
        except TemplateError as error:
            return await self._give_up(record, BAD_BODY, str(error))
        except Exception as failure:
            return await self._give_up(record, BAD_BODY, f"the body cannot be built: {type(failure).__name__}")
        return await self._send_until_done(record, event, body)

    async def _send_until_done(self, record: Any, event: AlertRecord, body: bytes | None) -> bool:
        tries = 0
        while not self.closing:
            outcome = await self._attempt(event, body)
            tries += 1
            if outcome.kind == DELIVERED:
                self.outcomes[DELIVERED] += 1
                return True
            if outcome.kind != FAILED:
                return await self._give_up(record, outcome.kind, outcome.why)
            if tries >= self.route.retry.tries:
                return await self._give_up(record, GAVE_UP, f"gave up after {tries} attempts; last: {outcome.why}")
            self._log(record, "attempt %d failed, will retry", tries)
            if outcome.wait_s:
                self._not_before_s = max(self._not_before_s, time.monotonic() + outcome.wait_s)
            if not self.closing:
                await asyncio.sleep(backoff_s(tries, self.route.retry, self._rng))
        return False

    async def drain(self, tasks: list[asyncio.Task[bool]], timeout_s: float) -> None:
        """Let pending requests finish, start no new ones, and cancel the rest after the timeout."""
        self.closing = True
        try:
            for task in tasks:
                if task not in self._sending:
                    task.cancel()
            if self._sending:
                await asyncio.wait(set(self._sending), timeout=timeout_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self.closing = False

    async def _attempt(self, event: AlertRecord, body: bytes | None) -> AttemptOutcome:
        async with self._slots:
            while (left_s := self._not_before_s - time.monotonic()) > 0:
                await asyncio.sleep(left_s)  # a Retry-After applies to all events of the route
            task = asyncio.current_task()
            assert task is not None
            self._sending.add(task)
            started = time.monotonic()
            try:
                outcome = await self._sender.send(event, body)
            finally:
                self._sending.discard(task)
                self.request_s += time.monotonic() - started
        self.attempts[outcome.kind] += 1
        return outcome

    async def _give_up(self, record: Any, reason: str, message: str) -> bool:
        await self._write_dead_letter(undelivered(self._topic, record, self.route.name, reason, message))
        self.outcomes[DEAD_LETTER] += 1
        self._log(record, "dead-lettered: %s", reason)
        return True

    def _log(self, record: Any, message: str, *arguments: object) -> None:
        """Log a warning about a record. Neither request nor response is logged: both may contain personal data."""
        log.warning(
            f"%s/%d@%d: route %s: {message}",
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
    """Return the dead letter of an alert event: the event as received, plus error headers."""
    letter = dead_letter(topic, record, reason, message, "Undelivered")
    # Timestamped on write: retention must count from when it was dead-lettered, not from the alert.
    return letter._replace(headers=[*letter.headers, (ROUTE, route.encode())], timestamp_ms=None)


def backoff_s(tries: int, retry: RetryPolicy, rng: random.Random) -> float:
    """Return the wait after a number of tries: exponential up to the maximum, with 50% jitter.

    >>> retry = RetryPolicy(first_wait_s=1.0, longest_wait_s=60.0)
    >>> [round(backoff_s(tries, retry, random.Random(1)), 2) for tries in (1, 2, 3, 20)]
    [0.57, 1.13, 2.27, 34.03]
    """
    longest_s = min(retry.longest_wait_s, retry.first_wait_s * 2 ** min(tries - 1, 40))
    return rng.uniform(longest_s / 2, longest_s)
