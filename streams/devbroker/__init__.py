"""Embedded Kafka broker for the demo, for tests and for development on one machine. Not for production.

embedded_broker     one KRaft node in a child process, on loopback only
kafka_jars          Kafka's jars and a Java runtime, pinned by `jgo.lock.toml`
"""

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.devbroker.kafka_jars import BrokerUnavailable

__all__ = ["BrokerUnavailable", "EmbeddedBroker"]
