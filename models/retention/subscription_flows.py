"""A customer's part of the sums of revenue: where their subscription stood at the end of each day, and what moved.

Between two moments (a day and the one before, a day and the one 30 days before, the ends of two months) a subscription
is *new* (never ran before), *back* (ran before, had ended), *lost* (voluntarily, involuntarily or without a stated
reason), or it stays, and its price goes *up* or *down*. What is lost, up or down counts under the plan at the first of
the two moments, what is new or back under the plan at the second.

A customer's newest changes are kept; older ones are settled: they become the state before the first one that is kept.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from models.events.coercion import text
from models.events.event import Event
from models.profile.apply_billing import price_of
from models.profile.codec import ProfileError
from models.profile.mergeable import DAY_MS
from models.profile.subscription import CANCELLED, CHANGES, PAUSED, RESUMED, STARTED
from models.retention.activity_flows import WINDOW_DAYS
from models.retention.aggregates import FLOW_SERIES, FLOWS, NUMBER, SegmentRegistry, Sums, cohort, month_of

FORMAT_VERSION: Final = 1
CHANGES_KEPT: Final = 16  # with monthly renewals more than a year
KEPT_DAYS: Final = 92  # those of a quarter are kept in any case: two months lie between the ends that a month compares
CHANGES_MAX: Final = 64  # a subscription that changes every other day for longer loses its exactness, not its bound
VOLUNTARY, INVOLUNTARY, UNSTATED = range(3)
CAUSES: Final = ("voluntary", "involuntary", "unstated")
_CAUSE_OF: Final = {  # Stripe's vocabulary of a cancellation's reason
    "cancellation_requested": VOLUNTARY,
    "payment_failed": INVOLUNTARY,
    "payment_disputed": INVOLUNTARY,
}

_START, _NEW, _BACK, _LOST, _UP, _DOWN = (
    FLOWS.index(name) for name in ("start", "new", "back", "lost_voluntary", "up", "down")
)
_RUNNING, _ENDED = NUMBER["running_since"], NUMBER["ended_voluntary"]
_CUSTOMERS, _MRR = NUMBER["cohort_customers+"], NUMBER["cohort_mrr+"]
_CHANGES, _TOO_LATE = NUMBER["changes"], NUMBER["too_late"]

_NOTHING: Final = (0, 0)
_FORGOTTEN: Final = -1  # no kind of `models.profile.subscription`

Change = tuple[int, int, int, int, str, int]
"""(time ms, id hash, kind, mrr in minor units or -1, plan or "", cause of an end)"""


class SubscriptionTerms(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a subscription stands."""

    started: bool = False
    """Anything was ever heard of it."""
    running: bool = False
    paused: bool = False
    price: int = 0
    plan: str = ""
    cause: int = UNSTATED
    """Of the newest end."""

    @property
    def mrr(self) -> int:
        """What it brings in a month, in minor units: a subscription that is paused brings nothing."""
        return self.price if self.running and not self.paused else 0

    def after(self, change: Change) -> SubscriptionTerms:
        """The rules of `models.profile.subscription.SubscriptionState`, and what was said of price and plan."""
        _, _, kind, price, plan, cause = change
        running, paused = self.running, self.paused
        if kind == CANCELLED:
            running = paused = False
        elif kind == STARTED or not self.started:
            running = True
        if kind in (PAUSED, RESUMED):
            paused = kind == PAUSED and running
        return SubscriptionTerms(
            True,
            running,
            paused,
            self.price if price < 0 else price,
            plan or self.plan,
            cause if kind == CANCELLED else self.cause,
        )


class SubscriptionSpell(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first time from a start to an end, in days since 1970; -1 for not yet."""

    start: int = -1
    end: int = -1
    plan: str = ""
    cause: int = UNSTATED

    def after(self, day: int, terms: SubscriptionTerms) -> SubscriptionSpell:
        """Seen once more, at the terms after a change on a day."""
        if self.start < 0:
            return SubscriptionSpell(day, -1, terms.plan) if terms.running else self
        if self.end < 0 and not terms.running:
            return SubscriptionSpell(self.start, day, self.plan, terms.cause)
        return self


class SubscriptionRecord(msgspec.Struct, array_like=True, gc=False):
    """What is kept of a customer's subscription."""

    version: int = FORMAT_VERSION
    source: str = ""
    settled: tuple[int, int] = _NOTHING  # time and id of the newest change that is no longer kept
    base: SubscriptionTerms = SubscriptionTerms()
    spell: SubscriptionSpell = SubscriptionSpell()
    changes: list[Change] = []

    def add(self, change: Change) -> bool:
        """Takes a change in its place; False if it is older than what is settled, and too late."""
        if change[:2] < self.settled:
            return False
        insort(self.changes, change)
        return True

    def settle(self) -> bool:
        """Lets go of the oldest changes that are not kept; whether there was one."""
        changes, settled = self.changes, False
        while len(changes) > CHANGES_KEPT and (
            len(changes) > CHANGES_MAX or changes[0][0] < changes[-1][0] - KEPT_DAYS * DAY_MS
        ):
            change = changes.pop(0)
            self.settled, self.base, settled = change[:2], self.base.after(change), True
            self.spell = self.spell.after(change[0] // DAY_MS, self.base)
        return settled

    def course(self) -> SubscriptionTimeline:
        """Where the subscription stood when, as far as changes that are kept make it."""
        days: dict[int, SubscriptionTerms] = {}
        terms, spell = self.base, self.spell
        for change in self.changes:
            day = change[0] // DAY_MS
            days[day] = terms = terms.after(change)
            spell = spell.after(day, terms)
        before, steps = self.base, []
        for day, terms in days.items():
            if terms != before:
                steps.append((day, terms))
            before = terms
        return SubscriptionTimeline(self.base, tuple(steps), spell)


def forgotten(at_ms: int) -> Change:
    """Said of a customer of whom nothing is kept any more."""
    return at_ms, 0, _FORGOTTEN, -1, "", UNSTATED


class SubscriptionTimeline(NamedTuple):
    """The terms at first, those at the end of each day on which they became others, and the first spell."""

    base: SubscriptionTerms
    steps: tuple[tuple[int, SubscriptionTerms], ...]
    spell: SubscriptionSpell


def change_of(event: Event) -> Change:
    """What a subscription event says."""
    kind = CHANGES[event.name]
    price = price_of(event)
    cause = UNSTATED
    if kind == CANCELLED:
        reason = event.properties.get("reason")
        cause = _CAUSE_OF.get(reason, UNSTATED) if isinstance(reason, str) else UNSTATED
    plan = text(event.properties.get("plan"), 64) or ""
    return event.time_ms, event.id_hash, kind, -1 if price is None else price, plan, cause


Flow = dict[tuple[int, str], int]
"""What lies between two moments: (place in FLOWS, plan) -> number."""


def flow(before: SubscriptionTerms, after: SubscriptionTerms, first_time: bool) -> Flow:
    """What lies between two moments of one subscription. `first_time`: it had never run at the first of them."""
    if before.running:
        found = {(_START, before.plan): 1, (_START + 1, before.plan): before.mrr}
        if not after.running:
            found[_LOST + 2 * after.cause, before.plan] = 1
            found[_LOST + 2 * after.cause + 1, before.plan] = before.mrr
        elif after.mrr != before.mrr:
            found[_UP if after.mrr > before.mrr else _DOWN, before.plan] = abs(after.mrr - before.mrr)
        return found
    if after.running:
        place = _NEW if first_time else _BACK
        return {(place, after.plan): 1, (place + 1, after.plan): after.mrr}
    return {}


class FlowContribution(NamedTuple):
    """A number that a customer adds to a sum."""

    plan: str | None
    """Of the segment, None for the cohort of those who began in the same month."""
    series: int
    at: int
    """Index of the series: day, month or age."""
    amount: int


@lru_cache(maxsize=4096)  # most subscriptions begin like others, and are renewed as they were
def parts(course: SubscriptionTimeline) -> tuple[FlowContribution, ...]:
    """What a subscription adds to all sums."""
    base, days, spell = course
    found: list[FlowContribution] = []
    months = tuple({month_of(day): terms for day, terms in days}.items())
    first_month = month_of(spell.start) if spell.start >= 0 else -1
    for name, steps, width, first in (
        ("day", days, 1, spell.start),
        ("rolling", days, WINDOW_DAYS, spell.start),
        ("month", months, 1, first_month),
    ):
        found += _flows(FLOW_SERIES[name], base, steps, width, first)
    if spell.start >= 0:
        if spell.end < 0:
            found.append(FlowContribution(spell.plan, _RUNNING, spell.start, 1))
        else:
            found.append(FlowContribution(spell.plan, _ENDED + spell.cause, spell.end - spell.start, 1))
        before = base
        for month, terms in months:
            found.append(FlowContribution(None, _CUSTOMERS, month, terms.running - before.running))
            found.append(FlowContribution(None, _MRR, month, terms.mrr - before.mrr))
            before = terms
    return tuple(part for part in found if part.amount)


def _flows(
    series: int, base: SubscriptionTerms, steps: tuple[tuple[int, SubscriptionTerms], ...], width: int, first: int
) -> Iterator[FlowContribution]:
    """Each number of a window at the indexes at which it changes, by how much."""
    at = [index for index, _ in steps]
    terms = [base, *(each for _, each in steps)]
    moments = sorted({*at, *(index + width for index in at), *([first + width] if first >= 0 else [])})
    before = flow(base, base, False)
    for moment in moments:
        earlier, now = (terms[bisect_right(at, index)] for index in (moment - width, moment))
        after = flow(earlier, now, not 0 <= first <= moment - width)
        for name in before.keys() | after.keys():
            place, plan = name
            yield FlowContribution(plan, series + place, moment, after.get(name, 0) - before.get(name, 0))
        before = after


def contribute(sums: Sums, groups: SegmentRegistry, course: SubscriptionTimeline, source: str, sign: int) -> None:
    """Adds a subscription's part to all sums, or takes it away."""
    began = cohort(month_of(course.spell.start)) if course.spell.start >= 0 else ""
    for plan, series, index, amount in parts(course):
        group = began if plan is None else groups.of(plan, source)
        sums[group, series, index] += sign * amount


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(SubscriptionRecord)
encode = _ENCODER.encode


def decode(record: bytes | None) -> SubscriptionRecord:
    """Reads what `encode` wrote, None for who never had one. Raises ProfileError for what is no such thing."""
    if record is None:
        return SubscriptionRecord()
    try:
        version = msgspec.msgpack.decode(record)[0]
        if version != FORMAT_VERSION:
            raise ProfileError(
                f"a subscription has format version {version}, this program reads version {FORMAT_VERSION}: "
                "run the release that wrote it, or rebuild the group's state from the input"
            )
        return _DECODER.decode(record)
    except (msgspec.MsgspecError, TypeError, LookupError) as error:
        raise ProfileError(f"a subscription is damaged ({error}): restore the store from the changelog") from None


def revise(
    sums: Sums,
    groups: SegmentRegistry,
    record: bytes | None,
    changes: Iterable[Change],
    sources: Sequence[str],
    spells: list[tuple[int, SubscriptionSpell, SubscriptionSpell]],
) -> bytes | None:
    """Takes changes of a customer's subscription into the sums; what is kept of it from now on.

    Args:
        record: What was kept, None for nothing.
        changes: New ones.
        sources: Where the customer came from, as it is known after them; one more for each time they were forgotten.
        spells: Is given the first spell before and after each change that moved it, with the change's number.
    """
    contract, life_tables = decode(record), iter(sources)
    source = next(life_tables)
    course, old_source = contract.course(), contract.source
    if contract.settled == _NOTHING:  # else what is settled could not follow to another source
        contract.source = source
    if contract.source != old_source:
        contribute(sums, groups, course, old_source, -1)
        contribute(sums, groups, course, contract.source, 1)
    for number, change in enumerate(changes):  # one after the other: what is settled does not depend on the batch
        before = course.spell
        if change[2] != _FORGOTTEN:
            course = _take(sums, groups, contract, course, change)
        elif (course.steps[-1][1] if course.steps else course.base).running:
            course = _take(sums, groups, contract, course, (change[0], 0, CANCELLED, -1, "", UNSTATED))
        if course.spell != before:
            spells.append((number, before, course.spell))
        if change[2] == _FORGOTTEN:
            contract = SubscriptionRecord(source=next(life_tables))
            course = contract.course()
    return encode(contract) if contract.changes else None


def _take(
    sums: Sums, groups: SegmentRegistry, contract: SubscriptionRecord, course: SubscriptionTimeline, change: Change
) -> SubscriptionTimeline:
    accepted = contract.add(change)
    sums[groups.of("", ""), _CHANGES if accepted else _TOO_LATE, change[0] // DAY_MS] += 1
    if not accepted:
        return course
    now = contract.course()
    if now != course:
        contribute(sums, groups, course, contract.source, -1)
        contribute(sums, groups, now, contract.source, 1)
    return contract.course() if contract.settle() else now


__all__ = ["CAUSES", "CHANGES_KEPT", "SubscriptionRecord", "change_of", "forgotten", "revise"]
