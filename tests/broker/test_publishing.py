"""What fills the events topic: files and the simulator, keyed by customer, paced, and stopped in order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.simulation import Simulation, SimulationSettings
from streams.cli.publish import publish_events
from streams.errors import ChurnSignalsError
from streams.kafka.partitioner import partition_of
from streams.topics import create_topics
from tests.broker.commands import call, interrupt
from tests.crash.harness import Run

# Twenty times as long as it is to take: a busy machine is slow to start and to send.
LONGEST_S = 30.0


def test_a_rate_is_kept(new_run: Callable[..., Run], tmp_path: Path) -> None:
    run = new_run(partitions=2)
    call(run, "topics", "create")
    events = [event.value for event in Simulation(SimulationSettings(customers=20, days=5, seed=4)).events()][:150]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(events))
    started = time.monotonic()
    assert call(run, "publish", str(file), "--rate", "100").exit_code == 0
    assert 1.3 < time.monotonic() - started < LONGEST_S


def test_publishing_goes_to_the_partition_of_the_customer(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: a customer's partition is that of Kafka's default partitioner, so that nothing has to be forwarded."""
    run = new_run(partitions=3)
    call(run, "topics", "create")
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(b'{"type":"page","userId":"%d"}' % n for n in range(40)))
    assert call(run, "publish", str(file)).exit_code == 0
    found = asyncio.run(run.read(run.settings.topic_events))
    assert {(key, partition) for partition, key, _ in found} == {
        (b"%d" % n, partition_of(b"%d" % n, 3)) for n in range(40)
    }


def test_the_simulator_sends_what_it_would_write(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Rule: --to-topic sends the events of the file, to their customers' partitions in order, and the same truth."""
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


def test_event_time_runs_at_the_speed_that_is_asked_for(new_run: Callable[..., Run]) -> None:
    """Setup: three days at two days a second. Expected: 1.5 s, less what is missing of the last day."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    started = time.monotonic()
    assert call(run, "simulate", "--to-topic", "--customers", "30", "--days", "3", "--speed", "2").exit_code == 0
    assert 1.2 < time.monotonic() - started < LONGEST_S


def test_the_simulator_stops_in_order(new_run: Callable[..., Run]) -> None:
    """Rule: after Ctrl-C the exit code is 0, and the number that it reports as sent is what the topic holds."""
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


def test_a_record_that_the_topic_refuses_is_an_error_and_not_a_silence(new_run: Callable[..., Run]) -> None:
    """Setup: an event larger than the topic takes, between good ones."""
    run = new_run(partitions=1)
    large = b'{"type":"page","userId":"u","context":{"x":"%s"}}' % (b"x" * 1_100_000)
    good = b'{"type":"page","userId":"u"}'

    async def body() -> None:
        await create_topics(run.settings)
        with pytest.raises(ChurnSignalsError, match="took no more after some 1 events: MessageSizeTooLarge"):
            await publish_events(run.settings, [good, large, good])

    asyncio.run(body())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--speed", "2"], "--speed needs --to-topic"),
        (["--to-topic", "--out", "x"], "give one of them"),
        (["--to-topic", "--days", "19000"], "which is to come"),
    ],
)
def test_options_that_contradict_each_other_are_misuse(
    arguments: list[str], message: str, new_run: Callable[..., Run]
) -> None:
    result = call(new_run(), "simulate", *arguments)
    assert result.exit_code == 2
    assert message in result.output
