"""What the process that explains scores is asked, and what it answers: data in, Kafka's records out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from models.outputs.score_batch import ScorePayload
from models.pipeline.score_history import ScoreBatch
from streams.engine.record_batch import EncodedBatch, encode_batches
from streams.errors import ChurnSignalsError

# Tellings of one question: some megabyte, which is handed over in one go and fits into memory that is there already.
TELLINGS_MAX = 4


class ExplainerLost(ChurnSignalsError):
    """The process has ended, says nothing or cannot say it: who asked does it without."""


class ExplainRequest(msgspec.Struct, array_like=True):
    """Scores of a batch, in order.

    Attributes:
        compression: of the records, aiokafka's name of it.
        customers: of whom something is told; False: that nothing is kept of them any more.
        tellings: what says the values of the others.
    """

    compression: str | None
    customers: list[tuple[bytes, bool]]
    tellings: list[ScorePayload]

    def answer(self) -> bytes:
        """Batches of records. A function of this and nothing else."""
        values = iter([value for telling in self.tellings for value in telling.values()])
        records = [(customer, next(values) if known else None) for customer, known in self.customers]
        return _encode(encode_batches(records, self.compression))


_encode = msgspec.msgpack.Encoder().encode
_decode_answer = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode
read = msgspec.msgpack.Decoder(ExplainRequest).decode
"""A question that was written."""


class ExplainJob:
    """The scores of a batch that readers are told of; see `streams.engine.contract.Deferred`."""

    def __init__(self, pages: ScoreBatch, topic: str, number: int, compression: str | None) -> None:
        self.to = topic, number
        self.count = len(pages.customers)
        self.questions = [_encode(each) for each in _questions(pages, compression)]

    def batches(self, answers: Sequence[bytes]) -> list[EncodedBatch]:
        """The records, as they are sent.

        Raises:
            ExplainerLost: these are no answers to the questions.
        """
        try:
            found = [batch for answer in answers for batch in _decode_answer(answer)]
        except msgspec.MsgspecError as failure:
            raise ExplainerLost(f"an answer cannot be read ({failure})") from failure
        if (count := sum([count for count, _ in found])) != self.count:
            raise ExplainerLost(f"{count} scores were explained of {self.count}")
        return [EncodedBatch(*self.to, count, data) for count, data in found]


def _questions(pages: ScoreBatch, compression: str | None) -> list[ExplainRequest]:
    found, customers, begin = [], pages.customers, 0
    for at in range(0, max(len(pages.tellings), 1), TELLINGS_MAX):
        tellings = pages.tellings[at : at + TELLINGS_MAX]
        if at + TELLINGS_MAX < len(pages.tellings):
            wanted, end = sum(len(telling.scores) for telling in tellings), begin
            while wanted:
                wanted -= customers[end][1]
                end += 1
        else:
            end = len(customers)
        found.append(ExplainRequest(compression, customers[begin:end], tellings))
        begin = end
    return found
