"""Snapshots: data that comes back to the same bits, and is refused when it belongs to something else."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest

from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.learning.model_snapshot import LARGEST_BYTES, SnapshotError, pack
from tests.models.worlds import space, taught, teach, world


@pytest.fixture(scope="module")
def model() -> Model:
    return taught(700)


def test_a_restored_model_says_and_learns_the_same_bits(model: Model) -> None:
    one = Model.restore(model.snapshot(), model.space)
    assert one.version == model.version
    assert one.snapshot() == model.snapshot()
    more = world(300, seed=3)
    more.day += 14
    two = Model.restore(model.snapshot(), model.space)
    teach(one, more)
    teach(two, more)
    assert one.snapshot() == two.snapshot()


def test_a_new_model_round_trips_too() -> None:
    fresh = Model(space())
    other = Model.restore(fresh.snapshot(), fresh.space)
    assert other.snapshot() == fresh.snapshot()
    assert other.version == fresh.version


def test_a_worker_reads_only_what_scoring_needs(model: Model) -> None:
    """Without the trainer's part, the scorer gives the same bits under the same version."""
    snapshot = orjson.loads(model.snapshot())
    snapshot["training"] = {}
    scorer = Model.restore_scorer(orjson.dumps(snapshot), model.space)
    test = world(40, seed=4)
    mine, theirs = model.score(test.x, test.m), scorer.score(test.x, test.m)
    assert theirs.model == mine.model == model.version
    assert theirs.log_odds.tobytes() == mine.log_odds.tobytes()
    assert theirs.ci90().tobytes() == mine.ci90().tobytes()
    assert theirs.members().tobytes() == mine.members().tobytes()


def test_the_version_counts_labels_and_names_the_content(model: Model) -> None:
    count, digest = model.version.split("-")
    assert count == "700"
    assert len(digest) == 10
    other = Model.restore(model.snapshot(), model.space)
    other.champion.classifier.weights[0] += 1e-12
    assert other.version != model.version


def test_two_models_taught_alike_are_the_same_model() -> None:
    assert taught(300).snapshot() == taught(300).snapshot()


def test_it_stays_below_a_megabyte_with_everything_varying() -> None:
    size = 80
    everything = FeatureSpace(tuple(f"a_feature_with_a_long_name_{i}" for i in range(size)), (True,) * size, "c0ffee")
    rng = np.random.default_rng(1)
    model = Model(everything)
    for i in range(260):
        model.learn(rng.normal(size=size), rng.normal(size=size), bool(i % 3), i // 20)
    assert len(model.champion.classifier.weights) == 2 + 3 * size
    assert len(model.snapshot()) < 900_000


def test_what_no_message_can_hold_is_refused() -> None:
    with pytest.raises(SnapshotError, match=f"above {LARGEST_BYTES}: use fewer features"):
        pack(space(), "1-a", {"weights": [0.1234567890123] * 100_000}, {})


def test_another_catalogue_is_refused_by_name(model: Model) -> None:
    other = FeatureSpace(model.space.names, model.space.relative, "beef")
    with pytest.raises(SnapshotError, match=r"feature catalogue 'c0ffee', this program has 'beef': replay the labels"):
        Model.restore(model.snapshot(), other)
    with pytest.raises(SnapshotError, match="'beef'"):
        Model.restore_scorer(model.snapshot(), other)


def test_another_schema_is_refused_by_number(model: Model) -> None:
    snapshot = orjson.loads(model.snapshot())
    snapshot["schema"] = 2
    with pytest.raises(SnapshotError, match="schema 2, this program reads 1"):
        Model.restore(orjson.dumps(snapshot), model.space)


@pytest.mark.parametrize("value", [b"", b"\x80\x04N.", b"[]", b"{}", b'{"schema":1}', b"null"])
def test_what_is_no_snapshot_is_refused(value: bytes) -> None:
    with pytest.raises(SnapshotError, match="not a model snapshot"):
        Model.restore(value, space())


@pytest.mark.parametrize("damage", [None, "weights", "names", "day", "shape"])
def test_a_damaged_snapshot_is_refused(model: Model, damage: str | None) -> None:
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
    with pytest.raises(SnapshotError, match="not a model snapshot"):
        Model.restore(orjson.dumps(snapshot), model.space)


def test_every_number_in_it_is_finite(model: Model) -> None:
    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [n for item in value.values() for n in numbers(item)]
        if isinstance(value, list):
            return [n for item in value for n in numbers(item)]
        return [value] if isinstance(value, float) else []

    found = numbers(orjson.loads(model.snapshot()))
    assert len(found) > 200
    assert all(math.isfinite(n) for n in found)


def test_a_snapshot_names_who_answers(model: Model) -> None:
    other = Model.restore(model.snapshot(), model.space)
    other.contest.answering = "challenger"
    assert Model.restore(other.snapshot(), model.space).quality.answering == "challenger"
    assert other.version != model.version
