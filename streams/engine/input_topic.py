"""The input topic as this process knows it: notices that it was deleted and created again, or got partitions.

Tested by tests/streams/engine/test_input_topic.py and tests/broker/test_input_topic.py.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final, Protocol

from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from streams.errors import InputReplaced, TopicMismatch
from streams.kafka.topic_identity import TopicIdentity
from streams.logs import get_logger
from streams.settings import variable

log = get_logger(__name__)

# A request costs worker and broker less than a millisecond. Events of a new topic may be applied for this long, before
# the worker stops: its offsets look like those of the former topic.
WATCH_EVERY_S: Final = 2.0


# What to do about the events topic.
RESET_OR_ACCEPT: Final = (
    "to start at the beginning of the new one, clear the group's state with churn-signals reset, or keep it and set"
    f" {variable('accept_lost_input')}=true"
)


def is_same(written: bytes, current: bytes) -> bool:
    """Return whether an offset that was written with a topic's id belongs to the current topic. Without ids it does.

    >>> is_same(b"a", b"a"), is_same(b"a", b"b"), is_same(b"", b"b"), is_same(b"a", b"")
    (True, False, True, True)
    """
    return not (written and current) or written == current


class Identified(Protocol):
    """What knows the input topic: the group's consumer."""

    async def identity(self) -> TopicIdentity | None:
        """Return the input topic as the brokers know it now; None if it does not exist."""
        ...


class InputTopic:
    """Compares the topic with what it was when this process saw it first.

    Args:
        name: of the topic.
        inputs: the group's consumer.
        repair: says what to do if the topic was deleted and created again.

    Attributes:
        partitions: their number at the start; if that changes, customers move away from their profiles.
        exists: whether the brokers know the topic.
    """

    def __init__(self, name: str, inputs: Identified, repair: str) -> None:
        self.name = name
        self.partitions = sys.maxsize
        self.exists = True
        self._inputs, self._repair = inputs, repair
        self._id: bytes | None = None

    async def confirm(self) -> bytes:
        """Return the topic's id; empty if the brokers do not report ids.

        Raises:
            InputReplaced: it is another topic of the same name.
            TopicMismatch: it has more partitions than at the start.
            KafkaError, TimeoutError: it does not exist, or no broker answers.
        """
        identity = await self._inputs.identity()
        self.exists = identity is not None
        if identity is None:
            raise UnknownTopicOrPartitionError(self.name)
        self.compare(identity)
        return identity.id

    def compare(self, identity: TopicIdentity) -> None:
        """Compare with the first identity; raises as `confirm`."""
        if self._id is None and not identity.id:
            log.info(
                "a broker reports no topic ids (Kafka before 2.8): if %s is deleted and created again, only offsets"
                " that do not exist reveal it",
                self.name,
            )
        if self._id and identity.id and identity.id != self._id:
            raise self.replaced()
        self._id = identity.id or self._id or b""  # brokers of two versions, during an upgrade
        self.check_count(identity.partitions)

    def replaced(self, **location: str | int) -> InputReplaced:
        """Return the error for an offset of another topic of the same name."""
        return InputReplaced(
            f"topic {self.name} was deleted and created again, so the applied offsets are those of another topic;"
            f" {self._repair}",
            topic=self.name,
            **location,
        )

    def check_count(self, partitions: int) -> None:
        """Raise `TopicMismatch` if there are more partitions than at the start."""
        if partitions > self.partitions:
            raise TopicMismatch(
                f"topic {self.name} has {partitions} partitions, and had {self.partitions} at the start: customers have"
                f" moved, and their profiles have not; start a new group: {variable('kafka_group_id')}=NAME"
            )

    async def watch(self) -> None:
        """Confirm the topic every two seconds, until it is another one; runs until cancelled. Raises as `confirm`."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            try:
                await self.confirm()
            except (KafkaError, TimeoutError) as failure:  # readiness shows that no broker answers
                log.debug("the input topic was not confirmed: %r", failure)
