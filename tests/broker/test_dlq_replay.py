"""`dlq replay` on a real broker: dead letters become events again, unchanged and in the right partition."""

from __future__ import annotations

import asyncio
import doctest
import time
from collections.abc import Callable
from typing import Any

import pytest

from streams.cli import dlq, replay
from streams.cli.replay import _ReplayTarget
from streams.engine.transactions import FencedProducer
from streams.kafka.control_signature import UNAUTHORIZED_CONTROL, ControlSignatures
from streams.kafka.partitioner import partition_of
from streams.kafka.topic_reader import read_topic
from streams.scoring.dead_letters import DeadLetter, dead_letter
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, EVENTS, name_of
from tests.broker.commands import call
from tests.crash.harness import Run

NOW_MS = int(time.time() * 1000)
OLD_MS = NOW_MS - 3_600_000
GOOD = b'{"type":"page","userId":"anna","messageId":"1"}'
OTHER = b'{"type":"page","userId":"bert","messageId":"2","timestamp":"2024-01-01T00:00:00Z"}'


async def refuse(run: Run, *events: tuple[bytes | None, bytes, list[tuple[str, Any]], str]) -> None:
    """Publish dead letters, an hour old, of events (key, value, headers, reason) from partition 0."""
    source, target = name_of(EVENTS, run.settings), name_of(DEAD_LETTERS, run.settings)
    outputs = [
        dead_letter(target, Received(source, 0, n, OLD_MS, key, value, headers), reason, "because", "Rejected")
        for n, (key, value, headers, reason) in enumerate(events)
    ]
    producer = await FencedProducer.open(run.settings, "refuser")
    await producer.commit(outputs)
    await producer.close()


class Received:
    def __init__(self, *parts: Any) -> None:
        self.topic, self.partition, self.offset, self.timestamp, self.key, self.value, self.headers = parts


def events(run: Run) -> list[Any]:
    async def read() -> list[Any]:
        return [record async for record in read_topic(run.settings, name_of(EVENTS, run.settings))]

    return asyncio.run(read())


def the_replayed(run: Run, *arguments: str) -> list[Any]:
    before = len(events(run))
    result = call(run, "dlq", "replay", *arguments, "--yes")
    assert result.exit_code == 0, result.output
    after = events(run)
    assert f"{len(after) - before:,} events sent to {run.settings.topic_events}" in result.output
    return after


@pytest.mark.parametrize("module", [dlq, replay], ids=lambda module: module.__name__)
def test_docstring_examples_hold(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_dead_letters_return_unchanged_to_the_right_partition(new_run: Callable[..., Run]) -> None:
    """Setup: an event without a key, one with a wrong key, and one forwarded a day ago, all of them valid now."""
    run = new_run(partitions=3)
    call(run, "topics", "create")
    day_old = str(OLD_MS - 86_400_000).encode()
    marks = [("churn.forwarded", b"0@7"), ("churn.timestamp", day_old), ("churn.replayed", b"elsewhere/0@1")]
    odd = [("trace", b"\xff\x00"), ("trace", b"again")]
    asyncio.run(
        refuse(
            run,
            (None, GOOD, odd, "processing_error"),
            (b"\xfe", OTHER, [], "misrouted"),
            (b"anna", GOOD, [*odd, *marks], "misrouted"),
        )
    )
    topic = name_of(DEAD_LETTERS, run.settings)
    found = {dict(record.headers)["churn.replayed"].decode(): record for record in the_replayed(run, "--all")}
    first, second, third = (found[f"{topic}/0@{offset}"] for offset in range(3))
    assert [(record.key, record.value) for record in (first, second, third)] == [
        (b"anna", GOOD),
        (b"bert", OTHER),
        (b"anna", GOOD),
    ]
    assert [record.partition for record in (first, second)] == [partition_of(b"anna", 3), partition_of(b"bert", 3)]
    assert [record.timestamp for record in (first, second, third)] == [OLD_MS, OLD_MS, int(day_old)]
    assert list(first.headers)[:-1] == list(third.headers)[:-1] == odd
    assert len(second.headers) == 1


def test_dead_letters_that_would_be_rejected_again_stay(new_run: Callable[..., Run]) -> None:
    """Rule: invalid events are not replayed, and the output has their number and reasons."""
    run = new_run(partitions=1)
    call(run, "topics", "create")
    asyncio.run(refuse(run, (b"k", b"not json", [], "not_json"), (b"k", GOOD, [], "too_large")))
    dry = call(run, "dlq", "replay", "--all", "--dry-run")
    assert dry.exit_code == 0
    assert "1             to send: rejected as too_large" in dry.output
    assert "1             not sent: it would be rejected again as not_json" in dry.output
    assert events(run) == []
    assert [record.value for record in the_replayed(run, "--all")] == [GOOD]
    named = call(run, "dlq", "replay", "0@0", "--yes")
    assert named.exit_code == 1
    assert "some of the named dead letters cannot be replayed" in named.output
    nothing = call(run, "dlq", "replay", "--reason", "bad_time", "--yes")
    assert (nothing.exit_code, nothing.output) == (0, "no dead letters match\n")
    assert len(events(run)) == 1
    assert len(the_replayed(run, "--reason", "too_large")) == 2
    assert len(the_replayed(run, "0@1", "0@1")) == 3


def test_dead_letter_that_returned_is_replayed_once(new_run: Callable[..., Run]) -> None:
    """Setup: a dead letter was replayed twice and rejected each time, so there are three letters of one event."""
    run = new_run(partitions=1)
    call(run, "topics", "create")
    topic = name_of(DEAD_LETTERS, run.settings)
    again = [("churn.replayed", f"{topic}/0@0".encode())]
    asyncio.run(
        refuse(run, (b"k", GOOD, [], "a"), (b"k", GOOD, again, "a"), (b"k", GOOD, again, "a"), (b"k", OTHER, [], "a"))
    )
    result = call(run, "dlq", "replay", "--all", "--dry-run")
    assert "2             to send" in result.output
    assert "2             not sent: replayed before, and rejected again as a newer letter" in result.output
    names = [dict(record.headers)["churn.replayed"] for record in the_replayed(run, "--all")]
    assert names == [f"{topic}/0@{offset}".encode() for offset in (2, 3)]


def test_control_event_is_replayed_only_with_a_signature(new_run: Callable[..., Run]) -> None:
    """Setup: an unsigned deletion. Rule: an operator signs it explicitly, whatever else is replayed."""
    run = new_run(partitions=1)
    call(run, "topics", "create")
    deletion = b'{"type":"track","event":"User Deletion Requested","userId":"anna"}'
    asyncio.run(refuse(run, (b"k", deletion, [("churn.signature", b"wrong")], UNAUTHORIZED_CONTROL)))
    dry = call(run, "dlq", "replay", "--all", "--dry-run")
    assert "not sent: it would be rejected again as unauthorized_control, without --sign" in dry.output
    [record] = the_replayed(run, "--all", "--sign")
    assert ControlSignatures(run.settings).accepts(record.value, record.headers)


def test_replay_requires_a_selection_and_a_confirmation(new_run: Callable[..., Run]) -> None:
    """Rule: without a terminal, nothing is sent without confirmation, and an ambiguous selection is an error."""
    run = new_run(partitions=1)
    call(run, "topics", "create")
    for arguments, message in (
        (("--yes",), "choose the dead letters"),
        (("0@1", "--all", "--yes"), "choose the dead letters"),
        (("--all", "--reason", "a", "--yes"), "choose the dead letters"),
        (("--all",), "add --yes"),
        (("nowhere", "--yes"), "is not PARTITION@OFFSET"),
    ):
        result = call(run, "dlq", "replay", *arguments)
        assert (result.exit_code, message in result.output) == (2, True), result.output
    missing = call(run, "dlq", "replay", "0@5", "--yes")
    assert (missing.exit_code, "there is no dead letter at 0@5" in missing.output) == (1, True)


def test_event_too_large_for_the_replay_header_is_not_sent() -> None:
    """Setup: the topic's size limit was lowered after the event was published."""
    letter = DeadLetter(0, 1, OLD_MS, b"k", GOOD, (), "a", "", "", "")
    control = ControlSignatures(Settings())
    assert isinstance(_ReplayTarget("dlq", 4, 2_000, control).to_record(letter), replay.ReplayRecord)
    assert "exceeds the maximum record size" in str(_ReplayTarget("dlq", 4, 1_000, control).to_record(letter))
