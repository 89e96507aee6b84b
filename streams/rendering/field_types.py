"""Types of published fields with the bounds that pages rely on: a value outside them was not written by a worker."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

# Ids have at most 256 bytes, names and sentences a few hundred characters.
ID_CHARACTERS: Final = 256
TEXT_CHARACTERS: Final = 2_000
# Seconds since 1970 of the year 2100, which is the last that events may have.
LAST_SECOND: Final = 4_102_444_800
# Far above every count, and exact in SQLite, JSON and double precision.
COUNT_MAX: Final = 2**53
AMOUNT_MAX: Final = 1e15

Id = Annotated[str, Meta(min_length=1, max_length=ID_CHARACTERS)]
ShortText = Annotated[str, Meta(max_length=TEXT_CHARACTERS)]
Time = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z\Z")]
Day = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
Share = Annotated[float, Meta(ge=0, le=1)]
Change = Annotated[float, Meta(ge=-1, le=1)]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Sequence = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Amount = Annotated[float, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
Currency = Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]
Number = Annotated[float, Meta(ge=-1e18, le=1e18)]
Days = Annotated[float, Meta(ge=0, le=1e6)]
LogOdds = Annotated[float, Meta(ge=-1e4, le=1e4)]
Points = Annotated[float, Meta(ge=-100, le=100)]
Second = Annotated[int, Meta(ge=0, le=LAST_SECOND)]
Millionths = Annotated[int, Meta(ge=0, le=1_000_000)]


def check_key(key: bytes | None, customer: str) -> None:
    """Raise `msgspec.ValidationError` if a record's key is not the customer that its value names."""
    if key != customer.encode():
        raise msgspec.ValidationError("the key is not the customer's id - at `$.customer.id`")
