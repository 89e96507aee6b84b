"""The quality log: one row per day, bounded, and equal after a restart."""

from __future__ import annotations

import json

import pytest

from models.learning.quality_log import DAYS_KEPT, QualityLog


def updated(log: QualityLog, first: int, last: int) -> QualityLog:
    for i in range(first, last):
        log.update(i % 5 == 0, i // 3, 0.5 if i % 5 == 0 else 0.1, 0.2)
    return log


def test_restored_log_continues_with_the_same_bits() -> None:
    """Rule: the state round-trips through JSON, and later updates give the same bits."""
    straight = updated(QualityLog(), 0, 50)
    state = json.loads(json.dumps(updated(QualityLog(), 0, 23).state()))
    assert updated(QualityLog.restore(state), 23, 50).state() == straight.state()
    assert QualityLog.restore(None).days() == []


def test_log_keeps_the_newest_days() -> None:
    """Rule: the log has at most `DAYS_KEPT` rows, a year and a month."""
    days = updated(QualityLog(), 0, 3 * (DAYS_KEPT + 50)).days()
    assert len(days) == DAYS_KEPT
    assert days[-1].day == DAYS_KEPT + 49
    assert sum(row.labels for row in days) == 3 * DAYS_KEPT


def test_undefined_auc_is_none_and_round_trips() -> None:
    """Rule: labels of one class only have no AUC."""
    log = QualityLog()
    for day in (1, 2):
        log.update(False, day, 0.1, 0.2)
    assert [row.auc for row in log.days()] == [None, None]
    assert [row.auc for row in QualityLog.restore(log.state()).days()] == [None, None]


def test_reliability_bins_have_all_labels_and_their_rates() -> None:
    """Rule: the reliability table has the bins of the ECE."""
    quality = updated(QualityLog(), 0, 300).quality
    table = quality.reliability()
    assert sum(row.n for row in table) == pytest.approx(quality.weight, abs=len(table))
    assert all(row.lowest <= row.mean_probability <= row.highest for row in table)
    assert [row.rate for row in table] == [0.0, 1.0]
