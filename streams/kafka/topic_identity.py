"""Ask the brokers for a topic's id (KIP-516), which a topic that is deleted and created again does not keep.

aiokafka has no request that returns ids, so the newer version of the Metadata request is declared here.

Tested by tests/streams/kafka/test_topic_identity.py and tests/broker/test_input_topic.py.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from streams.kafka.aiokafka_internals import send_to_any

_ID_BYTES: Final = 16
_NO_ID: Final = bytes(_ID_BYTES)
# Brokers report ids from this version of the request on (Kafka 2.8).
_WITH_IDS: Final = 10


class TopicIdentity(NamedTuple):
    """A topic as the brokers know it now.

    Attributes:
        id: 16 bytes; empty if the brokers do not report ids (Kafka before 2.8).
        partitions: their number.
    """

    id: bytes
    partitions: int


async def read_identity(consumer: AIOKafkaConsumer, topic: str) -> TopicIdentity | None:
    """Return the identity of a topic, None if it does not exist. Creates no topic.

    Raises:
        KafkaError: a broker did not answer, or refused.
    """
    response = await send_to_any(consumer, _TopicRequest(topic))
    for found in response.to_object()["topics"]:
        error = for_code(found["error_code"])
        if error is UnknownTopicOrPartitionError:
            return None
        if found["error_code"] and not found["partitions"]:
            raise error(topic)
        topic_id = found.get("topic_id", _NO_ID)
        return TopicIdentity(b"" if topic_id == _NO_ID else topic_id, len(found["partitions"]))
    return None


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        value = data.read(_ID_BYTES)
        if len(value) != _ID_BYTES:
            raise ValueError("Buffer underrun decoding UUID")
        return value


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = _WITH_IDS
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = _WITH_IDS
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicRequest(Request[MetadataRequest_v5 | _MetadataRequest]):
    """The newer version if the broker supports it."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class is _MetadataRequest:
            return _MetadataRequest([(_NO_ID, self._topic, {})], False, False, False, {})
        return MetadataRequest_v5([self._topic], False)
