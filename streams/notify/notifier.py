"""All routes of one process, and the producer of the dead letters that they share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.engine.contract import Output
from streams.engine.transactions import is_lasting
from streams.errors import ConfigurationError
from streams.health import Check
from streams.logs import get_logger
from streams.notify.delivery import Delivery
from streams.notify.route_consumer import RouteConsumer
from streams.notify.routes import Route
from streams.notify.sender import Sender, new_session
from streams.settings import Settings
from streams.topics import UNDELIVERED, name_of, verify_topics

log = get_logger(__name__)

_RETRY_S: Final = 1.0


class Notifier:
    """Delivers to every route, each at its own pace: one that is away holds up none of the others."""

    def __init__(self, settings: Settings, routes: Sequence[Route]) -> None:
        self.couriers: list[RouteConsumer] = []
        self._settings, self._routes = settings, routes

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until a route fails for a reason that trying again does not mend.

        Raises:
            ConfigurationError: topics differ from their declarations, or the broker refuses what it was asked.
        """
        found = await verify_topics(self._settings)
        limit = found[name_of(UNDELIVERED, self._settings)].limit_bytes
        async with contextlib.AsyncExitStack() as stack:
            letters = await stack.enter_async_context(producing(self._settings, limit))
            for route in self._routes:
                session = await stack.enter_async_context(new_session(route))
                delivery = Delivery(route, Sender(route, session), name_of(UNDELIVERED, self._settings), letters.bury)
                self.couriers.append(RouteConsumer(self._settings, delivery))
            tasks = [asyncio.create_task(courier.run(stop)) for courier in self.couriers]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for task in done:
                task.result()

    def checks(self) -> list[Check]:
        """Whether all routes have their partitions."""
        return [check for courier in self.couriers for check in courier.checks()]


class DeadLetters:
    """Keeps alert events that no more is tried with; a position is committed behind one only when it is kept."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def bury(self, letter: Output) -> None:
        """Write it, however long that takes.

        Raises:
            ConfigurationError: the broker refuses it for a reason that a person has to change.
        """
        while True:
            try:
                await self._producer.send_and_wait(
                    letter.topic,
                    letter.value,
                    key=letter.key,
                    partition=letter.partition,
                    headers=list(letter.headers),
                )
                return
            except (KafkaError, TimeoutError) as failure:
                if is_lasting(failure):
                    raise ConfigurationError(f"topic {letter.topic} cannot be written: {failure!r}") from failure
                log.warning(
                    "a dead letter is not written yet: %r", failure, topic=letter.topic, partition=letter.partition
                )
                await asyncio.sleep(_RETRY_S)


@contextlib.asynccontextmanager
async def producing(settings: Settings, limit_bytes: int) -> AsyncIterator[DeadLetters]:
    """Dead letters can be written as long as the `with` lasts; `limit_bytes` is that of their topic."""
    producer = AIOKafkaProducer(
        **settings.connection(),
        client_id=settings.client_id("notify"),
        acks="all",
        enable_idempotence=True,
        compression_type=settings.compression,
        max_request_size=limit_bytes,
        request_timeout_ms=settings.kafka_request_timeout_ms,
    )
    await producer.start()
    try:
        yield DeadLetters(producer)
    finally:
        await producer.stop()
