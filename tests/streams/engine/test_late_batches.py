"""Transactions that end while a part of them is still being encoded, with a producer in plain Python."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import IllegalOperation, ProducerFenced, TopicAuthorizationFailedError

from streams.engine.record_batch import EncodedBatch
from streams.engine.transactions import DeferredBatches, FencedProducer
from streams.errors import ChurnSignalsError, ConfigurationError, Fenced
from streams.settings import Settings


class Producer:
    """Like aiokafka's: an error of the broker ends the transaction, and only its end carries the cause."""

    def __init__(self, refusal: BaseException) -> None:
        self.refusal = refusal
        self._txn_manager = self

    async def begin_transaction(self) -> None:
        self.ended = asyncio.get_running_loop().create_future()

    def maybe_add_partition_to_txn(self, partition: Any) -> None:
        asyncio.get_running_loop().call_soon(self.ended.set_exception, self.refusal)

    def wait_for_transaction_end(self) -> asyncio.Future[None]:
        return self.ended

    async def send_batch(self, *batch: Any, **to: Any) -> Any:
        raise IllegalOperation("Can't send messages while not in transaction")


async def _encoded() -> Sequence[EncodedBatch]:
    await asyncio.sleep(0.01)
    return [EncodedBatch("scores", 0, 1, b"x" * 61)]


@pytest.mark.parametrize(
    ("refusal", "error", "message"),
    [
        (TopicAuthorizationFailedError("scores"), ConfigurationError, "t cannot write: TopicAuthorizationFailed"),
        (ProducerFenced(), Fenced, "t is fenced"),
    ],
)
def test_the_cause_of_an_ended_transaction_is_reported(
    refusal: BaseException, error: type[ChurnSignalsError], message: str
) -> None:
    """Rule: a missing right stops the program with its name, even if it is found while outputs are being encoded."""

    async def body() -> None:
        producer = FencedProducer(Producer(refusal), "t", Settings())
        await producer.commit([], late=DeferredBatches("scores", 0, _encoded()))

    with pytest.raises(error, match=message):
        asyncio.run(body())
