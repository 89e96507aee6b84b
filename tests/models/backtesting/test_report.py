"""The backtest report: window, comparisons and stable JSON form."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest

from models.backtesting.report import ExampleColumns, FeatureWeight, InputCounts, evaluate
from models.duration import DAY_MS, rfc3339
from models.metrics.classification import auc, ece, log_loss

BEGIN_MS = 1_390_694_400_000  # 2014-01-26T00:00:00Z
WAIT_MS = 16 * DAY_MS


class Row(NamedTuple):
    customer: str
    snapshot_ms: int
    release_ms: int
    probability: float
    members: tuple[float, float, float]
    label: int
    churned_ms: int = 0


def examples(n: int = 3_000, seed: int = 3) -> ExampleColumns:
    """Draw calibrated probabilities of customers with 40 weekly snapshots each; the window starts in their middle."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        p = float(rng.beta(1.5, 8))
        at = BEGIN_MS + (i % 40 - 20) * 7 * DAY_MS
        label = int(rng.random() < p)
        rows.append(Row(f"c{i // 40}", at, at + WAIT_MS, p, (p, p, p**0.5), label, at + 5 * DAY_MS if label else 0))
    return ExampleColumns.of(rows)


def test_window_selects_examples_by_snapshot() -> None:
    """Rule: all figures are those of the examples with a snapshot in the window."""
    all_rows = examples()
    report = evaluate(all_rows, BEGIN_MS, BEGIN_MS + 70 * DAY_MS)
    rows = all_rows.where((all_rows.snapshot_ms >= BEGIN_MS) & (all_rows.snapshot_ms < BEGIN_MS + 70 * DAY_MS))
    assert report.model.n == len(rows)
    assert report.model.auc == auc(rows.label, rows.probability)
    assert report.model.ece == ece(rows.label, rows.probability)
    assert report.prior.log_loss == log_loss(rows.label, rows.prior)
    assert sum(cell.n for cell in report.histogram) == sum(b.n for b in report.reliability) == len(rows)
    assert sum(period.n for period in report.periods) == len(rows)


def test_constant_is_the_rate_known_at_the_start_of_the_window() -> None:
    """Rule: the constant is the churn rate of labels released by then; the rate in hindsight is never worse."""
    all_rows = examples()
    report = evaluate(all_rows, BEGIN_MS)
    known = all_rows.label[all_rows.release_ms <= BEGIN_MS]
    assert report.released_before == len(known) > 0
    assert report.released_before_rate == known.mean()
    assert report.constant is not None
    assert report.constant.log_loss == log_loss(report_labels(all_rows), np.full(report.model.n, known.mean()))
    assert report.constant.auc == 0.5
    assert report.constant.log_loss is not None
    assert report.constant_in_hindsight_log_loss is not None
    assert report.constant.log_loss >= report.constant_in_hindsight_log_loss


def report_labels(all_rows: ExampleColumns) -> np.ndarray:
    return all_rows.label[all_rows.snapshot_ms >= BEGIN_MS]


def test_without_bounds_every_example_is_evaluated() -> None:
    """Rule: the window is the whole log, so no label was released before it."""
    report = evaluate(examples())
    assert report.model.n == 3_000
    assert (report.released_before, report.released_before_rate, report.constant) == (0, None, None)


def test_empty_window_gives_a_report_without_figures() -> None:
    """Rule: undefined figures are None, and the JSON form is valid."""
    for rows in (ExampleColumns.of([]), examples()):
        report = evaluate(rows, BEGIN_MS + 9_000 * DAY_MS, BEGIN_MS + 9_001 * DAY_MS)
        assert report.model.n == 0
        assert (report.model.auc, report.model.log_loss) == (None, None)
        assert report.top is None
        assert report.early_warning is None
        assert (report.reliability, report.periods, report.histogram) == ((), (), ())
        json.dumps(report.to_json())
    assert evaluate(ExampleColumns.of([])).model.n == 0


def test_order_of_examples_changes_nothing() -> None:
    """Rule: the report does not depend on the order of the examples."""
    all_rows = examples()
    shuffled = np.random.default_rng(0).permutation(len(all_rows))
    other = ExampleColumns(**{name: getattr(all_rows, name)[shuffled] for name in all_rows.__dataclass_fields__})
    one, two = evaluate(all_rows, BEGIN_MS).to_json(), evaluate(other, BEGIN_MS).to_json()
    assert one["early_warning"] == two["early_warning"]
    assert one["model"] == {key: pytest.approx(value, rel=1e-12) for key, value in two["model"].items()}


def test_continuing_inactivity_is_one_churn() -> None:
    """Set-up: a customer with four weekly snapshots, the last two with label 1; warned in the first and third."""
    snapshots = [(0, 0.9, 0), (7, 0.1, 0), (14, 0.9, 1), (21, 0.9, 1)]
    rows = [
        Row("a", BEGIN_MS + day * DAY_MS, BEGIN_MS + day * DAY_MS + WAIT_MS, p, (p, p, p), label,
            BEGIN_MS + (day + 30) * DAY_MS if label else 0)
        for day, p, label in snapshots
    ]  # fmt: skip
    rows += [Row(f"b{i}", BEGIN_MS, BEGIN_MS + WAIT_MS, 0.01, (0.01, 0.01, 0.01), 0) for i in range(30)]
    found = evaluate(ExampleColumns.of(rows), BEGIN_MS).early_warning
    assert found is not None
    assert (found.churned, found.warned, found.lead_days_median) == (1, 1, 44.0)


def test_period_with_few_churners_has_no_auc() -> None:
    """Rule: the AUC of a period needs at least 5 examples of each class."""
    report = evaluate(examples(n=40), BEGIN_MS)
    assert any(period.auc is None for period in report.periods)
    for period in report.periods:
        assert period.log_loss > 0
        assert (period.start_ms - BEGIN_MS) % report.period_ms == 0


@pytest.mark.parametrize(("days", "period_days"), [(20, 7), (112, 14), (200, 28), (730, 91)])
def test_window_is_divided_into_at_least_six_periods(days: int, period_days: int) -> None:
    """Rule: the longest period that gives six points is used, or else a week."""
    assert evaluate(examples(n=10), BEGIN_MS, BEGIN_MS + days * DAY_MS).period_ms == period_days * DAY_MS


def test_most_influential_feature_is_first() -> None:
    """Rule: features are sorted by the absolute value of their weight."""
    features = (FeatureWeight("a", 0.1, ""), FeatureWeight("b", -0.9, ""), FeatureWeight("c", 0.5, ""))
    assert [f.name for f in evaluate(examples(n=10), features=features).features] == ["b", "c", "a"]


def test_json_form_has_stable_keys() -> None:
    """Rule: keys and their order are a contract."""
    counts = InputCounts(events=9, rejected={"b": 1, "a": 2}, customers=3, examples=3_000, pending=4)
    report = evaluate(examples(), BEGIN_MS, counts=counts, definition="abc", model_version="7")
    form = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert list(form) == [
        "definition", "model_version", "from", "to", "released_before", "released_before_rate", "model", "prior",
        "constant", "constant_in_hindsight_log_loss", "top", "early_warning", "reliability", "histogram", "periods",
        "features", "counts", "alerts", "causes", "findings", "period_days",
    ]  # fmt: skip
    assert list(form["model"]) == [
        "n", "positives", "mean_probability", "auc", "auc_within_week", "log_loss", "brier", "average_precision",
        "ece", "lift",
    ]  # fmt: skip
    assert form["from"] == form["periods"][0]["from"] == "2014-01-26T00:00:00Z"
    assert list(form["counts"]["rejected"]) == ["a", "b"]


def test_times_are_formatted_in_utc() -> None:
    """Rule: times are RFC 3339 in UTC, with milliseconds if they are not 0."""
    assert rfc3339(BEGIN_MS) == "2014-01-26T00:00:00Z"
    assert rfc3339(BEGIN_MS + 1) == "2014-01-26T00:00:00.001Z"


def test_invalid_probability_is_rejected() -> None:
    """Rule: NaN is not a probability."""
    broken = examples(n=10)
    with pytest.raises(ValueError, match="probability"):
        evaluate(replace(broken, probability=np.full(10, np.nan)))
