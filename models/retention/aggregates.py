"""The sums of the retention accounting: whole numbers by group, series and time, in blocks that partitions add up.

A customer's part of every sum is a function of what is known of them. When an event changes that, late or not, the
difference is added; so sums do not depend on the order of events, and those of two partitions are added.

What lasts (a subscription that runs, a window in which somebody was active) is stored as the differences from one
index to the next: it costs two numbers however long it lasts, and nobody has to be touched for time passing.
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
BLOCK: Final = 32  # indexes of a stored block: a month of days, so that a batch touches two or three
NAMES_MAX: Final = 32  # plans, and sources, that a partition tells apart; all others are counted together as OTHER
OTHER: Final = "(other)"

_END: Final = "\0"  # of a plan's name in a group's

DAY, MONTH, AGE = "d", "m", "a"
"""Scales of an index: days and months since 1970, days since a customer's own beginning."""

FLOWS: Final = (
    "start", "start_mrr", "new", "new_mrr", "back", "back_mrr", "lost_voluntary", "lost_voluntary_mrr",
    "lost_involuntary", "lost_involuntary_mrr", "lost_unstated", "lost_unstated_mrr", "up", "down",
)  # fmt: skip
"""What is told of a subscription between two moments; see `models.retention.subscription_flows.flow`."""

# The place in this table is part of what is stored: append, never reorder. A name that ends in + holds differences.
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
"""The first of the series that tell the flows of a window; the others follow in the order of `FLOWS`."""

Sums = defaultdict[tuple[str, int, int], int]
"""(group, series, index) -> sum. A group is a `Segment`'s text or a `cohort`'s."""


class Segment(NamedTuple):
    """Customers of a plan who came from a source; empty for what nobody said."""

    plan: str
    source: str

    @property
    def group(self) -> str:
        """As the key of sums."""
        return f"s{self.plan.replace(_END, '')}{_END}{self.source.replace(_END, '')}"


def cohort(month: int) -> str:
    """The group of those who began in a month (months since 1970).

    >>> cohort(648), segment_of(cohort(648)), segment_of(Segment("pro", "ads").group)
    ('c648', None, Segment(plan='pro', source='ads'))
    """
    return f"c{month}"


def segment_of(group: str) -> Segment | None:
    """The segment that a group is, None for a cohort."""
    return Segment(*group[1:].split(_END)) if group[0] == "s" else None


@lru_cache(maxsize=8192)
def month_of(day: int) -> int:
    """The month (since 1970) of a day (since 1970).

    >>> month_of(0), month_of(30), month_of(31), first_day(648), month_of(first_day(648) - 1)
    (0, 0, 1, 19723, 647)
    """
    on = date.fromordinal(EPOCH_DAY + day)
    return 12 * (on.year - 1970) + on.month - 1


@lru_cache(maxsize=1024)
def first_day(month: int) -> int:
    """The first day (since 1970) of a month (since 1970)."""
    return date(1970 + month // 12, month % 12 + 1, 1).toordinal() - EPOCH_DAY


class RetentionBlock(NamedTuple):
    """Which part of the sums a record holds."""

    scale: str
    number: int  # of the block: its first index is BLOCK times this
    group: str

    @property
    def key(self) -> bytes:
        """Its key in the partition's store."""
        return sums_key(self.scale, self.number, self.group)

    @classmethod
    def of(cls, key: bytes) -> RetentionBlock:
        """The block under a store key that begins with `models.profile.keys.SUMS`."""
        return cls(chr(key[1]), int.from_bytes(key[2:4], "big"), key[4:].decode())


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, int]).decode
_decode_parts = msgspec.msgpack.Decoder(list[tuple[str, int, str, dict[int, int]]]).decode


Parts = dict[tuple[str, int, str], dict[int, int]]
"""What is to be added to blocks: (scale, number, group) -> place in the block -> amount."""


def put(parts: Parts, sums: Mapping[tuple[str, int, int], int]) -> None:
    """Adds a batch's differences to what is pending."""
    scales = SCALES
    for (group, series, index), amount in sums.items():
        if amount:
            number, offset = divmod(index, BLOCK)
            name = scales[series], number, group
            part = parts.get(name)
            if part is None:
                part = parts[name] = {}
            place = series * BLOCK + offset
            part[place] = part.get(place, 0) + amount


def write_parts(parts: Parts) -> bytes:
    """What is pending as a record; `read_parts` gives the same."""
    return _encode([(*name, part) for name, part in parts.items()])


def read_parts(record: bytes | None) -> Parts:
    """From what `write_parts` returned, None for nothing."""
    if record is None:
        return {}
    return {(scale, number, group): part for scale, number, group, part in _decode_parts(record)}


def changed_blocks(parts: Parts, load: Callable[[list[bytes]], Iterable[bytes | None]]) -> dict[bytes, bytes | None]:
    """The store's blocks after what was pending is added; a block without a sum is no record.

    Args:
        parts: What is to be added.
        load: The records under these keys.
    """
    keys = [sums_key(*name) for name in parts]
    changes: dict[bytes, bytes | None] = {}
    for key, part, record in zip(keys, parts.values(), load(keys), strict=True):
        block = _decode(record) if record is not None else {}
        for place, amount in part.items():
            block[place] = block.get(place, 0) + amount
        left = {place: block[place] for place in sorted(block) if block[place]}
        if left or record is not None:
            changes[key] = _encode(left) if left else None
    return changes


def read_block(key: bytes, record: bytes) -> dict[tuple[str, int, int], int]:
    """The sums in a store's record."""
    block = RetentionBlock.of(key)
    first = block.number * BLOCK
    return {(block.group, place // BLOCK, first + place % BLOCK): amount for place, amount in _decode(record).items()}


def is_sums(key: bytes) -> bool:
    """Whether a store key is that of a block."""
    return key[:1] == SUMS and len(key) > 4


class RetentionSums(msgspec.Struct, frozen=True):
    """A value of `churn-metrics`: one block of one partition. Readers add those of all partitions.

    `plan` and `source` name a segment, `cohort` the month in which its customers began; the others are null. `sums`
    has 32 numbers for each series that is not all zero: of the days, months or ages `first` to `first` + 31.
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
"""Of the keys under which blocks are published; the topic holds other figures too."""


def metric_key(partition: int, key: bytes) -> bytes:
    """The key under which a block is published.

    >>> metric_key(3, RetentionBlock("d", 620, Segment("pro", "ads").group).key)
    b'retention/3/day/620/spro/ads'
    """
    block = RetentionBlock.of(key)
    group = block.group.replace("%", "%25").replace("/", "%2F").replace(_END, "/")
    return f"retention/{partition}/{_SCALE_NAMES[block.scale]}/{block.number}/{group}".encode()


def metric_value(partition: int, key: bytes, record: bytes) -> bytes:
    """A block as other programs read it."""
    block = RetentionBlock.of(key)
    segment = segment_of(block.group)
    sums: dict[str, list[int]] = {}
    for place, amount in _decode(record).items():
        sums.setdefault(NAMES[place // BLOCK], [0] * BLOCK)[place % BLOCK] = amount
    return _encode_value(
        RetentionSums(
            partition,
            None if segment is None else segment.plan,
            None if segment is None else segment.source,
            int(block.group[1:]) if segment is None else None,
            _SCALE_NAMES[block.scale],
            block.number * BLOCK,
            sums,
        )
    )


def read_metric(value: bytes) -> dict[tuple[str, int, int], int]:
    """The sums of a published block; series that this program does not know are left out."""
    told = _decode_value(value)
    group = cohort(told.cohort) if told.cohort is not None else Segment(told.plan or "", told.source or "").group
    return {
        (group, NUMBER[name], told.first + offset): amount
        for name, amounts in told.sums.items()
        if name in NUMBER
        for offset, amount in enumerate(amounts)
        if amount
    }


class SegmentRegistry:
    """The plans and sources that a partition tells apart: the first that the log names, all others are one.

    A name's place follows from the log alone, and never changes: what a customer was counted under is what they are
    taken from.
    """

    def __init__(self, plans: Iterable[str] = (), sources: Iterable[str] = ()) -> None:
        self._plans, self._sources = dict.fromkeys(plans), dict.fromkeys(sources)
        self._of: dict[tuple[str, str], str] = {}
        self.grown = False

    def name(self, plan: str, source: str) -> None:
        """Both are named by the log's next event; empty for not."""
        for known, name in ((self._plans, plan), (self._sources, source)):
            if name and name not in known and len(known) < NAMES_MAX:
                known[name] = None
                self.grown = True

    def of(self, plan: str, source: str) -> str:
        """The group of a segment whose names have come."""
        group = self._of.get((plan, source))
        if group is None:
            told = Segment(
                plan if not plan or plan in self._plans else OTHER,
                source if not source or source in self._sources else OTHER,
            )
            group = told.group
            if len(self._of) < NAMES_MAX * NAMES_MAX:
                self._of[plan, source] = group
        return group

    def plan(self, name: str) -> str:
        """The name that a plan whose name has come is counted under."""
        return name if not name or name in self._plans else OTHER

    def record(self) -> bytes:
        """As data; `read` gives the same."""
        return msgspec.msgpack.encode([list(self._plans), list(self._sources)])

    @classmethod
    def read(cls, record: bytes | None) -> SegmentRegistry:
        """From what `record` returned, None for a new partition."""
        if record is None:
            groups = cls()
            groups.grown = True  # its record says that all was counted from the first event on
            return groups
        return cls(*msgspec.msgpack.decode(record, type=tuple[list[str], list[str]]))


def add(sums: Sums, other: Mapping[Any, int]) -> None:
    """Adds another partition's sums."""
    for key, amount in other.items():
        sums[key] += amount
