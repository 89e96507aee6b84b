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
from models.learning.model import Model
from models.learning.model_snapshot import ModelSnapshotError
from models.profile.codec import ProfileError
from streams.engine import faust_app as faust_private
from streams.engine import position
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.kafka.model_reader import LABELS_OFFSET_HEADER, ModelReader, PublishedSnapshot
from streams.scoring.event_processor import SPACE, EventProcessor, ProcessorContext
from streams.settings import Settings
from streams.training.learner import ModelLearner
from tests.security.sources import trees, unsafe
from tests.streams.scoring.test_event_processor import CHURN, Store, record


class Bomb:
    """Whoever unpickles it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.target, "it was run"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


@pytest.fixture(params=range(pickle.HIGHEST_PROTOCOL + 1))
def bomb(request: pytest.FixtureRequest, target: Path) -> bytes:
    return pickle.dumps(Bomb(target), protocol=request.param)


def shared() -> ProcessorContext:
    return ProcessorContext(Settings(), ChurnDefinition.parse(CHURN), 2)


def as_profile(value: bytes) -> Any:
    """The stored profile of a customer, whose next event comes."""
    store, event = Store(), record(1)
    fresh = EventProcessor(shared(), 0, store, None)
    key = next(key for key in fresh.process([event], None).changes if key[:1] == b"c")
    store.apply({key: value})
    return EventProcessor(shared(), 0, store, None).process([event], None)


def as_state(value: bytes) -> Any:
    return EventProcessor(shared(), 0, Store(), value)


def as_claims(value: bytes) -> Any:
    """What another member of the group says when it joins."""
    if faust_private._claims_of(value) == {}:
        raise ValueError("a member without state")


REFUSED = (ModelSnapshotError, LabelError, ProfileError, ChurnSignalsError, ValueError)
READERS: dict[str, Callable[[bytes], Any]] = {
    "model, trainer": lambda value: Model.restore(value, SPACE),
    "model, worker": lambda value: Model.restore_scorer(value, SPACE),
    "model, worker's reader": lambda value: shared().on_snapshot(PublishedSnapshot(value, 0)),
    "model, learner": lambda value: ModelLearner(Settings()).restore(value),
    "labels": read_label,
    "changelog, position": position.decode,
    "changelog, state": as_state,
    "changelog, profile": as_profile,
    "group, another member's words": as_claims,
}


def test_the_bomb_is_one(bomb: bytes, target: Path) -> None:
    """Otherwise the tests below would prove nothing."""
    pickle.loads(bomb)
    assert target.read_text() == "it was run"


@pytest.mark.parametrize("reader", READERS)
def test_a_pickle_is_refused_and_not_run(reader: str, bomb: bytes, target: Path) -> None:
    """Rule: by every reader of a topic, whatever the pickle's protocol."""
    with pytest.raises(REFUSED):
        READERS[reader](bomb)
    assert not target.exists()


def test_a_pickle_as_an_event_is_a_dead_letter(bomb: bytes, target: Path) -> None:
    found = decode(bomb, [], 0)
    assert isinstance(found, Rejected)
    assert found.reason == "not_json"
    assert not target.exists()


def test_a_pickle_as_a_label_is_skipped_by_the_trainer(bomb: bytes, target: Path) -> None:
    learner = ModelLearner(Settings())
    learner.learn([bomb])
    assert (learner.skipped, learner.model.labels, target.exists()) == (1, 0, False)


def test_a_pickle_on_the_model_topic_stops_the_worker(bomb: bytes, target: Path) -> None:
    """Setup: the reader's own way from a record of the topic to the worker, with a consumer that is plain Python."""

    class Consumer:
        async def getmany(self, **_: Any) -> Any:
            message = record(0)._replace(key=b"churn", value=bomb, headers=((LABELS_OFFSET_HEADER, b"0"),))
            return {reader._tp: [message]}

    worker = shared()
    reader = ModelReader(Settings(), worker.on_snapshot)
    reader._consumer = Consumer()  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match="not a model snapshot"):
        asyncio.run(reader.follow())
    assert not target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from marshal import loads", "import cloudpickle as c", "eval(x)", "exec(x)",
        "import yaml\nyaml.load(x)", "np.load(f, allow_pickle=True)", "subprocess.run(x, shell=True)", "os.system(x)",
    ],
)  # fmt: skip
def test_the_search_finds(text: str) -> None:
    """Otherwise the next test would prove nothing."""
    assert unsafe(ast.parse(text))


def test_no_module_has_what_could_run_data() -> None:
    """Rule: neither the program nor the model imports or calls anything that runs what it reads."""
    found = {path: words for path, tree in trees("streams", "models") if (words := unsafe(tree))}
    assert found == {}
