"""Select the sums among a partition's store records, and encode them for `churn-metrics`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from models.experience import aggregates as experience_sums
from models.pipeline import unreadable_record
from models.profile.keys import UNREADABLE
from models.retention import aggregates as retention_sums

PREFIXES = (retention_sums.METRIC_PREFIX, experience_sums.METRIC_PREFIX, unreadable_record.METRIC_PREFIX)
"""Prefixes of the keys in `churn-metrics`."""


def metric_records(partition: int, changes: Mapping[bytes, bytes | None]) -> Iterator[tuple[bytes, bytes | None]]:
    """Keys and values for `churn-metrics`, from the changed blocks of sums in the store."""
    for key, record in changes.items():
        if retention_sums.is_sums(key):
            value = record and retention_sums.metric_value(partition, key, record)
            yield retention_sums.metric_key(partition, key), value
        elif experience_sums.is_block(key):
            value = record and experience_sums.metric_value(partition, key, record)
            yield experience_sums.metric_key(partition, key), value
        elif key == UNREADABLE and record is not None:
            value = unreadable_record.metric_value(partition, record)
            if value is not None:
                yield unreadable_record.metric_key(partition), value
