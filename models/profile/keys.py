"""Store keys of a partition's records, and the store interface that the fold reads from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from xxhash import xxh3_64_intdigest

PROFILE: Final = b"c"
ALERT: Final = b"a"
SNAPSHOT: Final = b"s"
HISTORY: Final = b"h"
CONTRACT: Final = b"r"
SUMS: Final = b"m"
VALUE_FORECAST: Final = b"v"
"""First byte of the value forecast records (`models.value.forecast_state`); the byte alone: subscription lifetimes."""
EXPERIENCE: Final = b"e"
"""First byte of the experience sums (`models.experience.aggregates`); the byte alone: the sums of one day."""
UNREADABLE: Final = b"u"
"""Key of the counts of unreadable properties (`models.pipeline.unreadable_record`)."""
OF_PARTITION: Final = (SUMS, VALUE_FORECAST, EXPERIENCE, UNREADABLE)
"""First bytes of keys of records that belong to the partition, not to a customer."""
TIMED: Final = (PROFILE, ALERT)
"""First bytes of keys of records that start with their due time: 8 bytes, big endian."""


class StateStore(Protocol):
    """The store of a partition: RocksDB in a worker, a dict in a backtest."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None for a missing one."""

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Return up to `limit` keys that are due by `until_ms`, as (due time, key), earliest first."""


def profile_key(customer: str) -> bytes:
    """Return the key of a customer's profile. The keys of the customer's other records derive from it.

    >>> profile_key("alice"), alert_key(b"calice"), history_key(b"calice")
    (b'calice', b'aalice', b'halice')
    """
    return PROFILE + customer.encode()


def alert_key(key: bytes) -> bytes:
    """Return the key of the customer's alert, given the profile key."""
    return ALERT + key[1:]


def history_key(key: bytes) -> bytes:
    """Return the key of the customer's newest scores, given the profile key."""
    return HISTORY + key[1:]


def snapshot_key(key: bytes, snapshot_ms: int) -> bytes:
    """Return the key of a frozen training snapshot, given the profile key."""
    return SNAPSHOT + key[1:] + b"\0" + snapshot_ms.to_bytes(8, "big")


def contract_key(key: bytes) -> bytes:
    """Return the key of the customer's subscription in the retention accounts, given the profile key."""
    return CONTRACT + key[1:]


def sums_key(scale: str, number: int, group: str) -> bytes:
    """Return the key of a block of retention sums, which belongs to the partition, not to a customer."""
    return SUMS + scale.encode() + number.to_bytes(2, "big") + group.encode()


def order_hash(key: bytes, at_ms: int = 0) -> int:
    """Return a hash that orders deadlines with the same due time, and labels that mature together, arbitrarily."""
    return xxh3_64_intdigest(key, seed=at_ms & 0xFFFF_FFFF_FFFF_FFFF)
