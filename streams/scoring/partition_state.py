"""The state of a partition in its position record: format version, churn definition, event clock, and the fold's state.

Tested by tests/streams/engine/test_formats.py.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from models.definition.churn_definition import ChurnDefinition
from streams.errors import ConfigurationError, FormatMismatch
from streams.settings import variable

VERSION: Final = 2


class PartitionState(msgspec.Struct, array_like=True):
    """The state of one partition as of its last commit.

    Attributes:
        version: of this layout.
        definition: hash of the churn definitions that the state was built with.
        newest_event_ms: time of the newest event, epoch milliseconds; None before the first one.
        partition: state of `models.pipeline.partition.PartitionFold`.
        clock_guard: state of `models.pipeline.clock_guard.ClockGuard`; absent in records of earlier releases.
    """

    version: int
    definition: str
    newest_event_ms: int | None
    partition: bytes
    clock_guard: list[Any] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PartitionState).decode


def encode_state(
    definition: ChurnDefinition, newest_event_ms: int | None, fold: bytes, clock_guard: list[Any]
) -> bytes:
    """Encode the state of a partition."""
    held = [clock_guard] if clock_guard else []  # rarely: without it, records are those of earlier releases
    return _encode([VERSION, definition.state_hash, newest_event_ms, fold, *held])


def decode_state(data: bytes, definition: ChurnDefinition, partition: int) -> PartitionState:
    """Decode the state of a partition, the version first: in another version the rest may have another layout.

    Raises:
        FormatMismatch: written by another release.
        ConfigurationError: built under another churn definition.
    """
    what = f"the state of partition {partition}"
    try:
        version = msgspec.msgpack.decode(data)[0]
        if version != VERSION:
            raise FormatMismatch(what, version, VERSION)
        state = _decode(data)
    except (msgspec.MsgspecError, TypeError, LookupError) as error:
        raise FormatMismatch(f"{what}, which cannot be decoded ({error}),", "unknown", VERSION) from error
    if state.definition != definition.state_hash:
        raise ConfigurationError(
            f"partition {partition} was built with the churn definitions {state.definition}, which are now"
            f" {definition.state_hash}: start a new group from the beginning of the log:"
            f" {variable('kafka_group_id')}=NAME"
        )
    return state
