"""Read from Kafka outside the engine's partitions, and use aiokafka's private API.

topic_reader         read a topic from start to end, backwards, or as it grows
model_reader         follow the newest model snapshot
topic_identity       the id of a topic, which it loses when it is deleted and created again
group_consumer       create a member of a consumer group
partitioner          Kafka's default partitioner
unusable_records     skip, count and report records that a reader cannot use
aiokafka_internals   all use of aiokafka's private API, except for
aiokafka_records     decoding records whose headers aiokafka refuses, in every consumer of the process
"""

from streams.kafka import aiokafka_records
from streams.kafka.group_consumer import group_consumer
from streams.kafka.model_reader import ModelReader, PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_reader import read_topic

__all__ = ["ModelReader", "PublishedSnapshot", "group_consumer", "partition_of", "read_topic"]

aiokafka_records.install()
