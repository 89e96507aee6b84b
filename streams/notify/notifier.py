"""Notifier: all routes of one process, and the producer of their dead letters.

Tested by tests/broker/test_notify.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.engine.contract import Output
from streams.engine.transactions import is_lasting
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.health import Check
from streams.kafka.aiokafka_internals import stop_producer
from streams.logs import get_logger
from streams.notify.delivery import Delivery
from streams.notify.route_consumer import RouteConsumer
from streams.notify.routes import Route
from streams.notify.sender import Sender, new_session
from streams.runtime.process_end import unless_stopped
from streams.settings import Settings
from streams.topics import UNDELIVERED, name_of, verify_topics

log = get_logger(__name__)

_RETRY_S: Final = 1.0
_CLOSE_TIMEOUT_S: Final = 1.0


class Notifier:
    """Runs one consumer per route. Routes are independent: a receiver that is down delays no other route.

    Attributes:
        consumers: of the routes, while it runs.
    """

    def __init__(self, settings: Settings, routes: Sequence[Route]) -> None:
        self.consumers: list[RouteConsumer] = []
        self._settings, self._routes = settings, routes

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set, or until a route fails permanently.

        Raises:
            BrokerUnreachable: no broker is reachable with these credentials.
            TopicMismatch: a topic is missing or differs from its declaration.
            ConfigurationError: the broker rejects dead letters permanently.
            KafkaError: the broker rejects a request of a route permanently.
        """
        found = await unless_stopped(stop, verify_topics(self._settings))
        limit = found[name_of(UNDELIVERED, self._settings)].limit_bytes
        async with contextlib.AsyncExitStack() as stack:
            producing = stack.enter_async_context(dead_letter_producer(self._settings, limit))
            dead_letters = await unless_stopped(stop, producing)
            for route in self._routes:
                session = await stack.enter_async_context(new_session(route))
                topic = name_of(UNDELIVERED, self._settings)
                delivery = Delivery(route, Sender(route, session), topic, dead_letters.write)
                self.consumers.append(RouteConsumer(self._settings, delivery))
            await run_routes({consumer.route.name: consumer.run(stop) for consumer in self.consumers}, stop)

    def checks(self) -> list[Check]:
        """Checks of all routes: whether each has received its partitions."""
        return [check for consumer in self.consumers for check in consumer.checks()]


async def run_routes(routes: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run all routes until `stop` is set. If one ends before that, for whatever reason, all end.

    Raises:
        ChurnSignalsError: a route ended without an error, for example because a library cancelled it.
        Exception: that of the first route that failed.
    """
    tasks = {asyncio.create_task(work): name for name, work in routes.items()}
    try:
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and pending:  # all of them end now
            finished, _ = await asyncio.wait(pending)
            done |= finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        if not task.cancelled():
            task.result()
        if not stop.is_set():
            raise ChurnSignalsError(f"route {tasks[task]} ended unexpectedly; restart the notifier")


class DeadLetterProducer:
    """Publishes dead letters of alert events. The offset of an event is committed only after its dead letter."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def write(self, letter: Output) -> None:
        """Publish a dead letter, with retries until it succeeds.

        Raises:
            ConfigurationError: the broker rejects it permanently, for example for lack of permission.
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
                    raise ConfigurationError(
                        f"{letter.topic}/{letter.partition}: the broker rejects dead letters: {failure!r};"
                        " check the permissions and limits of this topic",
                        topic=letter.topic,
                    ) from failure
                log.warning(
                    "%s/%d: publishing a dead letter failed, will retry: %r",
                    letter.topic,
                    letter.partition,
                    failure,
                    topic=letter.topic,
                    partition=letter.partition,
                )
                await asyncio.sleep(_RETRY_S)


@contextlib.asynccontextmanager
async def dead_letter_producer(settings: Settings, limit_bytes: int) -> AsyncIterator[DeadLetterProducer]:
    """Open a producer of dead letters; `limit_bytes` is the size limit of their topic."""
    producer = AIOKafkaProducer(
        **settings.connection(),
        client_id=settings.client_id("notify"),
        acks="all",
        enable_idempotence=True,
        compression_type=settings.compression,
        max_request_size=limit_bytes,
        request_timeout_ms=settings.kafka_request_timeout_ms,
    )
    try:
        await producer.start()
        yield DeadLetterProducer(producer)
    finally:
        await stop_producer(producer, _CLOSE_TIMEOUT_S)
