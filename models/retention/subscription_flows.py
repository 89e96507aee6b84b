"""A customer's contribution to the revenue sums: the terms of their subscription at the end of each day, and the flows.

A flow compares two times: a day and the day before, a day and the day 30 days before, or the ends of two months.
Between them a subscription is *new* (it never ran before), *back* (it ran before and had ended) or *lost* (voluntarily,
involuntarily or without a stated reason). Otherwise it stays, and its price may go *up* or *down*. Lost, up and down
count under the plan at the first time, new and back under the plan at the second.

A customer's record keeps the newest changes. Older changes are settled: they are merged into the base terms before the
first kept change.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from models.profile.codec import ProfileError
from models.profile.mergeable import DAY_MS
from models.profile.schema import SubscriptionObject, SubscriptionRest
from models.profile.subscription_change import ALL, CANCELLED, UNSTATED, SubscriptionChange
from models.retention.activity_flows import WINDOW_DAYS
from models.retention.aggregates import FLOW_SERIES, FLOWS, NUMBER, SegmentRegistry, Sums, cohort, month_of
from models.retention.subscription_book import SubscriptionBook, SubscriptionTerms

FORMAT_VERSION: Final = 1
CHANGES_KEPT: Final = 16  # more than a year of monthly renewals
KEPT_DAYS: Final = 92  # a quarter is always kept, because a month compares the ends of two months
CHANGES_MAX: Final = 64  # bounds a subscription that changes every other day for longer, at the cost of exactness

_START, _NEW, _BACK, _LOST, _UP, _DOWN = (
    FLOWS.index(name) for name in ("start", "new", "back", "lost_voluntary", "up", "down")
)
_RUNNING, _ENDED = NUMBER["running_since"], NUMBER["ended_voluntary"]
_CUSTOMERS, _MRR = NUMBER["cohort_customers+"], NUMBER["cohort_mrr+"]
_CHANGES, _TOO_LATE = NUMBER["changes"], NUMBER["too_late"]

_NOTHING: Final = (0, 0)
_DELETED: Final = -1  # not a kind of `models.profile.subscription_change`


class SubscriptionSpell(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A customer's first subscription, from start to end, in days since 1970; -1 if it has not started or ended."""

    start: int = -1
    end: int = -1
    plan: str = ""
    cause: int = UNSTATED

    def after(self, day: int, terms: SubscriptionTerms) -> SubscriptionSpell:
        """Update the spell with the terms after a change on a day."""
        if self.start < 0:
            return SubscriptionSpell(day, -1, terms.plan) if terms.running else self
        if self.end < 0 and not terms.running:
            return SubscriptionSpell(self.start, day, self.plan, terms.cause)
        return self


class SubscriptionRecord(msgspec.Struct, array_like=True, gc=False):
    """The subscriptions of a customer in the store."""

    version: int = FORMAT_VERSION
    source: str = ""
    settled: tuple[int, int] = _NOTHING  # time of the newest settled change; older records also hold an id hash
    base: SubscriptionTerms = SubscriptionTerms()  # of settled changes without an id
    spell: SubscriptionSpell = SubscriptionSpell()
    changes: list[SubscriptionChange] = []
    nameless: SubscriptionObject | None = None  # of settled changes without an id
    objects: list[SubscriptionObject] = []  # of settled changes with an id
    rest: SubscriptionRest | None = None

    def add(self, change: SubscriptionChange) -> bool:
        """Insert a change in order; False if it is too late, that is, older than the newest settled change."""
        if change.at_ms < self.settled[0]:
            return False
        insort(self.changes, change, key=_order)
        return True

    def settle(self) -> bool:
        """Merge the oldest changes into the base terms; False if there was none to settle."""
        changes, settled = self.changes, False
        while len(changes) > CHANGES_KEPT and (
            len(changes) > CHANGES_MAX or changes[0].at_ms < changes[-1].at_ms - KEPT_DAYS * DAY_MS
        ):
            book = self._book()
            terms = book.apply(first := next(_by_time(changes)))
            del changes[: len(first)]
            self.settled, settled = (first[0].at_ms, 0), True
            self.base, self.nameless, self.objects, self.rest = book.terms, book.nameless, book.objects, book.rest
            self.spell = self.spell.after(first[0].at_ms // DAY_MS, terms)
        return settled

    def timeline(self) -> SubscriptionTimeline:
        """Build the timeline from the base terms and the kept changes."""
        book, spell = self._book(), self.spell
        base = before = book.summary()
        days: dict[int, SubscriptionTerms] = {}
        for group in _by_time(self.changes):
            day = group[0].at_ms // DAY_MS
            days[day] = terms = book.apply(group)
            spell = spell.after(day, terms)
        steps = []
        for day, terms in days.items():
            if terms != before:
                steps.append((day, terms))
            before = terms
        return SubscriptionTimeline(base, tuple(steps), spell)

    def _book(self) -> SubscriptionBook:
        return SubscriptionBook(self.base, self.nameless, self.objects[:], self.rest)


def _order(change: SubscriptionChange) -> tuple[int, int]:
    return change.at_ms, change.rank


def _by_time(changes: list[SubscriptionChange]) -> Iterator[list[SubscriptionChange]]:
    """Yield the changes of each time, which are ordered together."""
    start = 0
    for end in range(1, len(changes) + 1):
        if end == len(changes) or changes[end].at_ms != changes[start].at_ms:
            yield changes[start:end]
            start = end


def deletion_at(at_ms: int) -> SubscriptionChange:
    """Build the change for the deletion of a customer."""
    return SubscriptionChange(at_ms, 0, _DELETED, -1, "", UNSTATED)


def _end_of_all(at_ms: int) -> SubscriptionChange:
    """The end of all subscriptions of a deleted customer."""
    return SubscriptionChange(at_ms, 0, CANCELLED, -1, "", UNSTATED, ALL)


class SubscriptionTimeline(NamedTuple):
    """The base terms, the terms at the end of each day on which they changed, and the first spell."""

    base: SubscriptionTerms
    steps: tuple[tuple[int, SubscriptionTerms], ...]
    spell: SubscriptionSpell


Flow = dict[tuple[int, str], int]
"""The flow between two times: (index in FLOWS, plan) -> number."""


def flow(before: SubscriptionTerms, after: SubscriptionTerms, first_time: bool) -> Flow:
    """Compute the flow of a subscription between two times. `first_time`: it had never run at the first time."""
    if before.running:
        numbers = {(_START, before.plan): 1, (_START + 1, before.plan): before.mrr}
        if not after.running:
            numbers[_LOST + 2 * after.cause, before.plan] = 1
            numbers[_LOST + 2 * after.cause + 1, before.plan] = before.mrr
        elif after.mrr != before.mrr:
            numbers[_UP if after.mrr > before.mrr else _DOWN, before.plan] = abs(after.mrr - before.mrr)
        return numbers
    if after.running:
        index = _NEW if first_time else _BACK
        return {(index, after.plan): 1, (index + 1, after.plan): after.mrr}
    return {}


class FlowContribution(NamedTuple):
    """A number that a customer adds to a sum."""

    plan: str | None
    """Plan of the segment; None for the cohort of customers who started in the same month."""
    series: int
    at: int
    """Index in the series: day, month or age."""
    amount: int


@lru_cache(maxsize=4096)  # many subscriptions have equal timelines
def contributions(timeline: SubscriptionTimeline) -> tuple[FlowContribution, ...]:
    """Return the contributions of a subscription to all sums."""
    base, days, spell = timeline
    parts: list[FlowContribution] = []
    months = tuple({month_of(day): terms for day, terms in days}.items())
    first_month = month_of(spell.start) if spell.start >= 0 else -1
    for name, steps, width, first in (
        ("day", days, 1, spell.start),
        ("rolling", days, WINDOW_DAYS, spell.start),
        ("month", months, 1, first_month),
    ):
        parts += _flows(FLOW_SERIES[name], base, steps, width, first)
    if spell.start >= 0:
        if spell.end < 0:
            parts.append(FlowContribution(spell.plan, _RUNNING, spell.start, 1))
        else:
            parts.append(FlowContribution(spell.plan, _ENDED + spell.cause, spell.end - spell.start, 1))
        before = base
        for month, terms in months:
            parts.append(FlowContribution(None, _CUSTOMERS, month, terms.running - before.running))
            parts.append(FlowContribution(None, _MRR, month, terms.mrr - before.mrr))
            before = terms
    return tuple(part for part in parts if part.amount)


def _flows(
    series: int, base: SubscriptionTerms, steps: tuple[tuple[int, SubscriptionTerms], ...], width: int, first: int
) -> Iterator[FlowContribution]:
    """Yield the differences of a window's flows, at the indexes at which they change."""
    at = [index for index, _ in steps]
    terms = [base, *(step_terms for _, step_terms in steps)]
    changes_at = sorted({*at, *(index + width for index in at), *([first + width] if first >= 0 else [])})
    before = flow(base, base, False)
    for end in changes_at:
        earlier, now = (terms[bisect_right(at, index)] for index in (end - width, end))
        after = flow(earlier, now, not 0 <= first <= end - width)
        for key in before.keys() | after.keys():
            flow_index, plan = key
            yield FlowContribution(plan, series + flow_index, end, after.get(key, 0) - before.get(key, 0))
        before = after


def contribute(sums: Sums, groups: SegmentRegistry, timeline: SubscriptionTimeline, source: str, sign: int) -> None:
    """Add a subscription's contributions to all sums, or subtract them."""
    cohort_group = cohort(month_of(timeline.spell.start)) if timeline.spell.start >= 0 else ""
    for plan, series, index, amount in contributions(timeline):
        group = cohort_group if plan is None else groups.of(plan, source)
        sums[group, series, index] += sign * amount


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(SubscriptionRecord)
encode = _ENCODER.encode


def decode(record: bytes | None) -> SubscriptionRecord:
    """Decode a subscription record; None means that the customer never had one. Raises ProfileError."""
    if record is None:
        return SubscriptionRecord()
    try:
        version = msgspec.msgpack.decode(record)[0]
        if version != FORMAT_VERSION:
            raise ProfileError(
                f"a subscription record has format version {version}, but this release reads version {FORMAT_VERSION}: "
                "run the release that wrote it, or rebuild the group's state from the input"
            )
        return _DECODER.decode(record)
    except (msgspec.MsgspecError, TypeError, LookupError) as error:
        raise ProfileError(f"a subscription record is damaged ({error})") from None


def apply_changes(
    sums: Sums,
    groups: SegmentRegistry,
    record: bytes | None,
    changes: Iterable[SubscriptionChange],
    sources: Sequence[str],
    spells: list[tuple[int, SubscriptionSpell, SubscriptionSpell]],
) -> bytes | None:
    """Apply changes of a customer's subscription to the sums, and return the new record for the store.

    Args:
        sums: The sums of the batch.
        groups: The segments of the partition.
        record: The stored record, None for none.
        changes: The new changes.
        sources: The customer's source after the changes, plus one more source after each deletion.
        spells: Receives the first spell before and after each change that moves it, with the number of the change.
    """
    subscription, life_sources = decode(record), iter(sources)
    source = next(life_sources)
    timeline, old_source = subscription.timeline(), subscription.source
    if subscription.settled == _NOTHING:  # settled changes cannot move to another source
        subscription.source = source
    if subscription.source != old_source:
        contribute(sums, groups, timeline, old_source, -1)
        contribute(sums, groups, timeline, subscription.source, 1)
    for number, change in enumerate(changes):  # one at a time, so that settling does not depend on the batch
        before = timeline.spell
        if change.kind != _DELETED:
            timeline = _apply(sums, groups, subscription, timeline, change)
        elif (timeline.steps[-1][1] if timeline.steps else timeline.base).running:
            timeline = _apply(sums, groups, subscription, timeline, _end_of_all(change.at_ms))
        if timeline.spell != before:
            spells.append((number, before, timeline.spell))
        if change.kind == _DELETED:
            subscription = SubscriptionRecord(source=next(life_sources))
            timeline = subscription.timeline()
    return encode(subscription) if subscription.changes else None


def _apply(
    sums: Sums,
    groups: SegmentRegistry,
    subscription: SubscriptionRecord,
    timeline: SubscriptionTimeline,
    change: SubscriptionChange,
) -> SubscriptionTimeline:
    accepted = subscription.add(change)
    sums[groups.of("", ""), _CHANGES if accepted else _TOO_LATE, change.at_ms // DAY_MS] += 1
    if not accepted:
        return timeline
    new = subscription.timeline()
    if new != timeline:
        contribute(sums, groups, timeline, subscription.source, -1)
        contribute(sums, groups, new, subscription.source, 1)
    return subscription.timeline() if subscription.settle() else new


__all__ = ["CHANGES_KEPT", "SubscriptionRecord", "apply_changes", "deletion_at"]
