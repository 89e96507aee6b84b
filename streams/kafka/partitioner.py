"""Kafka's default partitioner: murmur2 of the key, so that a customer's partition here is the one Kafka gives it."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key under Kafka's default partitioner (positive murmur2, modulo the partitions).

    >>> partition_of(b"c000123", 4)
    0
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
