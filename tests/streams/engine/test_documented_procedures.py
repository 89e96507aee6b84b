"""docs/operating.md, "Procedures": every command, option and variable on the page exists."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from streams.cli.main import main
from streams.engine.recovery import STALE_AFTER_MS
from streams.engine.store_directories import UNUSED_MS
from streams.settings import Settings
from streams.topics import DAY_MS
from tests.paths import DOCS

PAGE = (DOCS / "operating.md").read_text(encoding="utf-8")
PROCEDURES = PAGE.split("\n## Procedures\n")[1].split("\n## ")[0]
LINES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PROCEDURES, re.DOTALL | re.MULTILINE)
    for line in block.split("\n")
]


def test_there_is_a_section_for_each_procedure() -> None:
    wanted = [
        "Upgrading",
        "Resetting a group",
        "Dropping a damaged record",
        "Replaying from the beginning",
        "Changing the churn definition",
        "Rescaling",
    ]
    wanted += ["Changing the number of partitions", "Restoring a lost disk"]
    assert re.findall(r"^### (.*)$", PROCEDURES, re.MULTILINE) == wanted
    assert PROCEDURES.count("```sh") == len(wanted)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("churn-signals")])
def test_every_command_on_the_page_exists(line: str) -> None:
    """Rule: click accepts the command line as written; nothing is run."""
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "&"]
    command: click.Command = main
    context = click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command = found
    command.make_context("churn-signals", list(words))


def test_replay_settings_share_no_output_topic() -> None:
    """Rule: a replay writes to no topic of the running group; both read the same events."""
    given = dict(pair.split("=") for line in LINES if line.startswith("export") for pair in line.split()[1:])
    replay, running = Settings.from_environment(given), Settings()
    names = [name for name in vars(running) if name.startswith("topic_")]
    assert [name for name in names if getattr(replay, name) == getattr(running, name)] == ["topic_events"]
    assert replay.kafka_group_id != running.kafka_group_id


def test_times_on_the_page_match_the_code() -> None:
    assert "ten minutes" in PROCEDURES
    assert UNUSED_MS == 10 * 60_000
    assert "3.5 days" in PROCEDURES
    assert STALE_AFTER_MS == 3.5 * DAY_MS
    assert f"{Settings().kafka_session_timeout_ms // 1000} s" in PROCEDURES
