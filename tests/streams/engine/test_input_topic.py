"""The input topic is the one that was there before: by its id, and by its number of partitions."""

from __future__ import annotations

import asyncio
import doctest
import logging
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from streams.engine import input_topic
from streams.engine.input_topic import InputTopic
from streams.engine.position import Position, decode_position, encode_position
from streams.engine.takeover import PartitionNames, Takeover
from streams.errors import InputLost, InputReplaced, TopicMismatch
from streams.kafka.topic_identity import TopicIdentity
from streams.settings import Settings

FIRST, SECOND = b"a" * 16, b"b" * 16


class Inputs:
    """Answers with these identities, one after the other; errors are raised."""

    def __init__(self, *answers: TopicIdentity | Exception | None) -> None:
        self._answers = list(answers)

    async def identity(self) -> TopicIdentity | None:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def topic(*answers: TopicIdentity | Exception | None) -> InputTopic:
    known = InputTopic("events", Inputs(*answers), "run churn-signals reset")
    known.partitions = 4
    return known


def test_docstring_examples_hold() -> None:
    ran = doctest.testmod(input_topic)
    assert (ran.failed, ran.attempted > 0) == (0, True)


def test_another_id_ends_the_worker() -> None:
    """Rule: the first id is that of this process; outages in between change nothing."""
    known = topic(TopicIdentity(FIRST, 4), TopicIdentity(FIRST, 4), TopicIdentity(SECOND, 4))

    async def body() -> None:
        assert await known.confirm() == FIRST
        assert await known.confirm() == FIRST
        with pytest.raises(InputReplaced, match="of another topic; run churn-signals reset"):
            await known.confirm()

    asyncio.run(body())


def test_watch_survives_outages_and_a_topic_that_is_missing_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: only an answer of the broker ends a worker. A missing topic makes it not ready."""
    monkeypatch.setattr(input_topic, "WATCH_EVERY_S", 0.0)
    known = topic(TopicIdentity(FIRST, 4), KafkaConnectionError(), TimeoutError(), None, TopicIdentity(SECOND, 4))
    with pytest.raises(InputReplaced):
        asyncio.run(known.watch())
    missing = topic(None)
    with pytest.raises(UnknownTopicOrPartitionError):
        asyncio.run(missing.confirm())
    assert not missing.exists


def test_added_partitions_end_the_worker() -> None:
    with pytest.raises(TopicMismatch, match="has 5 partitions, and had 4 at the start"):
        asyncio.run(topic(TopicIdentity(FIRST, 5)).confirm())


def test_brokers_without_ids_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """Rule: Kafka before 2.8 has no ids; the worker says so and goes on."""
    caplog.set_level(logging.INFO)
    known = topic(TopicIdentity(b"", 4), TopicIdentity(b"", 4))

    async def body() -> None:
        for _ in range(2):
            assert await known.confirm() == b""

    asyncio.run(body())
    assert caplog.text.count("reports no topic ids") == 1


def test_broker_of_an_older_version_does_not_end_a_worker_during_an_upgrade() -> None:
    """Rule: requests go to any broker. Those without ids prove nothing about the topic."""
    known = topic(TopicIdentity(b"", 4), TopicIdentity(FIRST, 4), TopicIdentity(b"", 4), TopicIdentity(SECOND, 4))

    async def body() -> None:
        for _ in range(3):
            await known.confirm()
        with pytest.raises(InputReplaced):
            await known.confirm()

    asyncio.run(body())


def test_position_has_the_id_of_its_topic_and_is_read_without_one() -> None:
    """Rule: state of earlier releases, and of brokers without ids, has the same bytes as before."""
    old = encode_position(7, True, b"id", b"state")
    assert decode_position(old) == Position(1, 7, True, b"id", b"state", b"")
    new = encode_position(7, True, b"id", b"state", FIRST)
    assert decode_position(new).topic_id == FIRST
    assert len(new) - len(old) == 18


def checked(tmp_path: Path, written: bytes, current: bytes, **settings: Any) -> tuple[int, int]:
    """Return the next offset, and the offsets that are lost, of a takeover at offset 5 of a topic with 2 to 8."""
    names = PartitionNames("worker", "events", "changelog")
    takeover = Takeover(
        Settings(data_dir=str(tmp_path), **settings),
        names,
        lambda *_: None,  # type: ignore[arg-type]
        Inputs(),  # type: ignore[arg-type]
        topic(),
        lambda *_: None,
    )
    position, lost = takeover._checked(0, Position(1, 5, True, b"id", b"state", written), 2, 8, current)
    assert position is not None
    return position.next_offset, lost


def test_takeover_continues_only_in_the_topic_that_the_position_belongs_to(tmp_path: Path) -> None:
    """Rule: the offset exists in both topics. A position without an id is adopted, and so is a broker without ids."""
    assert checked(tmp_path, FIRST, FIRST) == checked(tmp_path, b"", FIRST) == checked(tmp_path, FIRST, b"") == (5, 0)
    with pytest.raises(InputReplaced) as refused:
        checked(tmp_path, FIRST, SECOND)
    assert isinstance(refused.value, InputLost)
    assert refused.value.location == {"topic": "events", "partition": 0, "offset": 5}
    assert checked(tmp_path, FIRST, SECOND, accept_lost_input=True) == (2, 0)
