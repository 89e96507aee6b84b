"""Encode profiles: a fixed-size head, then msgpack of the fields as an array (the body).

The head (`RecordHead`, `PREFIX_BYTES` long) starts with the time at which the record is next due, big endian, so that
the deadline index is rebuilt without decoding bodies. It ends with the values that are known only after the body is
encoded and the batch is scored.
"""

from __future__ import annotations

from copy import copy as shallow_copy
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from models.profile.mergeable import bins_canonical
from models.profile.schema import NEVER_MS, SECTIONS, Profile

FORMAT_VERSION: Final = 2
UNSCORED: Final = -1.0
VERSION_AT: Final = 8
PREFIX_BYTES: Final = 18  # due time, version, probability and flags
BAND_MASK: Final = 0b11  # of the flags: band of the newest score
ALERTED: Final = 0b100  # flag: the customer has an alert in any state, stored in its own record
VISITOR: Final = 0b1000  # flag: no event so far carried a userId

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Profile)
_HEAD: Final = Struct(">QBdB")

_LISTS: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(field.name for field in msgspec.structs.fields(section) if field.default_factory is list)
    for name, section in SECTIONS.items()
}


class RecordHead(NamedTuple):
    """The head of an encoded profile."""

    due_ms: int
    version: int
    probability: float
    """Newest score, `UNSCORED` for none."""
    flags: int
    """Band of the newest score, `ALERTED` and `VISITOR`; see `BAND_MASK`."""


class ProfileError(ValueError):
    """An encoded profile that this program cannot read: from another version, or damaged."""


def encode(profile: Profile, due_ms: int = NEVER_MS, probability: float = UNSCORED, flags: int = 0) -> bytes:
    """Encode a profile. The same events in the same order give the same bytes, however often it was encoded between."""
    return encode_head(due_ms, probability, flags) + encode_body(profile)


def encode_head(due_ms: int, probability: float, flags: int) -> bytes:
    """Encode the head; see `RecordHead`."""
    return _HEAD.pack(due_ms, FORMAT_VERSION, probability, flags)


read_head = _HEAD.unpack_from
"""Read the four values of a `RecordHead` from an encoded profile as a plain tuple."""


def decode_head(data: bytes) -> RecordHead:
    """Read the head of an encoded profile that is at least `PREFIX_BYTES` long."""
    return RecordHead(*_HEAD.unpack_from(data))


encode_body = _ENCODER.encode
"""Encode the fields of a profile without a head."""


def canonical(profile: Profile) -> Profile:
    """Sort the profile's dicts in place, so that equal histories in any order give equal bytes."""
    profile.bins = bins_canonical(profile.bins)
    for name in ("totals", "guard", "used"):
        setattr(profile, name, dict(sorted(getattr(profile, name).items())))
    return profile


def decode(data: bytes) -> Profile:
    """Read what `encode` wrote.

    Raises ProfileError for an unknown format version and for bytes that are no profile.
    """
    if len(data) <= VERSION_AT + 1:
        raise ProfileError(f"a profile of {len(data)} bytes is truncated")
    if data[VERSION_AT] != FORMAT_VERSION:
        raise ProfileError(
            f"a profile has format version {data[VERSION_AT]}, this program reads version {FORMAT_VERSION}: "
            "run the release that wrote it, or rebuild the group's state from the input"
        )
    if len(data) < PREFIX_BYTES:
        raise ProfileError(f"a profile is damaged (it has {len(data)} bytes)")
    return decode_body(memoryview(data)[PREFIX_BYTES:])


def decode_body(data: bytes | memoryview) -> Profile:
    """Read what `encode_body` wrote."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ProfileError(f"a profile is damaged ({error})") from None


def read_due_ms(data: bytes) -> int:
    """Read the time at which an encoded profile is next due, without decoding it."""
    return int.from_bytes(data[:8], "big")


def copy(profile: Profile) -> Profile:
    """Return an independent copy."""
    return _DECODER.decode(_ENCODER.encode(profile))


def copy_sections(profile: Profile) -> None:
    """Replace the profile's sections with copies, so that other holders of the old sections see no later change."""
    for name in SECTIONS:
        if (section := getattr(profile, name)) is not None:
            section = shallow_copy(section)
            setattr(profile, name, section)
            for field in _LISTS[name]:
                setattr(section, field, getattr(section, field)[:])
