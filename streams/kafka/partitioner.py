"""Kafka's default partitioner, so that a customer's partition is the one that other producers compute."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a key (murmur2 without its sign bit, modulo the number of partitions).

    >>> partition_of(b"c000123", 4)
    0
    """
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
