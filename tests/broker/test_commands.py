"""The commands around a worker on a real broker: topics, publish, lag, dlq and customer."""

from __future__ import annotations

import asyncio
import doctest
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import orjson

from models.simulation import Simulation, SimulationSettings
from streams.cli import lag as lag_module
from streams.rendering.formats import probability_text
from streams.topics import SCORES, TOPICS, name_of
from tests.broker.commands import call
from tests.crash.harness import Run
from tests.paths import ROOT
from tests.waiting import wait_until

PRODUCT = Path(__file__).with_name("product.py")
REJECTED = [b"not json", b'{"type":"page"}', b"[bold]\x1b[2J", b"\xff\xfe"]


def wait_for_lag(run: Run, code: int) -> list[dict[str, object]]:
    """Wait until `lag` exits with this code and return its output."""
    printed = ""

    def ends() -> bool:
        nonlocal printed
        result = call(run, "lag", "--json", "--window", "0.5")
        printed = result.output
        return result.exit_code == code

    wait_until(f"exit code {code} of lag", ends, context=lambda: printed)
    return [json.loads(line) for line in printed.splitlines()]


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(lag_module).failed == 0


def test_file_becomes_scores_dead_letters_and_a_customer_report(new_run: Callable[..., Run], tmp_path: Path) -> None:
    """Setup: a first session with topics, a compressed file with four bad lines, a worker, and all commands."""
    run = new_run(partitions=2, config=str(ROOT / "churn.toml"))
    events = [event.value for event in Simulation(SimulationSettings(customers=20, days=20, seed=4)).events()]
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(events[:100] + REJECTED + events[100:]) + b"\n"))

    missing = call(run, "topics", "check")
    assert (missing.exit_code, "create it with: churn-signals topics create" in missing.output) == (2, True)
    assert call(run, "topics", "create").output.count("created ") == len(TOPICS)
    assert call(run, "topics", "create").output == "all topics exist and match their declarations\n"
    assert "-events: 2 partitions, delete" in call(run, "topics", "check").output

    sent = call(run, "publish", str(file), "--lenient")
    assert sent.exit_code == 0, sent.output
    assert f"{len(events) + 4:,} events sent" in sent.output
    assert "4 of them invalid (2 not_json, 1 missing_customer, 1 not_an_object)" in sent.output

    behind = wait_for_lag(run, 11)
    assert [row["status"] for row in behind] == ["STOP", "STOP", "OK"]
    assert sum(int(str(row["lag"])) for row in behind) == len(events) + 4
    try:
        run.start("w0", program=PRODUCT)
        rows: list[dict[str, object]] = []

        def caught_up() -> bool:  # a group that catches up is OK before
            rows[:] = wait_for_lag(run, 0)
            return not any(row["lag"] for row in rows[:2])

        wait_until("no lag", caught_up, context=lambda: rows)
        assert [row["members"] for row in rows[:2]] == [1, 1]
        assert call(run, "lag", "--window", "0.5").output.count("OK") == 3
        assert str(rows[0]["owner"]["client"]).startswith("worker-")  # type: ignore[index]
        assert run.stop("w0") == 0
    finally:
        run.end()

    listed = call(run, "dlq", "ls")
    assert listed.exit_code == 0, listed.output
    assert "2             not_json" in listed.output
    assert "\x1b" not in listed.output
    assert "[bold].[2J" in listed.output
    letters = [json.loads(line) for line in call(run, "dlq", "ls", "--json").output.splitlines()]
    assert {letter["value"] for letter in letters} == {"not json", "[bold]\x1b[2J", "\\xff\\xfe", '{"type":"page"}'}
    where = next(f"{letter['partition']}@{letter['offset']}" for letter in letters if letter["value"] == "not json")
    shown = call(run, "dlq", "show", where).output
    assert "reason: not_json" in shown
    assert "Send JSON in UTF-8" in shown
    assert call(run, "dlq", "show", where, "--raw").output == "not json"
    assert "there is no dead letter at 0@99999" in call(run, "dlq", "show", "0@99999").output
    assert call(run, "dlq", "show", "nowhere").exit_code == 2

    scores = asyncio.run(run.read(name_of(SCORES, run.settings)))
    key, newest = scores[-1][1], scores[-1][2]
    raw = call(run, "customer", key.decode(), "--json").output
    assert raw.rstrip("\n").encode() == newest
    page = call(run, "customer", key.decode())
    assert page.exit_code == 0, page.output
    document = orjson.loads(newest or b"")
    assert f"{probability_text(document['probability'])} churn risk within 30 days" in page.output
    for reason in document["reasons"]:
        assert reason["sentence"] in page.output
    assert "has no score" in call(run, "customer", "unknown").output
