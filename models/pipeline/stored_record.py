"""Read any stored record of a partition by its key: what an operator sees of it, or why it cannot be used."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from models.alerts.alert_state import unpack
from models.labels.training_example import read_frozen
from models.outputs.score_history import unpack_history
from models.profile import codec as profiles
from models.profile.codec import ProfileError
from models.profile.keys import ALERT, CONTRACT, EXPERIENCE, HISTORY, PROFILE, SNAPSHOT, SUMS, VALUE_FORECAST
from models.profile.mergeable import BIN_BYTES, BITMAP_BYTES
from models.profile.schema import Profile
from models.retention import subscription_flows
from models.retention.accounts import GROUPS_KEY, PENDING_KEY
from models.retention.aggregates import SegmentRegistry, read_block, read_parts

_UNREADABLE: Final = (msgspec.MsgspecError, RecursionError, ValueError, TypeError, LookupError, struct.error)


def read_stored(key: bytes, record: bytes) -> Any:
    """Decode a stored record into dicts by field, lists and plain values.

    Raises ProfileError if this program cannot use it.

    >>> read_stored(b"halice", bytes.fromhex("05000000 90d00300"))
    [[5, 250000]]
    """
    kind = key[:1]
    if kind not in _READERS:
        raise ProfileError(f"no record of this program has a key that starts with {kind!r}")
    try:
        if kind in _OF_CUSTOMERS:
            key[1:].decode()
        return named(_READERS[kind](key, record))
    except ProfileError:
        raise
    except _UNREADABLE as error:  # the text of other errors than msgspec's may quote what was read
        why = error if isinstance(error, msgspec.MsgspecError) else type(error).__name__
        raise ProfileError(f"it cannot be decoded ({why})") from None


def named(value: Any) -> Any:
    """Replace structs, which are encoded as arrays, by dicts with the names of their fields."""
    if isinstance(value, msgspec.Struct):
        return {name: named(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: named(item) for key, item in value.items()}
    return [named(item) for item in value] if isinstance(value, list | tuple) else value


def owner_of(key: bytes) -> bytes:
    """The key of the profile that a training snapshot belongs to; the key itself for any other record."""
    return PROFILE + key[1:-9] if key[:1] == SNAPSHOT else key


def dropped_with(key: bytes, owner: bytes | None) -> dict[bytes, bytes | None]:
    """The changes of the store that drop a record: a profile does not wait for a training snapshot that is gone.

    Args:
        key: Of the record.
        owner: The record under `owner_of(key)`.
    """
    changes: dict[bytes, bytes | None] = {key: None}
    if key[:1] != SNAPSHOT or owner is None:
        return changes
    try:
        profile, head = profiles.decode(owner), profiles.decode_head(owner)
    except ProfileError:
        return changes
    if profile.processing is not None:
        snapshot_ms, pending = int.from_bytes(key[-8:], "big"), profile.processing.pending
        profile.processing.pending = [each for each in pending if each.snapshot_ms != snapshot_ms]
        changes[owner_of(key)] = profiles.encode(profile, head.due_ms, head.probability, head.flags)
    return changes


def _profile(key: bytes, record: bytes) -> Any:
    profile = profiles.decode(record)
    if problem := _problem(profile):
        raise ProfileError(f"it cannot be decoded ({problem})")
    head = profiles.decode_head(record)
    fields = {name: getattr(profile, name) for name in profile.__struct_fields__}
    return {"due_ms": head.due_ms, "probability": head.probability, "flags": head.flags, **fields}


def _problem(profile: Profile) -> str | None:
    """What no sequence of events leaves behind."""
    days = [profile.days] if profile.commerce is None else [profile.days, profile.commerce.days]
    if any(len(bitmap) != BITMAP_BYTES for bitmap in days):
        return f"a bitmap of days does not have {BITMAP_BYTES} bytes"
    if any(len(row) != BIN_BYTES for row in profile.bins.values()):
        return f"a counter does not have {BIN_BYTES} bins"
    return "it has no processing state" if profile.processing is None else None


def _alert(key: bytes, record: bytes) -> Any:
    return {"due_ms": profiles.read_due_ms(record), "alert": unpack(record)}


def _sums(key: bytes, record: bytes) -> Any:
    if key == GROUPS_KEY:
        SegmentRegistry.read(record)
    elif key == PENDING_KEY:
        read_parts(record)
    else:
        read_block(key, record)
    return msgspec.msgpack.decode(record)


def _packed(key: bytes, record: bytes) -> Any:
    return msgspec.msgpack.decode(record)


_OF_CUSTOMERS: Final = (PROFILE, ALERT, HISTORY, CONTRACT)
_READERS: Final[dict[bytes, Callable[[bytes, bytes], Any]]] = {
    PROFILE: _profile,
    ALERT: _alert,
    SNAPSHOT: lambda key, record: read_frozen(record),
    HISTORY: lambda key, record: unpack_history(record),
    CONTRACT: lambda key, record: subscription_flows.decode(record),
    SUMS: _sums,
    VALUE_FORECAST: _packed,
    EXPERIENCE: _packed,
}


__all__ = ["dropped_with", "named", "owner_of", "read_stored"]
