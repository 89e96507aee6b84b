"""Commands that read topics skip foreign records: no traceback, each position once, and their number at the end."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

from streams.cli import alerts, skipped
from streams.cli.main import main
from streams.cli.skipped import consistent
from streams.errors import ChurnSignalsError
from streams.kafka import topic_reader
from streams.settings import Settings
from tests.foreign_records import ForeignRecord, foreign_records
from tests.streams.alert_values import life
from tests.streams.console.published import record, score_of
from tests.streams.console.test_published_records import GOOD


def records(topic: str, foreign: Iterable[ForeignRecord]) -> list[Any]:
    return [record(topic, each.key, each.value, offset) for offset, each in enumerate(foreign)]


def around(key: bytes, value: bytes) -> list[ForeignRecord]:
    """A good record between foreign ones."""
    foreign = foreign_records(key, value)
    return [*foreign[:20], ForeignRecord("good", key, value), *foreign[20:]]


def serve(monkeypatch: pytest.MonkeyPatch, topics: dict[str, list[Any]]) -> None:
    """Replace the topics; each has one partition."""

    async def read_topic(_settings: Settings, topic: str) -> AsyncIterator[Any]:
        for each in topics.get(topic, []):
            yield each

    async def verify_topics(_settings: Settings) -> dict[str, Any]:
        return {topic: SimpleNamespace(partitions=1) for topic in topics}

    @asynccontextmanager
    async def consuming(_settings: Settings) -> AsyncIterator[None]:
        yield None

    async def spans_of(_consumer: None, tps: list[Any]) -> dict[Any, tuple[int, int]]:
        return {tp: (0, len(topics[tp.topic])) for tp in tps}

    async def backwards(_consumer: None, tp: Any, start: int, end: int) -> AsyncIterator[list[Any]]:
        for at in reversed(range(start, end)):
            yield [topics[tp.topic][at]]

    async def read_changes(_settings: Settings, selects: Any, **_: Any) -> AsyncIterator[Any]:
        for each in topics["churn-alerts"]:
            if selects(each):
                yield each

    for name, fake in (
        ("read_topic", read_topic),
        ("verify_topics", verify_topics),
        ("consuming", consuming),
        ("spans_of", spans_of),
        ("_backwards", backwards),
    ):
        monkeypatch.setattr(topic_reader, name, fake)
    monkeypatch.setattr("streams.topics.verify_topics", verify_topics)
    monkeypatch.setattr(alerts, "read_changes", read_changes)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def check_report(result: Result, count: int) -> None:
    """Standard error has a line for each of the first 20 records, and the number of all at the end."""
    lines = result.stderr.splitlines()
    positions = [
        match[1] for line in lines if (match := re.match(r"skipped (\S+) \(key .*\), which this version", line))
    ]
    assert len(positions) == len(set(positions)) == min(count, 20)
    assert lines[-1] == f"{count} records skipped"
    assert "\x1b" not in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("output", ["text", "json"])
def test_alerts_skips_foreign_records(monkeypatch: pytest.MonkeyPatch, output: str) -> None:
    key, value, _ = GOOD["alert"]
    foreign = around(key, value)
    serve(monkeypatch, {"churn-alerts": records("churn-alerts", foreign)})
    result = run("alerts", "--format", output)
    assert result.exit_code == 0
    assert result.stdout.count("c1") >= 1
    if output == "json":
        assert len(result.stdout.splitlines()) == 1
    check_report(result, len(foreign) - 1)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_customer_shows_the_newest_usable_score_and_alert(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Rule: foreign records under the customer's key are skipped, back to the newest good one."""
    score, alert = orjson.dumps(score_of("c1")), life("c1")[1][1]
    topics: dict[str, list[Any]] = {"churn-metrics": []}
    for topic, value in (("churn-scores", score), ("churn-alerts", alert)):
        topics[topic] = records(topic, [ForeignRecord("good", b"c1", value), *foreign_records(b"c1", value)])
    serve(monkeypatch, topics)
    result = run("customer", "c1", *options)
    assert result.exit_code == 0
    assert "acknowledged" in result.stdout
    assert result.stderr.splitlines()[-1].endswith("records skipped")
    assert "Traceback" not in result.output


def test_customer_whose_only_score_is_foreign_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    only = ForeignRecord("not JSON", b"c1", b"not json")
    serve(monkeypatch, {"churn-scores": records("churn-scores", [only]), "churn-alerts": []})
    result = run("customer", "c1")
    assert result.exit_code == 1
    assert "customer c1 has no score" in result.stderr
    assert "1 record skipped" in result.stderr


@pytest.mark.parametrize(
    ("command", "names", "shown"),
    [
        ("retention", ("retention",), None),
        ("experience", ("goals", "labels"), "report"),
        ("purchases", ("purchases", "spending"), None),
    ],
)
def test_reports_skip_foreign_records(
    monkeypatch: pytest.MonkeyPatch, command: str, names: tuple[str, ...], shown: str | None
) -> None:
    """Rule: only records under the keys of the report are read. What is left is one good record of each kind."""
    foreign = [each for name in names for each in around(*GOOD[name][:2])]
    of_command = [each for each in foreign if (each.key or b"").startswith(command.encode())]
    serve(monkeypatch, {"churn-metrics": records("churn-metrics", foreign)})
    result = CliRunner().invoke(main, [command])
    assert result.exception is None or isinstance(result.exception, SystemExit | ChurnSignalsError), result.exception
    check_report(result, len(of_command) - len(names))
    if shown is not None:
        assert shown in result.stdout


def test_sums_that_contradict_each_other_give_one_sentence() -> None:
    with pytest.raises(ChurnSignalsError, match="the metrics topic holds sums that contradict each other"):
        consistent("the metrics topic", lambda: 1 / 0)
    with pytest.raises(KeyError):
        consistent("the metrics topic", lambda: dict[str, int]()["x"], KeyError)


def test_nothing_is_reported_without_foreign_records(capsys: pytest.CaptureFixture[str]) -> None:
    with skipped.reporting_skipped():
        pass
    with skipped.reporting_skipped() as unusable:
        unusable.skip(record("t", None, b""), "why")
    assert capsys.readouterr().err.splitlines() == [
        "skipped t/0@0 (key none), which this version cannot read: why",
        "1 record skipped",
    ]
