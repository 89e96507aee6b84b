"""The churn.toml proposed for a log: by its cancellations and their reasons, or by its gaps of activity."""

from __future__ import annotations

from typing import Any

import pytest

from models.backtesting.definition_proposal import churn_toml, propose
from models.backtesting.log_census import LogCensus
from models.definition.churn_definition import ChurnDefinition
from models.duration import DAY_MS
from models.events.event import Event
from tests.models.histories import START_MS, event


def census(events: list[Event]) -> LogCensus:
    found = LogCensus()
    for line, each in enumerate(events, 1):
        found.add(line, each)
    return found


def active(days: list[int]) -> list[Event]:
    return [event("page", START_MS + day * DAY_MS, f"c{i}") for day in days for i in range(5)]


def cancelled(count: int, **properties: Any) -> list[Event]:
    return [event("Subscription Cancelled", START_MS + i * DAY_MS, f"c{i}", **properties) for i in range(count)]


def proposed(log: LogCensus) -> tuple[str, ChurnDefinition]:
    text = churn_toml(propose(log), "log.jsonl")
    return text, ChurnDefinition.parse(text)


def test_an_unusual_silence_is_churn_where_nothing_is_cancelled() -> None:
    text, definition = proposed(census(active(list(range(0, 400, 13)))))
    assert definition.primary == ("inactivity",)
    assert definition.horizon_ms == 14 * DAY_MS
    assert "100% of the gaps between active days are at most 14 days" in text


def test_a_period_fits_four_times_into_the_log() -> None:
    text, definition = proposed(census(active(list(range(0, 121, 40)))))
    assert definition.horizon_ms == 30 * DAY_MS
    assert "0% of the gaps between active days are at most 30 days" in text


def test_reasons_separate_decisions_from_failed_payments() -> None:
    log = [
        *cancelled(3, reason="too_expensive"),
        *cancelled(2, reason="payment_failed"),
        *cancelled(1),
        *active([0, 9]),
    ]
    text, definition = proposed(census(log))
    assert definition.primary == ("voluntary",)
    assert definition.involuntary is not None
    assert "cancellations in the log: 6" in text
    assert "ATTENTION: 1 cancellations have no reason" in text


def test_without_reasons_every_cancellation_counts() -> None:
    text, definition = proposed(census(cancelled(3)))
    assert definition.involuntary is None
    assert "do not separate decisions of customers from failed payments, 3 without a reason" in text


def test_a_log_that_says_nothing_about_churn_is_refused() -> None:
    with pytest.raises(ValueError, match="no cancellation, and no customer was active on two days"):
        churn_toml(propose(census(active([0]))), "log.jsonl")
