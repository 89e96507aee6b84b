"""Publishing to the events topic from files and the simulator: keys, pace, and clean stops."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.simulation import Simulation, SimulationSettings
from streams.errors import ChurnSignalsError
from streams.kafka.partitioner import partition_of
from streams.kafka.publisher import publish_events
from streams.topics import create_topics
from tests.broker.commands import call, interrupt
from tests.crash.harness import Run

# Twenty times as long as it is to take: a busy machine is slow to start and to send.
LONGEST_S = 30.0


def test_publish_keeps_the_requested_rate(new_run: Callable[..., Run], tmp_path: Path) -> None:
    run = new_run(partitions=2)
    call(run, "topics", "create")
    events = [event.value for event in Simulation(SimulationSettings(customers=20, days=5, seed=4)).events()][:150]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(events))
    started = time.monotonic()
    assert call(run, "publish", str(file), "--rate", "100").exit_code == 0
    assert 1.3 < time.monotonic() - started < LONGEST_S


def test_events_are_published_to_the_partition_of_the_customer(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: the partition is that of Kafka's default partitioner, so that no event needs forwarding."""
    run = new_run(partitions=3)
    call(run, "topics", "create")
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(b'{"type":"page","userId":"%d"}' % n for n in range(1, 41)))
    assert call(run, "publish", str(file)).exit_code == 0
    found = asyncio.run(run.read(run.settings.topic_events))
    assert {(key, partition) for partition, key, _ in found} == {
        (b"%d" % n, partition_of(b"%d" % n, 3)) for n in range(1, 41)
    }
    history = tmp_path / "history.jsonl"
    history.write_bytes(b'{"type":"page","userId":"1","timestamp":"2024-03-01T00:00:00Z"}')
    refused = call(run, "publish", str(history))
    assert refused.exit_code == 1
    assert "history.jsonl begins at 2024-03-01T00:00:00" in refused.output
    assert "Publish history before live traffic" in refused.output
    assert call(run, "publish", str(history), "--late").exit_code == 0


def test_simulator_publishes_the_events_of_the_file(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: --to-topic publishes the events of the file to their partitions in order, with the same truth file."""
    run = new_run(partitions=3, kafka_compression_type="lz4")
    call(run, "topics", "create")
    small = ("simulate", "--customers", "40", "--days", "8", "--hazards-every", "4")
    file, truth, other = tmp_path / "events.jsonl", tmp_path / "truth.jsonl", tmp_path / "other.jsonl"
    call(run, *small, "--out", str(file), "--hazards", str(truth))
    sent = call(run, *small, "--to-topic", "--hazards", str(other))
    written = file.read_bytes().splitlines()
    assert (sent.exit_code, sent.stdout, sent.stderr) == (
        0, f"{len(written):,} events sent to {run.settings.topic_events}, 8 of 8 days\n", ""
    )  # fmt: skip
    assert other.read_bytes() == truth.read_bytes()
    found = asyncio.run(run.read(run.settings.topic_events))
    for number in range(3):
        here = [line for line in written if partition_of(json.loads(line)["userId"].encode(), 3) == number]
        assert [value for partition, _, value in found if partition == number] == here


def test_event_time_runs_at_the_requested_speed(new_run: Callable[..., Run]) -> None:
    """Setup: three days at two days per second. Expected: 1.5 s, less the missing part of the last day."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    started = time.monotonic()
    assert call(run, "simulate", "--to-topic", "--customers", "30", "--days", "3", "--speed", "2").exit_code == 0
    assert 1.2 < time.monotonic() - started < LONGEST_S


def test_simulator_stops_cleanly(new_run: Callable[..., Run]) -> None:
    """Rule: after Ctrl-C, the exit code is 0, and the reported number of events is in the topic."""
    run = new_run(partitions=2)
    call(run, "topics", "create")

    def sent() -> int:
        return len(asyncio.run(run.read(run.settings.topic_events)))

    arguments = ("simulate", "--to-topic", "--customers", "50", "--days", "60", "--speed", "1")
    code, printed = interrupt(run, *arguments, when=lambda _: sent() > 20)
    events = sent()
    assert code == 0, printed
    assert events > 0
    assert printed.startswith(f"{events:,} events sent to {run.settings.topic_events}, ")
    assert "of 60 days" in printed


def test_record_rejected_by_the_topic_is_an_error(new_run: Callable[..., Run]) -> None:
    """Setup: an event above the size limit of the topic, between valid ones."""
    run = new_run(partitions=1)
    large = b'{"type":"page","userId":"u","context":{"x":"%s"}}' % (b"x" * 1_100_000)
    good = b'{"type":"page","userId":"u"}'

    async def body() -> None:
        await create_topics(run.settings)
        with pytest.raises(ChurnSignalsError, match="refused a record after about 1 events: MessageSizeTooLarge"):
            await publish_events(run.settings, [good, large, good])

    asyncio.run(body())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "2"], "--speed needs --to-topic"),
        (["--to-topic", "--out", "x"], "give one of them"),
        (["--to-topic", "--days", "19000"], "in the future"),
    ],
)
def test_contradictory_options_are_rejected(arguments: list[str], message: str, new_run: Callable[..., Run]) -> None:
    result = call(new_run(), "simulate", *arguments)
    assert result.exit_code == 2
    assert message in result.output
