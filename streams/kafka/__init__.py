"""Read from Kafka outside the engine's partitions, and use aiokafka's private API.

topic_reader         read a topic from start to end, backwards, or as it grows
model_reader         follow the newest model snapshot
topic_identity       the id of a topic, which it loses when it is deleted and created again
group_consumer       create a member of a consumer group
partitioner          Kafka's default partitioner
aiokafka_internals   all use of aiokafka's private API
"""

from streams.kafka.group_consumer import group_consumer
from streams.kafka.model_reader import ModelReader, PublishedSnapshot
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_reader import read_topic

__all__ = ["ModelReader", "PublishedSnapshot", "group_consumer", "partition_of", "read_topic"]
