"""Sums of matured labels by satisfaction, barriers and goals, and of times to value. Sums of partitions add up.

A matured label counts once: under the plan and tenure stage at its snapshot, in the month of the snapshot. A time to
value counts once per customer and goal, and late events may move it. The additions of a day of the partition's clock
are published after that day. One record per partition (`models.profile.keys.EXPERIENCE`) collects the day, and blocks
are written once a day. So the published values depend on the log only, and are rare.

Bounds: 32 plans, with the rest counted together; the newest 24 months of labels, in a ring; a fixed number of series.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from models.experience.context import ExperienceContext
from models.experience.indices import nps_group
from models.profile.apply_feedback import BARRIERS
from models.profile.keys import EXPERIENCE
from models.profile.mergeable import DAY_MS
from models.retention.aggregates import LAST_MONTH, NAMES_MAX, OTHER, PARTITION_MAX, is_sum, month_of

MONTHS_KEPT: Final = 24
STAGES: Final = (30, 90, 180, 365)  # days of tenure at which a stage ends; the last stage has no end
STAGE_NAMES: Final = ("0-30 days", "30-90 days", "90-180 days", "180-365 days", "over a year")
BOXES: Final = 5  # bands of a CSAT answer: fifths of its scale
NPS_GROUPS: Final = ("detractor", "passive", "promoter")
NONE: Final = "none"

LABELS: Final = "labels"
GOALS: Final = "goals"
_KINDS: Final = {LABELS: b"l", GOALS: b"g"}

Pair = tuple[int, int]
"""Labels and churned labels; for a mean, answers and their sum; for a time to value, customers and their minutes."""


class ExperienceBlock(NamedTuple):
    """A part of the sums: labels of a plan and a month (since 1970), or times to value of a plan."""

    kind: str
    month: int  # 0 for times to value
    plan: str

    @property
    def key(self) -> bytes:
        """The key in the partition's store: a slot in the ring of months."""
        return EXPERIENCE + _KINDS[self.kind] + bytes((self.month % MONTHS_KEPT,)) + self.plan.encode()


class SumIncrement(NamedTuple):
    """An addition to one series of a block, at a time of the partition's clock."""

    clock_ms: int
    block: ExperienceBlock
    series: str
    amount: Pair


class ExperienceSums(msgspec.Struct, frozen=True):
    """A value of `churn-metrics`: one block of one partition. Readers add up the blocks of all partitions."""

    partition: int
    kind: str
    plan: str
    month: int | None
    sums: dict[str, Pair]


Sums = dict[ExperienceBlock, dict[str, Pair]]
Load = Callable[[Sequence[bytes]], list[bytes | None]]


# Additions ------------------------------------------------------------------------------------------------------------


def stage_of(tenure_days: int) -> int:
    """Return the stage of a tenure.

    >>> [stage_of(days) for days in (0, 29, 30, 364, 365)]
    [0, 0, 1, 3, 4]
    """
    return sum(tenure_days >= end for end in STAGES)


def band_of(score: int) -> int:
    """Return the fifth of the scale, 1 to 5, of an answer in per mille.

    >>> [band_of(score) for score in (0, 200, 201, 800, 1000)]
    [1, 1, 2, 4, 5]
    """
    return min(max(-(-score * BOXES // 1000), 1), BOXES)


def label_additions(context: ExperienceContext, label: int) -> list[tuple[str, Pair]]:
    """Return the additions of a matured label to the series of its block."""
    stage, counts = stage_of(context.tenure_days), (1, label)
    names = [f"{stage}/all"]
    csat, nps = context.csat, context.nps
    names.append(f"{stage}/csat/{band_of(csat) if csat >= 0 else NONE}")
    names.append(f"{stage}/nps/{nps_group(nps) if nps >= 0 else NONE}")
    tags = context.barriers
    if tags:
        names += [f"{stage}/barrier/{tag}" for index, tag in enumerate(BARRIERS) if tags >> index & 1]
    else:
        names.append(f"{stage}/barrier/{NONE}")
    names += [f"{stage}/goal/{goal}/{status}" for goal, status in context.goals]
    additions = [(name, counts) for name in names]
    if csat >= 0:
        additions.append((f"{stage}/csat_sum", (1, csat)))
    if context.ces >= 0:
        additions.append((f"{stage}/ces_sum", (1, context.ces)))
    return additions


# One partition --------------------------------------------------------------------------------------------------------


class _Open(msgspec.Struct, array_like=True):
    """The additions of the current day, and the plans that are counted separately."""

    day: int = 0
    plans: list[str] = []
    added: dict[str, dict[str, Pair]] = {}  # by the block's name


class ExperienceAggregates:
    """The experience sums of a partition.

    Args:
        load: Reads committed records.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._open: _Open | None = None

    def apply_batch(self, additions: Iterable[SumIncrement], clock_ms: int) -> dict[bytes, bytes | None]:
        """Apply the additions of a batch, and return the changes of the store.

        Args:
            additions: In the order of the log.
            clock_ms: The partition's clock after the batch.
        """
        state = self._state()
        changes: dict[bytes, bytes | None] = {}
        changed = False
        for clock, block, series, amount in additions:
            day = clock // DAY_MS
            if day > state.day:
                self._close(state, changes)
                state.day = day
            name = _to_name(block._replace(plan=self._plan(state, block.plan)))
            sums = state.added.setdefault(name, {})
            sums[series] = _plus(sums.get(series, (0, 0)), amount)
            changed = True
        if state.added and clock_ms // DAY_MS > state.day:
            self._close(state, changes)
            changed = True
        if changed:
            changes[EXPERIENCE] = _encode(state)
        return changes

    def whole(self, stored: Iterable[tuple[bytes, bytes]]) -> Sums:
        """Return all sums: the blocks among the store's records, plus the current day."""
        total: Sums = {}
        for key, record in stored:
            if is_block(key):
                add(total, *_read(key, record))
        for name, sums in self._state().added.items():
            add(total, _from_name(name), sums)
        return total

    def _state(self) -> _Open:
        if self._open is None:
            [record] = self._load([EXPERIENCE])
            self._open = _Open() if record is None else _decode_open(record)
        return self._open

    def _plan(self, state: _Open, plan: str) -> str:
        if not plan or plan in state.plans:
            return plan
        if len(state.plans) >= NAMES_MAX:
            return OTHER
        state.plans.append(plan)
        return plan

    def _close(self, state: _Open, changes: dict[bytes, bytes | None]) -> None:
        """End the day: add its additions to the blocks."""
        blocks = {_from_name(name): sums for name, sums in sorted(state.added.items())}
        state.added = {}
        keys = [block.key for block in blocks]
        for key, record in zip(keys, self._load(keys), strict=True):
            changes.setdefault(key, record)
        for block, sums in blocks.items():
            before = changes[block.key]
            month, known = (block.month, {}) if before is None else _decode_block(before)
            if month > block.month:
                continue  # two years late: the slot in the ring belongs to a later month
            if month < block.month:
                known = {}
            for series, amount in sums.items():
                known[series] = _plus(known.get(series, (0, 0)), amount)
            filled = {series: known[series] for series in sorted(known) if known[series] != (0, 0)}
            changes[block.key] = _encode((block.month, filled))


def add(sums: Sums, block: ExperienceBlock, amounts: dict[str, Pair]) -> None:
    """Add the amounts of a block to the sums."""
    total = sums.setdefault(block, {})
    for series, amount in amounts.items():
        total[series] = _plus(total.get(series, (0, 0)), amount)


def label_block(plan: str, snapshot_ms: int) -> ExperienceBlock:
    """Return the block in which a label counts."""
    return ExperienceBlock(LABELS, month_of(snapshot_ms // DAY_MS), plan)


def goal_additions(
    clock_ms: int, before: Sequence[tuple[str, str, int, int]], after: Sequence[tuple[str, str, int, int]]
) -> list[SumIncrement]:
    """Return the additions that move a customer's times to value from `before` to `after`."""
    if before == after:
        return []
    return [
        SumIncrement(clock_ms, ExperienceBlock(GOALS, 0, plan), f"{label}/{bin_index}", (sign, sign * minutes))
        for sign, contributions in ((-1, before), (1, after))
        for plan, label, bin_index, minutes in contributions
    ]


def _plus(a: Any, b: Any) -> Pair:
    return a[0] + b[0], a[1] + b[1]


def _to_name(block: ExperienceBlock) -> str:
    return f"{block.kind} {block.month} {block.plan}"


def _from_name(name: str) -> ExperienceBlock:
    kind, month, plan = name.split(" ", 2)
    return ExperienceBlock(kind, int(month), plan)


# Publishing -----------------------------------------------------------------------------------------------------------

METRIC_PREFIX: Final = b"experience/"
"""Prefix of the keys of published blocks; the topic also holds other metrics."""

_encode = msgspec.msgpack.Encoder().encode
_decode_open = msgspec.msgpack.Decoder(_Open).decode
_decode_block = msgspec.msgpack.Decoder(tuple[int, dict[str, Pair]]).decode
_encode_value = msgspec.json.Encoder().encode
_decode_value = msgspec.json.Decoder(ExperienceSums).decode
_MONTH_AT: Final = len(EXPERIENCE) + 1
_LABEL_SERIES: Final = re.compile(r"[0-4]/(?:(?:csat|nps|barrier)/[^/]+|goal/.+/[^/]+|all|csat_sum|ces_sum)", re.DOTALL)
_GOAL_SERIES: Final = re.compile(r".+/[0-9]{1,2}", re.DOTALL)
_KIND_OF: Final = {code: kind for kind, code in _KINDS.items()}


def is_block(key: bytes) -> bool:
    """Check whether a store key belongs to a block."""
    return key[:1] == EXPERIENCE and len(key) > _MONTH_AT


def metric_key(partition: int, key: bytes) -> bytes:
    """Return the key of a published block.

    >>> metric_key(3, ExperienceBlock("labels", 648, "pro").key), metric_key(3, ExperienceBlock("goals", 0, "").key)
    (b'experience/3/labels/0/pro', b'experience/3/goals/')
    """
    plan = key[_MONTH_AT + 1 :].decode().replace("%", "%25").replace("/", "%2F")
    kind = _KIND_OF[key[1:2]]
    return f"experience/{partition}/{kind}/{f'{key[_MONTH_AT]}/' if kind == LABELS else ''}{plan}".encode()


def metric_value(partition: int, key: bytes, record: bytes) -> bytes:
    """Encode a block for publishing."""
    block, sums = _read(key, record)
    month = block.month if block.kind == LABELS else None
    return _encode_value(ExperienceSums(partition, block.kind, block.plan, month, sums))


def read_metric(value: bytes, key: bytes | None = None) -> tuple[ExperienceBlock, dict[str, Pair]]:
    """Decode a published block.

    Args:
        value: As `metric_value` encodes it.
        key: If given, the record's key, which must be that of the block.

    Raises:
        msgspec.MsgspecError: No partition publishes such a record. The message does not quote it.
    """
    published = _decode_value(value)
    block = ExperienceBlock(published.kind, published.month or 0, published.plan)
    if block.kind not in _KINDS or not 0 <= block.month <= LAST_MONTH or not 0 <= published.partition <= PARTITION_MAX:
        raise msgspec.ValidationError("kind, month or partition is none of ours")
    if key is not None and key != metric_key(published.partition, block.key):
        raise msgspec.ValidationError("the key is not that of the block")
    series = _GOAL_SERIES if block.kind == GOALS else _LABEL_SERIES
    if not all(series.fullmatch(name) and is_sum(a) and is_sum(b) for name, (a, b) in published.sums.items()):
        raise msgspec.ValidationError("a series or its sums are none of ours")
    return block, published.sums


def _read(key: bytes, record: bytes) -> tuple[ExperienceBlock, dict[str, Pair]]:
    month, sums = _decode_block(record)
    return ExperienceBlock(_KIND_OF[key[1:2]], month, key[_MONTH_AT + 1 :].decode()), sums


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
