"""The worker's log reports typos of decisive events, and cancellations that do not count as churn."""

from __future__ import annotations

import logging

import pytest

from streams.scoring import evidence_log
from streams.scoring.event_processor import EventProcessor
from tests.streams.scoring.test_event_processor import Store, record, shared, step

CHURN = '[churn.definitions.a]\nevent = "Subscription Cancelled"\nwhere = { reason = "left" }\n'


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [entry.getMessage() for entry in caplog.records if entry.name == evidence_log.__name__]
    caplog.clear()
    return found


def test_near_misses_are_logged_once_a_name_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    store, context = Store(), shared(CHURN)
    processor = EventProcessor(context, 0, store, None)
    with caplog.at_level(logging.WARNING):
        names = ("Subscripton Cancelled", "subscription_cancelld", "Subscripton Cancelled", "Level Finished")
        effects = step(processor, store, [record(n, name=name) for n, name in enumerate(names)])
        assert effects.tally is not None
        assert effects.tally.counts["events_near_miss",] == 3
        lines = logged(caplog)
        assert len(lines) == 2
        assert all('resembles "Subscription Cancelled"' in line for line in lines)
        effects = step(processor, store, [record(9, name=names[0])])
        assert effects.tally is not None
        assert (effects.tally.counts["events_near_miss",], logged(caplog)) == (1, [])


def test_cancellations_that_do_not_count_are_logged_at_once_and_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: at the first, and at ten times the count of the report before."""
    store = Store()
    processor = EventProcessor(shared(CHURN), 0, store, None)
    with caplog.at_level(logging.WARNING):
        counts = []
        for offset in range(12):
            effects = step(processor, store, [record(offset, name="Subscription Cancelled")])
            assert effects.tally is not None
            assert effects.tally.counts["churn_events_unmatched",] == 1
            counts += [line.split(".")[0] for line in logged(caplog)]
    start = '"Subscription Cancelled" events without reason: '
    assert counts == [f"{start}1 of 1", f"{start}10 of 10"]


def test_a_churn_event_that_never_occurs_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_log, "ABSENT_AFTER", 3)
    store = Store()
    processor = EventProcessor(shared(CHURN), 0, store, None)
    with caplog.at_level(logging.WARNING):
        step(processor, store, [record(0), record(1)])
        assert logged(caplog) == []
        step(processor, store, [record(2)])
    assert logged(caplog) == [
        'after 3 events: No "Subscription Cancelled" event occurs, so churn definition a is never met.'
    ]
