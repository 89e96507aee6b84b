"""Foreign model snapshots: whatever a record holds, it is refused, or it scores and learns with finite numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pytest

from models.learning.model import Model
from models.learning.model_snapshot import ModelSnapshotError
from tests.models.worlds import space, train, trained_model, world

HOSTILE: tuple[Any, ...] = (
    "nan", "inf", "1e308", None, True, 1e308, -1e308, 5e-324, -5e-324, 1e18, -1, 0, 2, 10**17, 2**63, [], {}, "", [[]],
    1e5, -1e5,
)  # fmt: skip


class Label:
    label, probability = True, 0.2


@pytest.fixture(scope="module")
def known() -> Any:
    """A snapshot with every part, as a value."""
    model = trained_model(260)
    test = world(60, seed=5)
    for i in range(60):
        model.learn(test.x[i], test.m[i], bool(test.y[i]), 30 + i // 9, 0.3, (0.2, 0.3, 0.1), Label())
    return orjson.loads(model.snapshot())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from leaves(item, (*path, key))


def changed(snapshot: Any, path: tuple[Any, ...], value: Any) -> bytes:
    whole = copy.deepcopy(snapshot)
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return orjson.dumps(whole)


def survives(value: bytes) -> bool:
    """Use a snapshot as a worker and a trainer would; False if it is refused."""
    try:
        model = Model.restore(value, space())
    except ModelSnapshotError:
        with pytest.raises(ModelSnapshotError):
            Model.restore_scorer(value, space())
        return False
    test = world(40, seed=4)
    for scorer in (Model.restore_scorer(value, space()), model.scorer()):
        scores = scorer.score(test.x * 1e12, test.m)
        for found in (scores.probability, scores.ci90(), scores.contributions(), scores.members(), scores.bias()):
            assert np.isfinite(found).all()
        assert np.isfinite(scorer.involuntary.score(test.x, test.m).ci90()).all()
    with np.errstate(all="raise", under="ignore"):
        train(model, test)
    assert Model.restore(model.snapshot(), space()).version == model.version
    return True


def test_any_changed_member_is_refused_or_harmless(known: Any) -> None:
    """Rule: for each kind of member and each hostile value, with several members of long lists."""
    rng, kinds = random.Random(7), dict[tuple[Any, ...], list[tuple[Any, ...]]]()
    for path in leaves(known):
        kinds.setdefault(tuple(key if isinstance(key, str) else 0 for key in path), []).append(path)
    refused = survived = 0
    for paths in kinds.values():
        for path in rng.sample(paths, min(2, len(paths))):
            for value in rng.sample(HOSTILE, 4):
                if survives(changed(known, path, value)):
                    survived += 1
                else:
                    refused += 1
    assert refused > 400
    assert survived > 10


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scoring champion weights 1", "nan"),
        ("scoring champion weights 1", 1e308),
        ("scoring champion scaler mean 0", "-inf"),
        ("scoring champion scaler count 0", -5),
        ("scoring challenger intercept", "nan"),
        ("scoring labels", -200),
        ("training positives", 10**12),
        ("scoring champion names", [f"name{i}" for i in range(30_000)]),
        ("scoring champion covariance 0", -3.0),
        ("scoring answering", "prior"),
        ("version", "1-a\x1b[2J"),
        ("version", ["1-a"]),
        ("schema", {"": 1}),
        ("catalogue", None),
        ("training journal today 2", 5_000),
        ("training contest switches", [{}] * 100_000),
    ],
)
def test_a_member_out_of_its_range_is_refused(known: Any, path: str, value: Any) -> None:
    keys = tuple(int(key) if key.isdigit() else key for key in path.split())
    assert not survives(changed(known, keys, value))


@pytest.mark.parametrize(("ece", "accepted"), [(1.0 + 2**-52, True), (1.1, False)])
def test_rounding_above_one_is_read_from_snapshots_of_earlier_releases(known: Any, ece: float, accepted: bool) -> None:
    day = [0, 1, 1, 0.5, 0.5, 0.5, ece]
    assert survives(changed(known, ("training", "journal", "days"), [day])) is accepted


@pytest.mark.parametrize(
    "part", [lambda s: s["training"].pop("involuntary"), lambda s: s["scoring"].pop("involuntary")]
)
def test_half_a_second_head_is_refused(known: Any, part: Callable[[Any], Any]) -> None:
    snapshot = copy.deepcopy(known)
    part(snapshot)
    assert not survives(orjson.dumps(snapshot))


@pytest.mark.parametrize(
    "value",
    [
        b'{"schema":1,"catalogue":' * 5_000 + b"1" + b"}" * 5_000,
        b"[" * 100_000,
        b'{"schema":1,"catalogue":"c0ffee","version":"1","scoring":NaN,"training":{}}',
        b'{"schema":1,"catalogue":"c0ffee","version":"1","scoring":{},"training":{}}',
        b'"\xff"',
        b" " * 2_000_000,
    ],
)
def test_texts_that_are_no_snapshots_are_refused(value: bytes) -> None:
    assert not survives(value)


def test_extreme_labels_leave_a_snapshot_that_can_be_read() -> None:
    """Rule: no label that is accepted drives a model out of the ranges of its snapshot."""
    model, rng = Model(space()), np.random.default_rng(3)
    size = model.space.size
    for i in range(800):
        x = rng.choice([np.nan, -np.inf, np.inf, -1e308, 1e308, 0.0, 1.0], size)
        model.learn(
            x, -x, bool(rng.integers(2)), int(i // 3) * 40, float(i % 2), (1.0, 0.0, float(i % 3 == 0)), Label()
        )
    assert Model.restore(model.snapshot(), model.space).version == model.version
