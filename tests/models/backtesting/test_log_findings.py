"""What counts of a log mean: errors for what makes results wrong, with the line to look at."""

from __future__ import annotations

from models.backtesting.log_census import LogCensus
from models.backtesting.log_findings import (
    ERROR,
    OK,
    WARNING,
    LabelCounts,
    LogFinding,
    find_problems,
    find_time_problems,
    has_errors,
)
from models.duration import DAY_MS
from models.events.event import Event
from models.events.log_order import LogOrder
from models.events.rejection import reject
from models.events.unreadable import UnreadableCounts
from models.pipeline.clock_guard import PlausibleLog
from tests.models.histories import START_MS, definition, event

LEARNABLE = LabelCounts(matured=100, positive=20, first_release_ms=START_MS, pending=5, censored=0)


def findings(events: list[Event], labels: LabelCounts = LEARNABLE, rejected: int = 0) -> list[LogFinding]:
    census, order, unreadable = LogCensus(), LogOrder(), UnreadableCounts()
    for line, each in enumerate(events, 1):
        census.add(line, each)
        unreadable.add(each, line)
        order.add(line, each.time_ms)
    for line in range(rejected):
        census.add(len(events) + 1 + line, reject("not_json"))
    return find_problems(census, order, labels, definition(), unreadable)


def days(count: int) -> list[Event]:
    return [event("page", START_MS + day * DAY_MS, f"c{day % 3}") for day in range(count)]


def of(topic: str, found: list[LogFinding]) -> list[LogFinding]:
    return [each for each in found if each.topic == topic]


def test_a_good_log_has_no_error() -> None:
    found = findings(days(60))
    assert not has_errors(found)
    assert {each.level for each in found} == {OK}
    assert of("events", found)[0].text.startswith("60 events from ")
    assert of("labels", found)[0].text.startswith("100 labels, 20% of them churn;")


def test_rejected_lines_are_errors_with_their_first_line() -> None:
    found = of("rejected", findings(days(60), rejected=3))
    assert found == [LogFinding(ERROR, "rejected", "Lines rejected as not_json: 3.", 61)]
    assert has_errors(findings([], rejected=1))


def test_an_unsorted_log_is_an_error_and_a_late_event_a_warning() -> None:
    unsorted = of("order", findings(days(60) + days(60)))
    assert [(each.level, each.line) for each in unsorted] == [(ERROR, 61)]
    late = of("order", findings([*days(60), *days(1)]))
    assert [(each.level, each.line) for each in late] == [(WARNING, 61)]


def test_labels_of_one_class_and_a_log_that_is_too_short_are_reported() -> None:
    one_class = LabelCounts(matured=50, positive=0, first_release_ms=START_MS, pending=0, censored=0)
    assert of("labels", findings(days(60), one_class))[-1].text == "All labels are no churn: there is nothing to learn."
    short = LabelCounts(matured=0, positive=0, first_release_ms=0, pending=9, censored=0)
    assert of("labels", findings(days(60), short))[0].level == WARNING


def test_unreadable_properties_are_warnings_with_their_first_line() -> None:
    log = days(60)
    for number in (3, 9):
        log[number].unreadable = ["name"]
    assert of("properties", findings(log)) == [
        LogFinding(WARNING, "properties", "name of page cannot be read in 2 events and is missing (last: 10).", 4)
    ]


def test_names_are_split_by_whether_they_count_as_activity() -> None:
    found = of("names", findings([event("Level Finished", START_MS + i, "c") for i in range(4)] + days(60)))
    assert found[0].text == "60 events (94%) have one of 1 listed names."
    assert found[1].text == "4 events (6%) have other names and count as activity: Level Finished 4."


def test_events_that_do_not_state_their_object_and_currencies_are_reported() -> None:
    orders = [
        event("Order Completed", START_MS, "a", order_id="1", revenue=5, currency="EUR"),
        event("Order Completed", START_MS, "a", revenue=5, currency="USD"),
        event("Ticket Created", START_MS, "a", ticket_id=7),
        event("Subscription Started", START_MS, "a"),
    ]
    found = findings(orders + days(60))
    assert [(each.level, each.text, each.line) for each in of("objects", found)] == [
        (WARNING, "1 of 2 order events are without order_id.", 2),
        (OK, "None of 1 subscription events has subscription_id: the rules for events without ids apply.", 4),
        (OK, "1 ticket events state their ticket_id.", 0),
    ]
    [money] = of("money", found)
    assert (money.level, money.line) == (WARNING, 2)
    assert money.text.startswith("Amounts by currency: EUR 1, USD 1.")


def test_wrong_clocks_and_pauses_of_a_log_are_reported() -> None:
    """Setup: the fifth event is decades ahead, and nothing happens for 20 days before the last thirty."""
    log = [*days(30), *(event("page", START_MS + (50 + day) * DAY_MS, f"c{day % 3}") for day in range(30))]
    log.insert(4, event("page", START_MS + 9_000 * DAY_MS, "c1"))
    plausible = PlausibleLog(2 * DAY_MS)
    assert len(list(plausible.events(log))) == len(log)
    wrong, pause = find_time_problems(plausible)
    assert wrong.text.startswith("1 events are far ahead of all others, the first is event 5 of the log")
    assert pause.text.startswith("The longest pause has 21 days")
    quiet = PlausibleLog(2 * DAY_MS)
    list(quiet.events(days(30)))
    assert find_time_problems(quiet) == []
