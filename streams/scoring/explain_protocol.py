"""The protocol of the process that explains scores: scores as data in, encoded Kafka record batches out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import msgspec

from models.outputs.score_batch import ScorePayload
from models.pipeline.score_history import ScoreBatch
from streams.engine.record_batch import EncodedBatch, encode_batches
from streams.errors import DeferredOutputsLost

# Payloads of one request: about 1 MB, which is sent in one call and fits into memory that is already allocated.
PAYLOADS_MAX = 4


class ExplainClient(Protocol):
    """The worker's side of the explain process (`streams.scoring.explain_process.Explainer`)."""

    slots: asyncio.Semaphore

    def available(self) -> bool:
        """Whether it accepts requests now."""
        ...

    async def request(self, requests: Sequence[bytes]) -> list[bytes]:
        """Send requests one after the other; returns their replies.

        Raises:
            DeferredOutputsLost: there is no reply.
        """
        ...


class ExplainRequest(msgspec.Struct, array_like=True):
    """Scores of a batch, in order.

    Attributes:
        compression: of the records, aiokafka's name of it.
        customers: keys of the records, and whether each has a value; False for a tombstone, because nothing is kept
            of the customer any more.
        payloads: what the values are rendered from.
    """

    compression: str | None
    customers: list[tuple[bytes, bool]]
    payloads: list[ScorePayload]

    def reply(self) -> bytes:
        """Encode the record batches: a pure function of the request."""
        values = iter([value for payload in self.payloads for value in payload.values()])
        records = [(customer, next(values) if known else None) for customer, known in self.customers]
        return _encode(encode_batches(records, self.compression))


_encode = msgspec.msgpack.Encoder().encode
_decode_reply = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode
decode_request = msgspec.msgpack.Decoder(ExplainRequest).decode
"""Decode a request."""


class ExplainJob:
    """The published scores of a batch, explained by another process; see `streams.engine.contract.Deferred`.

    Args:
        scores: of the batch.
        client: the process that explains them.
        topic, partition: of the scores.
        compression: of the records, aiokafka's name of it.
    """

    def __init__(
        self, scores: ScoreBatch, client: ExplainClient, *, topic: str, partition: int, compression: str | None
    ) -> None:
        self.topic, self.partition = topic, partition
        self.count = len(scores.customers)
        self.requests = [_encode(request) for request in _requests(scores, compression)]
        self.slot = client.slots
        self._client = client

    async def batches(self) -> list[EncodedBatch]:
        """Request the records from the process.

        Raises:
            DeferredOutputsLost: it does not reply, or not with these scores.
        """
        return self.decode(await self._client.request(self.requests))

    def decode(self, replies: Sequence[bytes]) -> list[EncodedBatch]:
        """Decode and check replies to `requests`.

        Raises:
            DeferredOutputsLost: a reply cannot be decoded, or scores are missing.
        """
        try:
            decoded = [batch for reply in replies for batch in _decode_reply(reply)]
        except msgspec.MsgspecError as failure:
            raise DeferredOutputsLost(f"a reply cannot be decoded ({failure})") from failure
        if (count := sum([count for count, _ in decoded])) != self.count:
            raise DeferredOutputsLost(f"{count} of {self.count} scores were explained")
        return [EncodedBatch(self.topic, self.partition, count, data) for count, data in decoded]


def _requests(scores: ScoreBatch, compression: str | None) -> list[ExplainRequest]:
    """Split a batch into requests of at most `PAYLOADS_MAX` payloads, each with the customers that they belong to."""
    requests, customers, begin = [], scores.customers, 0
    for first in range(0, max(len(scores.payloads), 1), PAYLOADS_MAX):
        payloads = scores.payloads[first : first + PAYLOADS_MAX]
        if first + PAYLOADS_MAX < len(scores.payloads):
            missing, end = sum(len(payload.scores) for payload in payloads), begin
            while missing:
                missing -= customers[end][1]
                end += 1
        else:
            end = len(customers)
        requests.append(ExplainRequest(compression, customers[begin:end], payloads))
        begin = end
    return requests
