"""Sums of what matured labels say of satisfaction, barriers and goals, and of times to value; partitions add up.

A matured label counts once, under the plan and the stage of tenure at its snapshot, in the month of the snapshot. A
time to value counts once a customer and goal, and moves when late events correct it. What is added on a day of the
partition's clock is published when that day is over: one record a partition (`models.profile.keys.EXPERIENCE`) collects a
day, and blocks are written once a day. So what is published is a function of the log, and seldom.

Bounded: 32 plans, the rest together; of labels the newest 24 months, in a ring; a fixed number of series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from models.experience.context import ExperienceContext
from models.experience.indices import nps_group
from models.profile.apply_feedback import BARRIERS
from models.profile.keys import EXPERIENCE
from models.profile.mergeable import DAY_MS
from models.retention.aggregates import NAMES_MAX, OTHER, month_of

MONTHS_KEPT: Final = 24
STAGES: Final = (30, 90, 180, 365)  # days of tenure at which a stage ends; the last one has no end
STAGE_NAMES: Final = ("0-30 days", "30-90 days", "90-180 days", "180-365 days", "over a year")
BOXES: Final = 5  # bands of a CSAT answer: fifths of its scale
NPS_GROUPS: Final = ("detractor", "passive", "promoter")
NONE: Final = "none"

LABELS: Final = "labels"
GOALS: Final = "goals"
_KINDS: Final = {LABELS: b"l", GOALS: b"g"}

Pair = tuple[int, int]
"""Labels and those of churn; of a mean its answers and their sum; of a time to value customers and their minutes."""


class ExperienceBlock(NamedTuple):
    """Which part of the sums: labels of a plan and a month (since 1970), or times to value of a plan."""

    kind: str
    month: int  # 0 for times to value
    plan: str

    @property
    def key(self) -> bytes:
        """In the partition's store: a place in the ring of months."""
        return EXPERIENCE + _KINDS[self.kind] + bytes((self.month % MONTHS_KEPT,)) + self.plan.encode()


class SumIncrement(NamedTuple):
    """What something adds to one series of a block, at a time of the partition's clock."""

    clock_ms: int
    block: ExperienceBlock
    series: str
    amount: Pair


class ExperienceSums(msgspec.Struct, frozen=True):
    """A value of `churn-metrics`: one block of one partition. Readers add those of all partitions."""

    partition: int
    kind: str
    plan: str
    month: int | None
    sums: dict[str, Pair]


Sums = dict[ExperienceBlock, dict[str, Pair]]
Load = Callable[[Sequence[bytes]], list[bytes | None]]


# What is added --------------------------------------------------------------------------------------------------------


def stage_of(tenure_days: int) -> int:
    """The stage of tenure.

    >>> [stage_of(days) for days in (0, 29, 30, 364, 365)]
    [0, 0, 1, 3, 4]
    """
    return sum(tenure_days >= end for end in STAGES)


def band_of(score: int) -> int:
    """The fifth of its scale that an answer in per mille falls into, 1 to 5.

    >>> [band_of(score) for score in (0, 200, 201, 800, 1000)]
    [1, 1, 2, 4, 5]
    """
    return min(max(-(-score * BOXES // 1000), 1), BOXES)


def of_label(found: ExperienceContext, label: int) -> list[tuple[str, Pair]]:
    """What a matured label adds to the series of its block."""
    stage, one = stage_of(found.tenure_days), (1, label)
    names = [f"{stage}/all"]
    csat, nps = found.csat, found.nps
    names.append(f"{stage}/csat/{band_of(csat) if csat >= 0 else NONE}")
    names.append(f"{stage}/nps/{nps_group(nps) if nps >= 0 else NONE}")
    tags = found.barriers
    if tags:
        names += [f"{stage}/barrier/{tag}" for index, tag in enumerate(BARRIERS) if tags >> index & 1]
    else:
        names.append(f"{stage}/barrier/{NONE}")
    names += [f"{stage}/goal/{goal}/{standing}" for goal, standing in found.goals]
    added = [(name, one) for name in names]
    if csat >= 0:
        added.append((f"{stage}/csat_sum", (1, csat)))
    if found.ces >= 0:
        added.append((f"{stage}/ces_sum", (1, found.ces)))
    return added


# One partition --------------------------------------------------------------------------------------------------------


class _Open(msgspec.Struct, array_like=True):
    """What a day has added so far, and the plans that are told apart."""

    day: int = 0
    plans: list[str] = []
    added: dict[str, dict[str, Pair]] = {}  # by the block's name


class ExperienceAggregates:
    """A partition's sums, from batch to batch.

    Args:
        load: Reads committed records.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._open: _Open | None = None

    def apply_batch(self, additions: Iterable[SumIncrement], clock_ms: int) -> dict[bytes, bytes | None]:
        """What a batch changes in the store.

        Args:
            additions: In the order of the log.
            clock_ms: The partition's clock after the batch.
        """
        book = self._opened()
        changes: dict[bytes, bytes | None] = {}
        changed = False
        for clock, block, series, amount in additions:
            day = clock // DAY_MS
            if day > book.day:
                self._close(book, changes)
                book.day = day
            name = _name(block._replace(plan=self._plan(book, block.plan)))
            series_of = book.added.setdefault(name, {})
            series_of[series] = _plus(series_of.get(series, (0, 0)), amount)
            changed = True
        if book.added and clock_ms // DAY_MS > book.day:
            self._close(book, changes)
            changed = True
        if changed:
            changes[EXPERIENCE] = _encode(book)
        return changes

    def whole(self, stored: Iterable[tuple[bytes, bytes]]) -> Sums:
        """All sums: those of blocks among the store's records, and the day that is not over."""
        found: Sums = {}
        for key, record in stored:
            if is_block(key):
                add(found, *_read(key, record))
        for name, sums in self._opened().added.items():
            add(found, _named(name), sums)
        return found

    def _opened(self) -> _Open:
        if self._open is None:
            [record] = self._load([EXPERIENCE])
            self._open = _Open() if record is None else _decode_open(record)
        return self._open

    def _plan(self, book: _Open, plan: str) -> str:
        if not plan or plan in book.plans:
            return plan
        if len(book.plans) >= NAMES_MAX:
            return OTHER
        book.plans.append(plan)
        return plan

    def _close(self, book: _Open, changes: dict[bytes, bytes | None]) -> None:
        """The day is over: what it added goes into its blocks."""
        blocks = {_named(name): sums for name, sums in sorted(book.added.items())}
        book.added = {}
        keys = [block.key for block in blocks]
        for key, record in zip(keys, self._load(keys), strict=True):
            changes.setdefault(key, record)
        for block, sums in blocks.items():
            before = changes[block.key]
            month, known = (block.month, {}) if before is None else _decode_block(before)
            if month > block.month:
                continue  # its place in the ring belongs to a later month: two years late
            if month < block.month:
                known = {}
            for series, amount in sums.items():
                known[series] = _plus(known.get(series, (0, 0)), amount)
            left = {series: known[series] for series in sorted(known) if known[series] != (0, 0)}
            changes[block.key] = _encode((block.month, left))


def add(sums: Sums, block: ExperienceBlock, amounts: dict[str, Pair]) -> None:
    """Adds a block."""
    mine = sums.setdefault(block, {})
    for series, amount in amounts.items():
        mine[series] = _plus(mine.get(series, (0, 0)), amount)


def label_block(plan: str, snapshot_ms: int) -> ExperienceBlock:
    """Where a label counts."""
    return ExperienceBlock(LABELS, month_of(snapshot_ms // DAY_MS), plan)


def goal_additions(
    clock_ms: int, before: Sequence[tuple[str, str, int, int]], after: Sequence[tuple[str, str, int, int]]
) -> list[SumIncrement]:
    """What changes when a customer's times to value were `before` and are `after` (`models.definition.goals`)."""
    if before == after:
        return []
    return [
        SumIncrement(clock_ms, ExperienceBlock(GOALS, 0, plan), f"{label}/{place}", (sign, sign * minutes))
        for sign, told in ((-1, before), (1, after))
        for plan, label, place, minutes in told
    ]


def _plus(a: Any, b: Any) -> Pair:
    return a[0] + b[0], a[1] + b[1]


def _name(block: ExperienceBlock) -> str:
    return f"{block.kind} {block.month} {block.plan}"


def _named(name: str) -> ExperienceBlock:
    kind, month, plan = name.split(" ", 2)
    return ExperienceBlock(kind, int(month), plan)


# Published ------------------------------------------------------------------------------------------------------------

METRIC_PREFIX: Final = b"experience/"
"""Of the keys under which blocks are published; the topic holds other figures too."""

_encode = msgspec.msgpack.Encoder().encode
_decode_open = msgspec.msgpack.Decoder(_Open).decode
_decode_block = msgspec.msgpack.Decoder(tuple[int, dict[str, Pair]]).decode
_encode_value = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(ExperienceSums).decode
_PLACE: Final = len(EXPERIENCE) + 1
_KIND_OF: Final = {code: kind for kind, code in _KINDS.items()}


def is_block(key: bytes) -> bool:
    """Whether a store key is that of a block."""
    return key[:1] == EXPERIENCE and len(key) > _PLACE


def metric_key(partition: int, key: bytes) -> bytes:
    """The key under which a block is published.

    >>> metric_key(3, ExperienceBlock("labels", 648, "pro").key), metric_key(3, ExperienceBlock("goals", 0, "").key)
    (b'experience/3/labels/0/pro', b'experience/3/goals/')
    """
    plan = key[_PLACE + 1 :].decode().replace("%", "%25").replace("/", "%2F")
    kind = _KIND_OF[key[1:2]]
    return f"experience/{partition}/{kind}/{f'{key[_PLACE]}/' if kind == LABELS else ''}{plan}".encode()


def metric_value(partition: int, key: bytes, record: bytes) -> bytes:
    """A block as other programs read it."""
    block, sums = _read(key, record)
    month = block.month if block.kind == LABELS else None
    return _encode_value(ExperienceSums(partition, block.kind, block.plan, month, sums))


def read_metric(value: bytes) -> tuple[ExperienceBlock, dict[str, Pair]]:
    """The block of a published value."""
    told = _decode_value(value)
    return ExperienceBlock(told.kind, told.month or 0, told.plan), told.sums


def _read(key: bytes, record: bytes) -> tuple[ExperienceBlock, dict[str, Pair]]:
    month, sums = _decode_block(record)
    return ExperienceBlock(_KIND_OF[key[1:2]], month, key[_PLACE + 1 :].decode()), sums


__all__ = [
    "GOALS",
    "LABELS",
    "METRIC_PREFIX",
    "ExperienceAggregates",
    "ExperienceBlock",
    "ExperienceSums",
    "SumIncrement",
    "Sums",
    "add",
    "is_block",
    "metric_key",
    "metric_value",
    "read_metric",
]  # fmt: skip
