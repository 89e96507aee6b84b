"""What a log's counts mean for results: what would make them wrong, what is worth knowing, and what is in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from models.backtesting.log_census import LogCensus, Tally
from models.definition.churn_definition import ChurnDefinition
from models.duration import DAY_MS, rfc3339
from models.events.log_order import LogOrder
from models.events.unreadable import UnreadableCounts
from models.pipeline.clock_guard import PlausibleLog

ERROR: Final = "error"
WARNING: Final = "warning"
OK: Final = "ok"

NAMES_SHOWN: Final = 10
LONG_PAUSE_MS: Final = 7 * DAY_MS
"""A log without any event for longer may lack a part."""


class LogFinding(msgspec.Struct, frozen=True):
    """One finding.

    Attributes:
        level: `ERROR` if results would be wrong, `WARNING` if they might be, `OK` for a plain figure.
        topic: What it is about, in one word.
        text: A sentence without markup.
        line: A line of the log to look at, 0 for none.
    """

    level: str
    topic: str
    text: str
    line: int = 0


class LabelCounts(msgspec.Struct, frozen=True):
    """Labels that a replay of the log would learn from.

    Attributes:
        matured: Labels known at the end of the log.
        positive: How many of them are 1.
        first_release_ms: When the first one was known, 0 for none.
        pending: Snapshots whose label is not known yet.
        censored: Labels dropped because of feed outages.
    """

    matured: int
    positive: int
    first_release_ms: int
    pending: int
    censored: int


def find_problems(
    census: LogCensus,
    order: LogOrder,
    labels: LabelCounts,
    definition: ChurnDefinition,
    unreadable: UnreadableCounts,
) -> list[LogFinding]:
    """Return all findings, in the order of a report. The positions of `unreadable` are line numbers."""
    found = [*_lines(census)]
    if census.events:
        found += [*_order(order), *_ids(census), *_names(census), *_properties(unreadable), *_customers(census)]
        found += [*_objects(census), *_money(census), *_labels(census, labels, definition)]
    return found


def _lines(census: LogCensus) -> list[LogFinding]:
    if not census.events:
        return [LogFinding(ERROR, "events", "There is no valid event."), *_rejections(census.rejected)]
    days = (census.last_ms - census.first_ms) / DAY_MS
    span = f"{census.events:,} events from {rfc3339(census.first_ms)} to {rfc3339(census.last_ms)} ({days:,.0f} days)."
    return [LogFinding(OK, "events", span), *_rejections(census.rejected)]


def _rejections(rejected: Tally) -> list[LogFinding]:
    return [
        LogFinding(ERROR, "rejected", f"Lines rejected as {reason}: {found.times:,}.", found.line)
        for reason, found in rejected.most_frequent(len(rejected))
    ]


def find_time_problems(log: PlausibleLog) -> list[LogFinding]:
    """Return what a replayed log says about wrong clocks and pauses."""
    found = []
    if log.implausible:
        text = (
            f"{log.implausible:,} events are far ahead of all others, the first is event {log.first_implausible:,} of"
            " the log: their clocks are wrong, and they are applied at the time of their neighbours."
        )
        found.append(LogFinding(WARNING, "times", text))
    if log.longest_pause_ms > LONG_PAUSE_MS:
        days = log.longest_pause_ms / DAY_MS
        text = f"The longest pause has {days:,.0f} days and begins at {rfc3339(log.paused_ms)}."
        found.append(LogFinding(WARNING, "times", text))
    return found


def _order(order: LogOrder) -> list[LogFinding]:
    if not order.late:
        return [LogFinding(OK, "order", "The events are in order of time.")]
    days = order.most_late_ms / DAY_MS
    late = f"{order.late:,} events are more than a day earlier than those before them, at most {days:,.0f} days"
    if order.is_unsorted:
        return [
            LogFinding(ERROR, "order", f"{late}: the log is not sorted. Use --sort.", order.first_late_line),
        ]
    return [LogFinding(WARNING, "order", f"{late}.", order.first_late_line)]


def _ids(census: LogCensus) -> list[LogFinding]:
    found = []
    if census.without_id:
        share = _share(census.without_id, census.events)
        text = f"{census.without_id:,} events ({share}) have no messageId: a repeated event counts twice."
        found.append(LogFinding(WARNING, "ids", text))
    if census.duplicates:
        text = f"{census.duplicates:,} events repeat the messageId of their customer, and count once."
        found.append(LogFinding(OK, "ids", text))
    return found


def _names(census: LogCensus) -> list[LogFinding]:
    known, unknown, passive = census.known.total, census.unknown.total, census.passive.total
    found = [
        LogFinding(
            OK,
            "names",
            f"{known:,} events ({_share(known, census.events)}) have one of {len(census.known)} listed names.",
        )
    ]
    for tally, total, counted in (
        (census.unknown, unknown, "count as activity"),
        (census.passive, passive, "do not count as activity"),
    ):
        if total:
            names = ", ".join(f"{name} {each.times:,}" for name, each in tally.most_frequent(NAMES_SHOWN))
            more = f" and {len(tally) - NAMES_SHOWN:,} more" if len(tally) > NAMES_SHOWN else ""
            text = f"{total:,} events ({_share(total, census.events)}) have other names and {counted}: {names}{more}."
            found.append(LogFinding(OK, "names", text, tally.most_frequent(1)[0][1].line))
    return found


def _properties(unreadable: UnreadableCounts) -> list[LogFinding]:
    if not unreadable:
        return [LogFinding(OK, "properties", "All properties that have an effect can be read.")]
    return [
        LogFinding(
            WARNING,
            "properties",
            f"{name} of {event} cannot be read in {found.events:,} events and is missing (last: {found.newest:,}).",
            found.first,
        )
        for (event, name), found in unreadable.most_frequent()
    ]


def _customers(census: LogCensus) -> list[LogFinding]:
    text = (
        f"{census.customers:,} customers, {census.visitors:,} visitors without a userId, {census.accounts:,} accounts."
    )
    return [LogFinding(OK if census.customers else WARNING, "customers", text)]


def _objects(census: LogCensus) -> list[LogFinding]:
    found = []
    for kind, about in sorted(census.objects.items()):
        missing, name = census.without_object.get(kind), kind.lower()
        if missing is None:
            found.append(LogFinding(OK, "objects", f"{about.times:,} {name} events state their {name}_id."))
        elif missing.times == about.times:
            text = f"None of {about.times:,} {name} events has {name}_id: the rules for events without ids apply."
            found.append(LogFinding(OK, "objects", text, missing.line))
        else:
            text = f"{missing.times:,} of {about.times:,} {name} events are without {name}_id."
            found.append(LogFinding(WARNING, "objects", text, missing.line))
    return found


def _money(census: LogCensus) -> list[LogFinding]:
    if not census.currencies:
        return []
    amounts = ", ".join(f"{code or 'no currency'} {each.times:,}" for code, each in census.currencies.most_frequent(10))
    if len(census.currencies) == 1:
        return [LogFinding(OK, "money", f"Amounts by currency: {amounts}.")]
    text = f"Amounts by currency: {amounts}. Amounts of different currencies are never added."
    return [LogFinding(WARNING, "money", text, census.currencies.most_frequent(2)[1][1].line)]


def _labels(census: LogCensus, labels: LabelCounts, definition: ChurnDefinition) -> list[LogFinding]:
    days = definition.release_after_ms / DAY_MS
    if not labels.matured:
        text = f"No label is known at the end: a label needs {days:,.0f} days after its snapshot."
        return [LogFinding(WARNING, "labels", text)]
    text = (
        f"{labels.matured:,} labels, {_share(labels.positive, labels.matured)} of them churn; the first is known at"
        f" {rfc3339(labels.first_release_ms)}. {labels.pending:,} snapshots wait for their label."
    )
    found = [LogFinding(OK, "labels", text)]
    if labels.positive in (0, labels.matured):
        which = "churn" if labels.positive else "no churn"
        found.append(LogFinding(ERROR, "labels", f"All labels are {which}: there is nothing to learn."))
    if labels.censored:
        text = (
            f"{labels.censored:,} labels are dropped: no customer was active for so long that the feed had an outage."
        )
        found.append(LogFinding(WARNING, "labels", text))
    return found


def _share(part: int, whole: int) -> str:
    """Return a share as text: 33%, 0.03%."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.2f}%" if 0 < share < 0.5 else f"{share:.0f}%"


def has_errors(findings: Sequence[LogFinding]) -> bool:
    """Whether results would be wrong."""
    return any(each.level == ERROR for each in findings)
