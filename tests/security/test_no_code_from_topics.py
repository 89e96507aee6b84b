"""Claim 1: data from topics is never executed."""

from __future__ import annotations

import ast
import asyncio
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.definition.churn_definition import ChurnDefinition
from models.events.event import Rejected, decode
from models.labels.codec import LabelError, read_label
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.learning.model_snapshot import ModelSnapshotError
from models.profile.codec import ProfileError
from streams.engine import position
from streams.engine.group_assignor import decode_claims
from streams.errors import ChurnSignalsError
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, ModelReader, PublishedSnapshot
from streams.scoring.event_processor import EventProcessor
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings
from streams.training.learner import ModelLearner
from tests.security.sources import trees, unsafe
from tests.streams.scoring.test_event_processor import CHURN, Store, record


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.target, "executed"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture(params=range(pickle.HIGHEST_PROTOCOL + 1))
def bomb(request: pytest.FixtureRequest, target: Path) -> bytes:
    return pickle.dumps(Bomb(target), protocol=request.param)


def shared() -> ProcessorContext:
    return ProcessorContext(Settings(), ChurnDefinition.parse(CHURN), 2)


def as_profile(value: bytes) -> Any:
    """Read it as the stored profile of a customer, on the next event."""
    store, event = Store(), record(1)
    fresh = EventProcessor(shared(), 0, store, None)
    key = next(key for key in fresh.process([event], None).changes if key[:1] == b"c")
    store.apply({key: value})
    return EventProcessor(shared(), 0, store, None).process([event], None)


def as_state(value: bytes) -> Any:
    return EventProcessor(shared(), 0, Store(), value)


def as_claims(value: bytes) -> Any:
    """Read it as the metadata of another group member."""
    if decode_claims(value) == {}:
        raise ValueError("a member without state")


REFUSED = (ModelSnapshotError, LabelError, ProfileError, ChurnSignalsError, ValueError)
READERS: dict[str, Callable[[bytes], Any]] = {
    "model, trainer": lambda value: Model.restore(value, SPACE),
    "model, worker": lambda value: Model.restore_scorer(value, SPACE),
    "model, worker's reader": lambda value: shared().on_snapshot(PublishedSnapshot(value, 0)),
    "model, learner": lambda value: ModelLearner(Settings()).restore(value),
    "labels": read_label,
    "changelog, position": position.decode_position,
    "changelog, state": as_state,
    "changelog, profile": as_profile,
    "group, metadata of another member": as_claims,
}


def test_bomb_executes_when_unpickled(bomb: bytes, target: Path) -> None:
    """Verifies the setup of the tests below."""
    pickle.loads(bomb)
    assert target.read_text() == "executed"


@pytest.mark.parametrize("reader", READERS)
def test_pickle_is_rejected_and_not_executed(reader: str, bomb: bytes, target: Path) -> None:
    """Rule: by every reader of a topic, for every pickle protocol."""
    with pytest.raises(REFUSED):
        READERS[reader](bomb)
    assert not target.exists()


def test_pickle_as_an_event_is_dead_lettered(bomb: bytes, target: Path) -> None:
    rejected = decode(bomb, [], 0)
    assert isinstance(rejected, Rejected)
    assert rejected.reason == "not_json"
    assert not target.exists()


def test_pickle_as_a_label_is_skipped_by_the_trainer(bomb: bytes, target: Path) -> None:
    learner = ModelLearner(Settings())
    learner.learn([bomb])
    assert (learner.skipped, learner.model.labels, target.exists()) == (1, 0, False)


def test_pickle_on_the_model_topic_is_skipped_by_the_worker(bomb: bytes, target: Path) -> None:
    """Setup: the model reader of a worker with a stub consumer."""
    left = [record(0)._replace(key=b"churn", value=bomb, headers=((LABELS_OFFSET_HEADER, b"0"),))]

    class Consumer:
        async def getmany(self, **_: Any) -> Any:
            if not left:
                raise asyncio.CancelledError
            return {reader._tp: [left.pop()]}

    worker = shared()
    scorer = worker.scorer
    reader = ModelReader(Settings(), worker.on_snapshot)
    reader._consumer = Consumer()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(reader.follow())
    assert (reader.skipped, worker.scorer is scorer, target.exists()) == (1, True, False)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from marshal import loads", "import cloudpickle as c", "eval(x)", "exec(x)",
        "import yaml\nyaml.load(x)", "np.load(f, allow_pickle=True)", "subprocess.run(x, shell=True)", "os.system(x)",
    ],
)  # fmt: skip
def test_search_detects_unsafe_code(text: str) -> None:
    """Verifies the search of the next test."""
    assert unsafe(ast.parse(text))


def test_no_module_can_execute_data() -> None:
    """Rule: neither `streams` nor `models` imports or calls anything that executes its input."""
    findings = {path: names for path, tree in trees("streams", "models") if (names := unsafe(tree))}
    assert findings == {}
