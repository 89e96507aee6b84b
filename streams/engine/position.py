"""A partition's position record: how far its input is applied, in the transaction of the changes that caused."""

from __future__ import annotations

import msgspec

from streams.errors import FormatMismatch, RecordDamaged

# Store keys never start with a zero byte, so this one sorts first and cannot be a customer's.
POSITION_KEY = b"\x00position"
_VERSION = 1


class Position(msgspec.Struct, array_like=True, frozen=True):
    """One record per transaction, always the last one in the changelog.

    Attributes:
        version: of this layout.
        next_offset: the first input offset that is not applied yet.
        live: whether the newest event was received within ten minutes of its time.
        changelog_id: random bytes, created with the changelog's first record. A local store with another id belongs to
            a changelog that was deleted, even if its offsets fit.
        state: of the processor (clock, population statistics, ranks).
        topic_id: of the input topic that `next_offset` belongs to; empty if it is not known, as in earlier releases.
    """

    version: int
    next_offset: int
    live: bool
    changelog_id: bytes
    state: bytes
    topic_id: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Position)


def encode_position(next_offset: int, live: bool, changelog_id: bytes, state: bytes, topic_id: bytes = b"") -> bytes:
    """Encode a position record, without the topic's id if it is not known."""
    fields = (_VERSION, next_offset, live, changelog_id, state)
    return _encoder.encode((*fields, topic_id) if topic_id else fields)


def decode_position(value: bytes, what: str = "the changelog's position record") -> Position:
    """Decode a position record.

    Args:
        value: of the record.
        what: names it in errors.

    Raises:
        FormatMismatch: written by another release.
        RecordDamaged: not a position.

    >>> decode_position(encode_position(7, True, b"b", b"s")).next_offset
    7
    """
    try:
        version = msgspec.msgpack.decode(value)[0]
        if type(version) is int and version != _VERSION:
            raise FormatMismatch(what, version, _VERSION)
        position = _decoder.decode(value)
    except (msgspec.MsgspecError, RecursionError, TypeError, LookupError, UnicodeDecodeError) as error:
        raise RecordDamaged(f"{what} cannot be decoded ({error})") from error
    if position.version != _VERSION or position.next_offset < 0:
        raise RecordDamaged(f"{what} has the offset {position.next_offset}")
    return position
