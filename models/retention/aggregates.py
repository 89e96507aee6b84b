"""The sums of the retention accounting: integers by group, series and time, stored in blocks.

A customer's contribution to each sum is a function of their state. When an event changes the state, late or not, the
difference is added. So the sums do not depend on the order of events, and the sums of two partitions add up.

A state that lasts (a running subscription, a window with activity) is stored as differences between consecutive
indexes. It takes two numbers, however long it lasts, and no customer is updated merely because time passes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from models.profile.keys import SUMS, sums_key

EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
BLOCK: Final = 32  # indexes per stored block: about a month of days, so a batch changes two or three blocks
NAMES_MAX: Final = 32  # plans, and sources, that a partition counts separately; the rest is counted as OTHER
OTHER: Final = "(other)"

_END: Final = "\0"  # ends the plan's name in a group

DAY, MONTH, AGE = "d", "m", "a"
"""Scales of an index: days since 1970, months since 1970, days since the customer's start."""

FLOWS: Final = (
    "start", "start_mrr", "new", "new_mrr", "back", "back_mrr", "lost_voluntary", "lost_voluntary_mrr",
    "lost_involuntary", "lost_involuntary_mrr", "lost_unstated", "lost_unstated_mrr", "up", "down",
)  # fmt: skip
"""The flows of subscriptions between two times; see `models.retention.subscription_flows.flow`."""

# The position in this table is stored: append, never reorder. A series whose name ends in + holds differences.
_TABLE: Final = (
    (DAY, "first"), (DAY, "active"), (DAY, "active_both"), (DAY, "active_30+"), (DAY, "active_30_both+"),
    (MONTH, "active_month"), (MONTH, "active_month_both"),
    (AGE, "active_age"), (AGE, "last_age"), (MONTH, "cohort_active"),
    (DAY, "running_since"), (AGE, "ended_voluntary"), (AGE, "ended_involuntary"), (AGE, "ended_unstated"),
    (MONTH, "cohort_customers+"), (MONTH, "cohort_mrr+"), (DAY, "changes"), (DAY, "too_late"),
    *((DAY, f"day_{name}+") for name in FLOWS),
    *((DAY, f"rolling_{name}+") for name in FLOWS),
    *((MONTH, f"month_{name}+") for name in FLOWS),
)  # fmt: skip
SCALES: Final = tuple(scale for scale, _ in _TABLE)
NAMES: Final = tuple(name for _, name in _TABLE)
NUMBER: Final = {name: number for number, name in enumerate(NAMES)}
FLOW_SERIES: Final = {window: NUMBER[f"{window}_{FLOWS[0]}+"] for window in ("day", "rolling", "month")}
"""The first flow series of each window; the others follow in the order of `FLOWS`."""

Sums = defaultdict[tuple[str, int, int], int]
"""(group, series, index) -> sum. A group is a `Segment`'s text or a `cohort`'s."""


class Segment(NamedTuple):
    """Customers of a plan and an acquisition source; empty if unknown."""

    plan: str
    source: str

    @property
    def group(self) -> str:
        """The group of the segment in the keys of sums."""
        return f"s{self.plan.replace(_END, '')}{_END}{self.source.replace(_END, '')}"


def cohort(month: int) -> str:
    """Return the group of the customers who started in a month (months since 1970).

    >>> cohort(648), segment_of(cohort(648)), segment_of(Segment("pro", "ads").group)
    ('c648', None, Segment(plan='pro', source='ads'))
    """
    return f"c{month}"


def segment_of(group: str) -> Segment | None:
    """Return the segment of a group; None for a cohort."""
    return Segment(*group[1:].split(_END)) if group[0] == "s" else None


@lru_cache(maxsize=8192)
def month_of(day: int) -> int:
    """Return the month (since 1970) of a day (since 1970).

    >>> month_of(0), month_of(30), month_of(31), first_day(648), month_of(first_day(648) - 1)
    (0, 0, 1, 19723, 647)
    """
    on = date.fromordinal(EPOCH_DAY + day)
    return 12 * (on.year - 1970) + on.month - 1


@lru_cache(maxsize=1024)
def first_day(month: int) -> int:
    """Return the first day (since 1970) of a month (since 1970)."""
    return date(1970 + month // 12, month % 12 + 1, 1).toordinal() - EPOCH_DAY


class RetentionBlock(NamedTuple):
    """The part of the sums that one record holds."""

    scale: str
    number: int  # the block's first index is BLOCK times this number
    group: str

    @property
    def key(self) -> bytes:
        """The key in the partition's store."""
        return sums_key(self.scale, self.number, self.group)

    @classmethod
    def of(cls, key: bytes) -> RetentionBlock:
        """Parse a store key that begins with `models.profile.keys.SUMS`."""
        return cls(chr(key[1]), int.from_bytes(key[2:4], "big"), key[4:].decode())


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, int]).decode
_decode_parts = msgspec.msgpack.Decoder(list[tuple[str, int, str, dict[int, int]]]).decode


Parts = dict[tuple[str, int, str], dict[int, int]]
"""Additions to blocks: (scale, number, group) -> slot in the block -> amount."""


def put(parts: Parts, sums: Mapping[tuple[str, int, int], int]) -> None:
    """Add a batch's differences to the pending additions."""
    scales = SCALES
    for (group, series, index), amount in sums.items():
        if amount:
            number, offset = divmod(index, BLOCK)
            name = scales[series], number, group
            part = parts.get(name)
            if part is None:
                part = parts[name] = {}
            slot = series * BLOCK + offset
            part[slot] = part.get(slot, 0) + amount


def write_parts(parts: Parts) -> bytes:
    """Encode pending additions for `read_parts`."""
    return _encode([(*name, part) for name, part in parts.items()])


def read_parts(record: bytes | None) -> Parts:
    """Decode pending additions; None means none."""
    if record is None:
        return {}
    return {(scale, number, group): part for scale, number, group, part in _decode_parts(record)}


def changed_blocks(parts: Parts, load: Callable[[list[bytes]], Iterable[bytes | None]]) -> dict[bytes, bytes | None]:
    """Add pending additions to the stored blocks. An empty block becomes a deletion.

    Args:
        parts: The pending additions.
        load: Reads the records of keys.
    """
    keys = [sums_key(*name) for name in parts]
    changes: dict[bytes, bytes | None] = {}
    for key, part, record in zip(keys, parts.values(), load(keys), strict=True):
        block = _decode(record) if record is not None else {}
        for slot, amount in part.items():
            block[slot] = block.get(slot, 0) + amount
        filled = {slot: block[slot] for slot in sorted(block) if block[slot]}
        if filled or record is not None:
            changes[key] = _encode(filled) if filled else None
    return changes


def read_block(key: bytes, record: bytes) -> dict[tuple[str, int, int], int]:
    """Decode the sums of a store record."""
    block = RetentionBlock.of(key)
    first = block.number * BLOCK
    return {(block.group, slot // BLOCK, first + slot % BLOCK): amount for slot, amount in _decode(record).items()}


def is_sums(key: bytes) -> bool:
    """Check whether a store key belongs to a block."""
    return key[:1] == SUMS and len(key) > 4


class RetentionSums(msgspec.Struct, frozen=True):
    """A value of `churn-metrics`: one block of one partition. Readers add up the blocks of all partitions.

    `plan` and `source` name a segment, or `cohort` names the month in which its customers started; the others are null.
    `sums` has 32 numbers per series that is not all zero, for the days, months or ages `first` to `first` + 31.
    """

    partition: int
    plan: str | None
    source: str | None
    cohort: int | None
    scale: str
    first: int
    sums: dict[str, list[int]]


_SCALE_NAMES: Final = {DAY: "day", MONTH: "month", AGE: "age"}
_encode_value = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(RetentionSums).decode


METRIC_PREFIX: Final = b"retention/"
"""Prefix of the keys of published blocks; the topic also holds other metrics."""


def metric_key(partition: int, key: bytes) -> bytes:
    """Return the key of a published block.

    >>> metric_key(3, RetentionBlock("d", 620, Segment("pro", "ads").group).key)
    b'retention/3/day/620/spro/ads'
    """
    block = RetentionBlock.of(key)
    group = block.group.replace("%", "%25").replace("/", "%2F").replace(_END, "/")
    return f"retention/{partition}/{_SCALE_NAMES[block.scale]}/{block.number}/{group}".encode()


def metric_value(partition: int, key: bytes, record: bytes) -> bytes:
    """Encode a block for publishing."""
    block = RetentionBlock.of(key)
    segment = segment_of(block.group)
    sums: dict[str, list[int]] = {}
    for slot, amount in _decode(record).items():
        sums.setdefault(NAMES[slot // BLOCK], [0] * BLOCK)[slot % BLOCK] = amount
    return _encode_value(
        RetentionSums(
            partition=partition,
            plan=None if segment is None else segment.plan,
            source=None if segment is None else segment.source,
            cohort=int(block.group[1:]) if segment is None else None,
            scale=_SCALE_NAMES[block.scale],
            first=block.number * BLOCK,
            sums=sums,
        )
    )


LAST_DAY: Final = 47_482
"""2100-01-01 in days since 1970. No event is later (`models.events.coercion.MAX_TIME_MS`), and no customer older."""

LAST_MONTH: Final = 12 * 130
PARTITION_MAX: Final = 2**31 - 1
_SUM_MAX: Final = 2**63 - 1
_SCALE_CODES: Final = {name: (code, LAST_MONTH if code == MONTH else LAST_DAY) for code, name in _SCALE_NAMES.items()}


def is_sum(number: int) -> bool:
    """Check whether a published number is within the bounds of a sum."""
    return -_SUM_MAX <= number <= _SUM_MAX


def read_metric(value: bytes, key: bytes | None = None) -> dict[tuple[str, int, int], int]:
    """Decode the sums of a published block. Unknown series are skipped.

    Args:
        value: As `metric_value` encodes it.
        key: If given, the record's key, which must be that of the block.

    Raises:
        msgspec.MsgspecError: No partition publishes such a record. The message does not quote it.
    """
    block = _decode_value(value)
    code, last = _SCALE_CODES.get(block.scale, ("", -1))
    if not (0 <= block.first <= last and block.first % BLOCK == 0 and 0 <= block.partition <= PARTITION_MAX):
        raise msgspec.ValidationError("scale, first index or partition is none of ours")
    if not 0 <= (block.cohort or 0) <= LAST_MONTH:
        raise msgspec.ValidationError("the cohort is none of ours")
    group = cohort(block.cohort) if block.cohort is not None else Segment(block.plan or "", block.source or "").group
    if key is not None and key != metric_key(block.partition, RetentionBlock(code, block.first // BLOCK, group).key):
        raise msgspec.ValidationError("the key is not that of the block")
    for name, amounts in block.sums.items():
        scale = SCALES[NUMBER[name]] if name in NUMBER else code
        if len(amounts) > BLOCK or scale != code or not all(map(is_sum, amounts)):
            raise msgspec.ValidationError("a series or its sums are none of ours")
    return {
        (group, NUMBER[name], block.first + offset): amount
        for name, amounts in block.sums.items()
        if name in NUMBER
        for offset, amount in enumerate(amounts)
        if amount
    }


class SegmentRegistry:
    """The plans and sources that a partition counts separately: the first in the log. The rest is counted as OTHER.

    The registry follows from the log alone, and the segment of a name never changes. So a customer is always subtracted
    from the segment to which they were added.
    """

    def __init__(self, plans: Iterable[str] = (), sources: Iterable[str] = ()) -> None:
        self._plans, self._sources = dict.fromkeys(plans), dict.fromkeys(sources)
        self._of: dict[tuple[str, str], str] = {}
        self.grown = False

    def add(self, plan: str, source: str) -> None:
        """Register the plan and source of the log's next event; empty if the event has none."""
        for known, name in ((self._plans, plan), (self._sources, source)):
            if name and name not in known and len(known) < NAMES_MAX:
                known[name] = None
                self.grown = True

    def of(self, plan: str, source: str) -> str:
        """Return the group of a plan and a source that were added."""
        group = self._of.get((plan, source))
        if group is None:
            segment = Segment(
                plan if not plan or plan in self._plans else OTHER,
                source if not source or source in self._sources else OTHER,
            )
            group = segment.group
            if len(self._of) < NAMES_MAX * NAMES_MAX:
                self._of[plan, source] = group
        return group

    def plan(self, name: str) -> str:
        """Return the name under which an added plan is counted."""
        return name if not name or name in self._plans else OTHER

    def record(self) -> bytes:
        """Encode the registry for `read`."""
        return msgspec.msgpack.encode([list(self._plans), list(self._sources)])

    @classmethod
    def read(cls, record: bytes | None) -> SegmentRegistry:
        """Decode a registry; None means a new partition."""
        if record is None:
            groups = cls()
            groups.grown = True  # its record shows that everything was counted from the first event
            return groups
        return cls(*msgspec.msgpack.decode(record, type=tuple[list[str], list[str]]))


def add(sums: Sums, other: Mapping[Any, int]) -> None:
    """Add the sums of another partition."""
    for key, amount in other.items():
        sums[key] += amount
