"""Changes to aiokafka's behaviour without a broker: how often it tries to reach one, and how long a stop takes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import BrokerMetadata

from streams.kafka.aiokafka_internals import (
    back_off_reconnects,
    create_batch,
    discard_producer,
    stop_consumer,
    stop_producer,
)
from tests import virtual_clock

BACKOFF_MS = 5


async def attempts(monkeypatch: pytest.MonkeyPatch, *, down_s: float) -> tuple[int, float]:
    """Connect like a producer until it succeeds; returns the attempts, and the seconds after the end of the outage."""
    clock = asyncio.get_running_loop().time
    asked, began = 0, clock()

    async def create_conn(*_: object, **__: object) -> object:
        nonlocal asked
        asked += 1
        if clock() - began < down_s:
            raise ConnectionRefusedError("no server listens")
        return object()

    monkeypatch.setattr("aiokafka.client.create_conn", create_conn)
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1", retry_backoff_ms=BACKOFF_MS)
    monkeypatch.setattr(client.cluster, "broker_metadata", lambda node: BrokerMetadata(node, "127.0.0.1", 1, None))
    back_off_reconnects(client)
    while not await client.ready(1):
        await asyncio.sleep(BACKOFF_MS / 1000)
    return asked, clock() - began - down_s


def test_connection_attempts_to_an_unreachable_broker_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: attempts become rare within a second, and the delay after the outage is at most half a second."""
    asked, late_s = virtual_clock.run(attempts(monkeypatch, down_s=2.0))
    assert 4 < asked < 20
    assert late_s < 0.6


def test_a_short_outage_costs_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the first attempts follow each other quickly."""
    _, late_s = virtual_clock.run(attempts(monkeypatch, down_s=0.05))
    assert late_s < 0.15


def test_reachable_brokers_are_not_delayed_by_unreachable_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: failures are counted for each broker."""

    async def body() -> float:
        client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1", retry_backoff_ms=BACKOFF_MS)

        async def connect(node: int, **_: object) -> object | None:
            return None if node == 1 else object()

        monkeypatch.setattr(client, "_get_conn", connect)
        back_off_reconnects(client)
        for _ in range(4):
            assert not await client.ready(1)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await client.ready(2)
        return clock() - began

    assert virtual_clock.run(body()) == 0


@pytest.mark.parametrize(("usual", "own"), [(None, "snappy"), ("gzip", None), ("gzip", "snappy")])
def test_a_batch_may_have_a_compression_of_its_own(usual: str | None, own: str | None) -> None:
    """Rule: a batch has its own compression, and the producer's next batch has the default one."""
    codecs = {None: 0, "gzip": 1, "snappy": 2}

    async def body() -> tuple[int, int]:
        producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", compression_type=usual)
        found = []
        for batch in (create_batch(producer, own), producer.create_batch()):
            batch.append(key=b"k", value=bytes(1_000), timestamp=1)
            found.append(MemoryRecords(bytes(batch._build())).next_batch().compression_type)
        await discard_producer(producer)
        return found[0], found[1]

    assert asyncio.run(body()) == (codecs[own], codecs[usual])


class Closable:
    """A client whose `stop` behaves as aiokafka's does without a broker."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._coordinator = self._fetcher = None
        self._client = self
        self.closed = False

    async def stop(self) -> None:
        if self._how == "raises":
            raise KafkaConnectionError("closed")
        if self._how == "is cancelled":
            raise asyncio.CancelledError
        if self._how == "hangs":
            with contextlib.suppress(asyncio.CancelledError):  # aiokafka's fetcher swallows it
                await asyncio.sleep(60)
            await asyncio.sleep(60)

    async def close(self) -> None:
        self.closed = True
        await asyncio.sleep(60 if self._how == "hangs" else 0)


@pytest.mark.parametrize(("how", "within_s"), [("closes", 0.1), ("raises", 0.1), ("is cancelled", 0.1), ("hangs", 2.1)])
def test_consumer_is_closed_or_abandoned_within_its_time(how: str, within_s: float) -> None:
    """Rule: a stop neither waits for a broker nor raises, whatever aiokafka does."""

    async def body() -> None:
        client: Any = Closable(how)
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await stop_consumer(client) is (how == "closes")
        assert clock() - began < within_s
        assert client.closed is (how != "closes")

    virtual_clock.run(body())


def test_producer_delivers_or_is_discarded_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: queued records are delivered if the broker answers, and not waited for otherwise."""
    discarded: list[Any] = []

    async def discard(producer: Any) -> None:
        discarded.append(producer)

    monkeypatch.setattr("streams.kafka.aiokafka_internals.discard_producer", discard)

    async def body() -> None:
        for how in ("closes", "hangs"):
            client: Any = Closable(how)
            assert await stop_producer(client) is (how == "closes")
            assert discarded == ([] if how == "closes" else [client])

    virtual_clock.run(body())
