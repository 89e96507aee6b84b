"""The Metadata request with topic ids, as bytes: aiokafka declares only versions without them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import LeaderNotAvailableError, NodeNotReadyError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataResponse_v5

from streams.kafka import topic_identity
from streams.kafka.topic_identity import TopicIdentity, read_identity

ID = bytes(range(16))
NEW, OLD = {3: (0, 13)}, {3: (0, 5)}
PARTITION: Any = (0, 0, 1, 7, [1], [1], [], {})
OLD_PARTITION: Any = (0, 0, 1, [1], [1], [])


def response(*topics: Any) -> bytes:
    brokers: Any = [(1, "127.0.0.1", 9092, None, {})]
    return bytes(topic_identity._MetadataResponse(0, brokers, "cluster", 1, list(topics), -1, {}).encode())


def old_response(*topics: Any) -> bytes:
    return bytes(MetadataResponse_v5(0, [(1, "127.0.0.1", 9092, None)], "cluster", 1, list(topics)).encode())


class Client:
    """Sends as aiokafka does, and answers with these bytes."""

    def __init__(self, versions: dict[int, tuple[int, int]], answer: bytes, node: int | None = 1) -> None:
        self._versions, self._answer, self._node = versions, answer, node
        self.sent = b""

    def get_random_node(self) -> int | None:
        return self._node

    async def send(self, node: int, request: Any) -> Any:
        struct = request.prepare(self._versions)
        self.sent = struct.encode()
        return struct.RESPONSE_TYPE.decode(self._answer)


def identity(client: Client) -> TopicIdentity | None:
    return asyncio.run(read_identity(SimpleNamespace(_client=client), "events"))


def test_id_and_partitions_are_read_from_the_newer_version() -> None:
    client = Client(NEW, response((0, "events", ID, False, [PARTITION, PARTITION], -1, {})))
    assert identity(client) == TopicIdentity(ID, 2)
    # One topic by name, without creating it: https://kafka.apache.org/protocol#The_Messages_Metadata
    assert client.sent == b"\x02" + bytes(16) + b"\x07events\x00" + b"\x00\x00\x00" + b"\x00"


def test_brokers_without_ids_report_partitions_only() -> None:
    """Rule: an old broker is asked in its own version, and the id is empty."""
    client = Client(OLD, old_response((0, "events", False, [OLD_PARTITION])))
    assert identity(client) == TopicIdentity(b"", 1)
    assert client.sent == b"\x00\x00\x00\x01\x00\x06events\x00"


def test_missing_topic_has_no_identity() -> None:
    assert identity(Client(NEW, response((3, "events", bytes(16), False, [], -1, {})))) is None
    assert identity(Client(NEW, response())) is None


def test_failures_are_errors_and_not_missing_topics() -> None:
    """Rule: a topic that may not be described, or whose leaders are being elected, is not taken for a missing one."""
    for code, error in ((29, TopicAuthorizationFailedError), (5, LeaderNotAvailableError)):
        with pytest.raises(error):
            identity(Client(NEW, response((code, "events", bytes(16), False, [], -1, {}))))
    with pytest.raises(NodeNotReadyError):
        identity(Client(NEW, response(), node=None))
