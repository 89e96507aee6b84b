"""Logs: for people or machines, without floods, event values or secrets."""

from __future__ import annotations

import ast
import doctest
import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from streams import logs
from streams.errors import InputLost
from streams.logs import FIELDS, OWN_REPEATS, RateLimitFilter, RedactingFilter, formatter, get_logger
from streams.settings import MASK, Settings
from tests.paths import ROOT

ABOUT_PARTITIONS = (
    "engine/ownership",
    "engine/partition_runner",
    "engine/recovery",
    "engine/takeover",
    "scoring/event_router",
    "training/trainer",
    "training/learner",
    "kafka/model_reader",
)
MAIL = "anna@example.org"


def record(at_s: float, name: str, *arguments: object) -> logging.LogRecord:
    log_record = logging.LogRecord(name, logging.ERROR, "file", 1, "Unable connect to node %s: %s", arguments, None)
    log_record.created = at_s
    return log_record


class Written(io.StringIO):
    """Captures the output of the log handler."""

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def root() -> Iterator[None]:
    """Restore the logging configuration of the process, which `configure` changes."""
    loggers = [
        logging.getLogger(name)
        for name in ("", "aiokafka", "faust", "mode", "streams.engine.faust_app", "streams.engine.consumer_thread")
    ]
    loggers.append(logging.getLogger("aiokafka.consumer.group_coordinator"))
    levels, handlers = [logger.level for logger in loggers], list(logging.getLogger().handlers)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


def configured(monkeypatch: pytest.MonkeyPatch, role: str | None = None, **settings: Any) -> Written:
    written = Written()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    logs.configure(Settings(**settings), role)
    return written


def test_docstring_examples_are_correct() -> None:
    assert doctest.testmod(logs).failed == 0


def test_repeated_lines_of_the_client_are_written_once_in_ten_seconds() -> None:
    """Rule: the first line is written at once, the next after 10 s with the number of suppressed lines."""
    rate_limit = RateLimitFilter()
    records = [record(1_000 + n / 100, "aiokafka", n % 3, "refused") for n in range(2_001)]
    assert [written.getMessage() for written in records if rate_limit.filter(written)] == [
        "Unable connect to node 0: refused",
        "Unable connect to node 1: refused (999 similar lines suppressed)",
        "Unable connect to node 2: refused (999 similar lines suppressed)",
    ]


def test_our_own_lines_are_suppressed_only_in_a_flood() -> None:
    """Rule: 20 lines of a kind are written in 10 s, whatever record they concern. Each kind has its own limit."""
    rate_limit = RateLimitFilter()
    written = [rate_limit.filter(record(1_000, "streams.scoring.event_processor", n, "lost")) for n in range(100)]
    assert written.count(True) == OWN_REPEATS
    assert rate_limit.filter(record(1_000, "aiokafka", 1, "x"))
    assert rate_limit.filter(record(1_000, "aiokafka.consumer.fetcher", 1, "x"))
    later = record(1_010, "streams.scoring.event_processor", 1, "lost")
    assert rate_limit.filter(later)
    assert later.getMessage() == "Unable connect to node 1: lost (80 similar lines suppressed)"


def test_rate_limit_memory_is_bounded() -> None:
    """Rule: a library that formats values into its messages causes no memory leak."""
    rate_limit = RateLimitFilter()
    for n in range(5_000):
        rate_limit.filter(logging.LogRecord("faust", logging.INFO, "file", 1, f"number {n}", (), None))
    assert len(rate_limit._windows) <= 1_000


@pytest.mark.usefixtures("root")
def test_json_lines_contain_message_and_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: without a terminal, lines of the program and of libraries are JSON, with the message of the text format."""
    written = configured(monkeypatch)
    get_logger("streams.x").error("%s/%d is gone", "events", 3, topic="events", partition=3, offset=7, mail="a@b.c")
    logging.getLogger("aiokafka").error("node %s is away", 1)
    logging.getLogger("mode").warning("slow", extra={"data": {"mail": "a@b.c"}})
    ours, client, other = written.documents()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ours.pop("time"))
    assert ours == {
        "level": "error", "logger": "streams.x", "message": "events/3 is gone",
        "topic": "events", "partition": 3, "offset": 7,
    }  # fmt: skip
    assert (client["logger"], client["message"]) == ("aiokafka", "node 1 is away")
    assert set(other) == {"time", "level", "logger", "message"}


@pytest.mark.usefixtures("root")
def test_text_lines_contain_the_message_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: text is the format on a terminal or by setting. The message already contains the fields."""
    written = configured(monkeypatch, log_format="text")
    get_logger("streams.x").warning("partition %d: late", 3, partition=3)
    assert re.fullmatch(r"\S{10} \S{12} WARNING streams.x: partition 3: late", written.lines()[0])
    on_terminal = formatter(Settings(), terminal=True).format(record(0, "aiokafka", 1, "x"))
    assert on_terminal == "1970-01-01 00:00:00,000 ERROR   aiokafka: Unable connect to node 1: x"
    assert json.loads(formatter(Settings(log_format="json"), terminal=True).format(record(0, "aiokafka", 1, "x")))


@pytest.mark.usefixtures("root")
def test_first_line_identifies_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: it contains role, version, group and brokers."""
    written = configured(monkeypatch, "worker", kafka_group_id="staging", kafka_bootstrap_servers="k:1,l:2")
    [first] = written.documents()
    assert {name: first[name] for name in ("role", "group", "brokers")} == {
        "role": "worker", "group": "staging", "brokers": "k:1,l:2",
    }  # fmt: skip
    assert re.fullmatch(r"churn-signals \S+ worker: group staging, brokers k:1,l:2 \(PLAINTEXT\)", first["message"])


@pytest.mark.usefixtures("root")
def test_location_of_our_errors_becomes_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the last line of a process has topic, partition and offset of the record that stopped it."""
    written = configured(monkeypatch)
    get_logger("streams.x").error("%s", InputLost("events/3: gone", topic="events", partition=3, offset=9))
    [line] = written.documents()
    assert (line["message"], line["topic"], line["partition"], line["offset"]) == ("events/3: gone", "events", 3, 9)


@pytest.mark.usefixtures("root")
def test_text_of_errors_that_may_quote_an_event_is_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: in the message, in the traceback and in its causes. The class and the stack frames are kept."""
    written = configured(monkeypatch)
    try:
        try:
            float(MAIL)
        except ValueError as error:
            raise RuntimeError(f"{MAIL} is not a number") from error
    except RuntimeError as error:
        get_logger("streams.x").exception("stopped by an unexpected error: %r", error)
        logging.getLogger("mode").error("Crashed reason=%r", error, exc_info=True)
    assert len(written.documents()) == 2
    for line in written.documents():
        assert "RuntimeError" in line["message"]
        assert "test_logs.py" in line["exception"]
        assert "ValueError" in line["exception"]
    assert MAIL not in written.getvalue()


@pytest.mark.usefixtures("root")
def test_secrets_are_masked_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: in messages, in fields and in texts of errors."""
    written = configured(monkeypatch, kafka_sasl_password="hunter2", kafka_ssl_key_password="hunter3")
    get_logger("streams.x").error("sent hunter2 to %s", OSError("hunter3"), topic="hunter2")
    assert "hunter" not in written.getvalue()
    assert written.documents()[0]["topic"] == MASK


@pytest.mark.usefixtures("root")
def test_debug_level_does_not_log_requests_to_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: aiokafka's DEBUG lines contain whole requests, with passwords and events, and are never written."""
    written = configured(monkeypatch, log_level="DEBUG")
    for library in ("aiokafka.conn", "aiokafka.producer.sender", "faust.transport", "mode"):
        logging.getLogger(library).debug("Request to %s: %s", "k:1", b"\0user\0hunter2")
    get_logger("streams.x").debug("ours")
    assert [line["message"] for line in written.documents()] == ["ours"]


def test_lines_about_records_and_partitions_have_location_fields() -> None:
    """Rule: every warning and error of these modules has topic and partition (or partitions) as fields."""
    count = 0
    for name in ABOUT_PARTITIONS:
        for node in ast.walk(ast.parse((ROOT / "streams" / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("log.warning", "log.error"):
                fields = {keyword.arg for keyword in node.keywords}
                assert None in fields or ("topic" in fields and fields & {"partition", "partitions"}), ast.unparse(node)
                assert fields - {None} <= set(FIELDS)
                count += 1
    assert count >= 9


def test_redaction_never_drops_a_line() -> None:
    assert RedactingFilter().filter(record(0, "streams.x", ValueError("a"), 1))


@pytest.mark.usefixtures("root")
def test_kafka_error_of_the_client_is_one_line_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an outage is no bug: aiokafka logs its tracebacks, one for each partition."""
    written = configured(monkeypatch, log_format="json")
    for name in ("aiokafka.producer.sender", "streams.engine.ownership"):
        try:
            raise KafkaConnectionError("closed")
        except KafkaConnectionError:
            logging.getLogger(name).exception("Unexpected error in %s routine", "sender")
    [client, ours] = written.documents()
    assert client["message"] == "Unexpected error in sender routine: KafkaConnectionError: KafkaConnectionError: closed"
    assert "exception" not in client
    assert "Traceback" in ours["exception"]
