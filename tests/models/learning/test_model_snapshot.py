"""Model snapshots: restored to the same bits, and refused under another schema or catalogue."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest

from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.learning.model_snapshot import LARGEST_BYTES, ModelSnapshotError, pack
from tests.models.worlds import space, train, trained_model, world


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model(700)


def test_restored_model_scores_and_learns_the_same_bits(model: Model) -> None:
    first = Model.restore(model.snapshot(), model.space)
    assert first.version == model.version
    assert first.snapshot() == model.snapshot()
    more = world(300, seed=3)
    more.day += 14
    second = Model.restore(model.snapshot(), model.space)
    train(first, more)
    train(second, more)
    assert first.snapshot() == second.snapshot()


def test_untrained_model_round_trips() -> None:
    fresh = Model(space())
    other = Model.restore(fresh.snapshot(), fresh.space)
    assert other.snapshot() == fresh.snapshot()
    assert other.version == fresh.version


def test_scorer_of_a_snapshot_has_the_same_bits(model: Model) -> None:
    """Rule: a worker scores like the trainer, under the same version."""
    scorer = Model.restore_scorer(model.snapshot(), model.space)
    test = world(40, seed=4)
    expected, restored = model.score(test.x, test.m), scorer.score(test.x, test.m)
    assert restored.model == expected.model == model.version
    assert restored.log_odds.tobytes() == expected.log_odds.tobytes()
    assert restored.ci90().tobytes() == expected.ci90().tobytes()
    assert restored.members().tobytes() == expected.members().tobytes()


def test_worker_and_trainer_refuse_the_same_snapshots(model: Model) -> None:
    """Rule: a worker never scores with a snapshot that the trainer would not continue from."""
    snapshot = orjson.loads(model.snapshot())
    snapshot["training"] = {}
    for restore in (Model.restore, Model.restore_scorer):
        with pytest.raises(ModelSnapshotError, match=r"not a model snapshot: .*training"):
            restore(orjson.dumps(snapshot), model.space)


def test_version_has_the_number_of_labels_and_a_digest(model: Model) -> None:
    count, digest = model.version.split("-")
    assert count == "700"
    assert len(digest) == 10
    other = Model.restore(model.snapshot(), model.space)
    other.champion.classifier.weights[0] += 1e-12
    assert other.version != model.version


def test_equal_training_gives_equal_snapshots() -> None:
    assert trained_model(300).snapshot() == trained_model(300).snapshot()


def test_snapshot_of_80_varying_features_is_below_a_megabyte() -> None:
    size = 80
    everything = FeatureSpace(tuple(f"a_feature_with_a_long_name_{i}" for i in range(size)), (True,) * size, "c0ffee")
    rng = np.random.default_rng(1)
    model = Model(everything)
    for i in range(260):
        model.learn(rng.normal(size=size), rng.normal(size=size), bool(i % 3), i // 20)
    assert len(model.champion.classifier.weights) == 2 + 3 * size
    assert len(model.snapshot()) < 900_000


def test_snapshot_above_the_size_limit_is_refused() -> None:
    with pytest.raises(ModelSnapshotError, match=f"above {LARGEST_BYTES}: use fewer features"):
        pack(space(), "1-a", {"weights": [0.1234567890123] * 100_000}, {})


def test_snapshot_of_another_catalogue_is_refused(model: Model) -> None:
    other = FeatureSpace(model.space.names, model.space.relative, "beef")
    with pytest.raises(
        ModelSnapshotError, match=r"feature catalogue 'c0ffee', this program has 'beef': replay the labels"
    ):
        Model.restore(model.snapshot(), other)
    with pytest.raises(ModelSnapshotError, match="'beef'"):
        Model.restore_scorer(model.snapshot(), other)


def test_snapshot_of_another_schema_is_refused(model: Model) -> None:
    snapshot = orjson.loads(model.snapshot())
    snapshot["schema"] = 2
    with pytest.raises(ModelSnapshotError, match="schema 2, this program reads 1"):
        Model.restore(orjson.dumps(snapshot), model.space)


@pytest.mark.parametrize("value", [b"", b"\x80\x04N.", b"[]", b"{}", b'{"schema":1}', b"null"])
def test_value_that_is_no_snapshot_is_refused(value: bytes) -> None:
    with pytest.raises(ModelSnapshotError, match="not a model snapshot"):
        Model.restore(value, space())


@pytest.mark.parametrize("damage", [None, "weights", "names", "day", "shape"])
def test_damaged_snapshot_is_refused(model: Model, damage: str | None) -> None:
    snapshot = orjson.loads(model.snapshot())
    champion = snapshot["scoring"]["champion"]
    if damage is None:
        champion["weights"][0] = None
    elif damage == "weights":
        champion["weights"][0] = "1.0; import os"
    elif damage == "names":
        champion["names"][0] = "unheard_of"
    elif damage == "day":
        snapshot["training"]["contest"]["sums"][0] = None
    else:
        champion["covariance"].pop()
    with pytest.raises(ModelSnapshotError, match="not a model snapshot"):
        Model.restore(orjson.dumps(snapshot), model.space)


def test_every_number_of_a_snapshot_is_finite(model: Model) -> None:
    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [n for item in value.values() for n in numbers(item)]
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if isinstance(value, float) else []

    found = numbers(orjson.loads(model.snapshot()))
    assert len(found) > 200
    assert all(math.isfinite(n) for n in found)


def test_snapshot_has_the_active_model(model: Model) -> None:
    other = Model.restore(model.snapshot(), model.space)
    other.selector.active = "challenger"
    assert Model.restore(other.snapshot(), model.space).quality.active == "challenger"
    assert other.version != model.version
