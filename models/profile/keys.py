"""Where a partition's records live, and under which keys: what the fold reads, and what its caller writes."""

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
"""First byte of what worth is expected by (`models.value.forecast_state`); alone, how long subscriptions have lasted."""
EXPERIENCE: Final = b"e"
"""First byte of the sums of satisfaction, barriers and goals (`models.experience.aggregates`); alone, those of a day."""
OF_PARTITION: Final = (SUMS, VALUE_FORECAST, EXPERIENCE)
"""First bytes of the keys whose records are the partition's and no customer's."""
TIMED: Final = (PROFILE, ALERT)
"""First bytes of the keys whose records start with the time they are due: 8 bytes, big endian."""


class StateStore(Protocol):
    """RocksDB under a worker, a dict in a backtest."""

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records of these keys."""

    def due(self, until_ms: int, limit: int) -> list[tuple[int, bytes]]:
        """Up to `limit` keys that are due by `until_ms`, as (due time, key), earliest first."""


def profile_key(customer: str) -> bytes:
    """The key of a customer's profile. The other records of a customer are named after it.

    >>> profile_key("alice"), alert_key(b"calice"), history_key(b"calice")
    (b'calice', b'aalice', b'halice')
    """
    return PROFILE + customer.encode()


def alert_key(key: bytes) -> bytes:
    """The key of the alert of the customer with this profile key."""
    return ALERT + key[1:]


def history_key(key: bytes) -> bytes:
    """The key of the newest scores."""
    return HISTORY + key[1:]


def snapshot_key(key: bytes, snapshot_ms: int) -> bytes:
    """The key of a pending training snapshot."""
    return SNAPSHOT + key[1:] + b"\0" + snapshot_ms.to_bytes(8, "big")


def contract_key(key: bytes) -> bytes:
    """The key of the subscription, as the retention accounting keeps it, of the customer with this profile key."""
    return CONTRACT + key[1:]


def sums_key(scale: str, number: int, group: str) -> bytes:
    """The key of a block of the retention accounting's sums: one of the partition, not of a customer."""
    return SUMS + scale.encode() + number.to_bytes(2, "big") + group.encode()


def order_hash(key: bytes, at_ms: int = 0) -> int:
    """An order without meaning: of deadlines that fall due together, and of labels that mature together."""
    return xxh3_64_intdigest(key, seed=at_ms & 0xFFFF_FFFF_FFFF_FFFF)
