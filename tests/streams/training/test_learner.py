"""The trainer's learner: labels in, a model out, whatever else is in the topic."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from models.features.catalogue import NAMES
from models.labels.codec import label_value
from models.labels.training_example import TrainingExample
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.profile.mergeable import DAY_MS
from streams.errors import SnapshotRefused
from streams.settings import Settings
from streams.training.learner import QUALITY_KEY, ModelLearner

DAY = 20_000


def labels(count: int) -> list[bytes]:
    rng = np.random.default_rng(1)
    return [
        label_value(
            TrainingExample(
                f"c{i}",
                (DAY + i // 10 - 32) * DAY_MS,
                (DAY + i // 10) * DAY_MS,
                rng.normal(size=len(NAMES)).tobytes(),
                np.full(len(NAMES), np.nan).tobytes(),
                0.2,
                (0.2, 0.3, 0.1),
                int(i % 4 == 0),
                {},
                "0-test",
                "definition",
            )
        )
        for i in range(count)
    ]


def test_splitting_labels_into_lists_changes_nothing() -> None:
    whole, cut, values = ModelLearner(Settings()), ModelLearner(Settings()), labels(60)
    whole.learn(values)
    for start in range(0, 60, 7):
        cut.learn(values[start : start + 7])
    assert cut.snapshot() == whole.snapshot()


def test_a_restored_learner_continues_exactly() -> None:
    values, first, second, straight = labels(60), *(ModelLearner(Settings()) for _ in range(3))
    first.learn(values[:25])
    second.learn(values[40:])  # forgotten by the restore
    second.restore(first.snapshot())
    second.learn(values[25:])
    straight.learn(values)
    assert second.snapshot() == straight.snapshot()
    second.restore(None)
    assert second.snapshot() == Model(SPACE).snapshot()


def test_records_that_are_not_labels_are_skipped_and_counted() -> None:
    values, learner, clean = labels(20), ModelLearner(Settings()), ModelLearner(Settings())
    learner.learn([b"", *values[:10], b"not json", b"{}", *values[10:]])
    clean.learn(values)
    assert learner.skipped == 3
    assert learner.snapshot() == clean.snapshot()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("release_time", "9999-12-31T00:00:00Z"),  # would end the day of every later label
        ("snapshot_time", "0001-01-01T00:00:00Z"),
        ("members", [0.1, 7.0, 0.1]),
        ("members", [0.1, "nan", 0.1]),
        ("probability", "nan"),
        ("features", {NAMES[0]: "1e308"}),
        ("label", 2),
    ],
)
def test_a_label_out_of_its_range_is_skipped(field: str, value: object) -> None:
    values, learner, clean = labels(20), ModelLearner(Settings()), ModelLearner(Settings())
    learner.learn([*values[:10], orjson.dumps(orjson.loads(values[3]) | {field: value}), *values[10:]])
    clean.learn(values)
    assert (learner.skipped, learner.snapshot()) == (1, clean.snapshot())


def test_involuntary_churn_has_quality_figures_of_its_own() -> None:
    """Rule: the figures exist only with a label of their own, and count each label once, by its own score."""
    learner = ModelLearner(Settings())
    values = [orjson.loads(value) for value in labels(40)]
    for i, value in enumerate(values):
        value["involuntary"] = {"label": int(i % 10 == 0), "churned_time": None, "probability": 0.1}
    [output] = learner.learn([orjson.dumps(value) for value in values])
    second = orjson.loads(output.value or b"")["involuntary"]
    assert (second["labels"], second["positives"], second["auc"]) == (40, 4, 0.5)
    assert second["mean_probability"] == pytest.approx(0.1)
    [output] = ModelLearner(Settings()).learn(labels(40))
    assert orjson.loads(output.value or b"")["involuntary"] is None


def test_the_quality_so_far_is_a_metric() -> None:
    [output] = ModelLearner(Settings()).learn(labels(40))
    assert (output.topic, output.partition, output.key) == ("churn-metrics", 0, QUALITY_KEY)
    quality = orjson.loads(output.value or b"")
    assert (quality["labels"], quality["positives"], quality["skipped"]) == (40, 10, 0)
    assert 0 < quality["log_loss"]["answer"] < 2
    assert quality["auc"] == 0.5  # every customer had the same score
    assert [row["probability"] for row in quality["reliability"]] == [0.2]
    assert [row[:3] for row in quality["days"]] == [
        [DAY + day, 10, positives] for day, positives in enumerate((3, 2, 3, 2))
    ]


def test_an_unusable_snapshot_is_refused_and_changes_nothing() -> None:
    learner = ModelLearner(Settings())
    learner.learn([b"", *labels(20)])
    before = learner.snapshot()
    with pytest.raises(SnapshotRefused, match="not a model snapshot"):
        learner.restore(b"{}")
    other = Model(SPACE).snapshot().replace(SPACE.catalogue.encode(), b"another")
    with pytest.raises(SnapshotRefused, match="replay the labels"):
        learner.restore(other)
    assert (learner.snapshot(), learner.skipped) == (before, 1)
