"""The Python and JavaScript programs of docs/alerts.md, run unchanged against a real broker."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.kafka.topic_reader import consuming, partitions_of, spans_of
from streams.topics import ALERTS, name_of
from tests.broker.commands import call
from tests.broker.test_alerts_command import publish_alerts
from tests.crash.harness import Run
from tests.paths import ROOT
from tests.waiting import wait_until

PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
MODULES = ROOT / "tests" / "javascript" / "node_modules"
TYPES = ["opened", "acknowledged", "snoozed", "resolved"]
NODE = pytest.mark.skipif(
    shutil.which("node") is None or not (MODULES / "kafkajs").is_dir(), reason="KafkaJS is not here: make node-tools"
)


def program(language: str, words: str, run: Run) -> str:
    """Return the program that contains these words, with the test's topic, broker and group."""
    [code] = [c for c in re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if words in c]
    ours = {
        "churn-alerts": name_of(ALERTS, run.settings),
        "127.0.0.1:9092": run.settings.kafka_bootstrap_servers,
        "desk": f"{run.settings.kafka_group_id}-desk",
    }
    for theirs, our in ours.items():
        assert code.count(f'"{theirs}"') == 1, (theirs, code)
        code = code.replace(f'"{theirs}"', f'"{our}"')
    return code


def printed(arguments: list[str], run: Run, lines: int) -> list[list[str]]:
    """Run the program until it has printed `lines` lines and committed its position. Return the lines as words."""
    directory = run.directory
    output, log = directory / "printed", directory / "log"
    with output.open("wb") as file, log.open("wb") as errors:
        process = subprocess.Popen(arguments, stdout=file, stderr=errors, env={**os.environ, "NODE_PATH": str(MODULES)})

    def found() -> list[list[str]]:
        # KafkaJS logs JSON to standard output too.
        return [line.split() for line in output.read_text().splitlines() if not line.startswith("{")]

    def logs() -> str:
        return output.read_text() + log.read_text()

    def enough() -> bool:
        assert process.poll() is None, logs()
        return len(found()) >= lines

    try:
        wait_until(f"{lines} lines", enough, context=logs)
        wait_until("the position of the end", lambda: max(asyncio.run(uncommitted(run))) <= 1, context=logs)
        time.sleep(0.5)  # duplicates would have been printed by now
        assert process.poll() is None, output.read_text() + log.read_text()
    finally:
        process.kill()
        process.wait(10)
    return found()


async def uncommitted(run: Run) -> list[int]:
    """Return the lag of the program's group in each partition that has records."""
    admin = AIOKafkaAdminClient(**run.settings.connection())
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(f"{run.settings.kafka_group_id}-desk")
    finally:
        await admin.close()
    tps = await partitions_of(run.settings, name_of(ALERTS, run.settings))
    async with consuming(run.settings) as consumer:
        ends = {tp: end for tp, (_, end) in (await spans_of(consumer, tps)).items() if end}
    return [end - (committed[tp].offset if tp in committed else 0) for tp, end in ends.items()]


@pytest.mark.parametrize(
    ("language", "words", "command"),
    [
        ("python", "AIOKafkaConsumer", [sys.executable, "-c"]),
        pytest.param("javascript", "kafkajs", ["node", "-e"], marks=NODE),
    ],
)
def test_documented_program_handles_each_event_once(
    language: str, words: str, command: list[str], new_run: Callable[..., Run]
) -> None:
    """Setup: the alerts of two customers are published twice, as by a replay.

    Rule: the program then has no lag except for the marker of the last transaction.
    """
    run = new_run(partitions=2)
    code = program(language, words, run)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    assert call(run, "topics", "create").exit_code == 0
    for _ in range(2):
        asyncio.run(publish_alerts(run, ["a", "b"]))
    events = printed([*command, code], run, 8)
    for customer in "ab":
        assert [kind for kind, name, _ in events if name == customer] == TYPES
    assert len(events) == 8
    assert {probability for _, _, probability in events} == {"0.7234", "0.05"}
