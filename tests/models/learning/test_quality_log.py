"""The journal of quality: a row a day, bounded, and the same after a restart."""

from __future__ import annotations

import json

import pytest

from models.learning.quality_log import DAYS_KEPT, QualityLog


def judged(journal: QualityLog, first: int, last: int) -> QualityLog:
    for i in range(first, last):
        journal.judge(i % 5 == 0, i // 3, 0.5 if i % 5 == 0 else 0.1, 0.2)
    return journal


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped() -> None:
    """Rule: the state is JSON, and what follows has the same bits."""
    straight = judged(QualityLog(), 0, 50)
    state = json.loads(json.dumps(judged(QualityLog(), 0, 23).state()))
    assert judged(QualityLog.restore(state), 23, 50).state() == straight.state()
    assert QualityLog.restore(None).days() == []


def test_days_are_bounded_and_the_newest_stay() -> None:
    """Rule: a year and a month, whatever comes."""
    days = judged(QualityLog(), 0, 3 * (DAYS_KEPT + 50)).days()
    assert len(days) == DAYS_KEPT
    assert days[-1].day == DAYS_KEPT + 49
    assert sum(row.labels for row in days) == 3 * DAYS_KEPT


def test_an_undefined_auc_is_none_and_survives_the_state() -> None:
    """Rule: one class alone has no AUC, never a number that looks good."""
    journal = QualityLog()
    for day in (1, 2):
        journal.judge(False, day, 0.1, 0.2)
    assert [row.auc for row in journal.days()] == [None, None]
    assert [row.auc for row in QualityLog.restore(journal.state()).days()] == [None, None]


def test_bins_hold_all_labels_and_their_rates() -> None:
    """Rule: the reliability table is the ECE's, taken apart."""
    quality = judged(QualityLog(), 0, 300).quality
    table = quality.reliability()
    assert sum(row.n for row in table) == pytest.approx(quality.weight, abs=len(table))
    assert all(row.lowest <= row.mean_probability <= row.highest for row in table)
    assert [row.rate for row in table] == [0.0, 1.0]
