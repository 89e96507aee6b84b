"""The log of a process: for people or machines, without floods, values of events or secrets."""

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
    made = logging.LogRecord(name, logging.ERROR, "file", 1, "Unable connect to node %s: %s", arguments, None)
    made.created = at_s
    return made


class Written(io.StringIO):
    """What the handler wrote."""

    def lines(self) -> list[str]:
        return self.getvalue().splitlines()

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def root() -> Iterator[None]:
    """`configure` changes the process; afterwards it is as before."""
    loggers = [logging.getLogger(name) for name in ("", "aiokafka", "faust", "mode", "streams.engine.faust_app")]
    coordinator = logging.getLogger("aiokafka.consumer.group_coordinator")
    levels, handlers = [one.level for one in (*loggers, coordinator)], list(logging.getLogger().handlers)
    yield
    for one, level in zip((*loggers, coordinator), levels, strict=True):
        one.setLevel(level)
    logging.getLogger().handlers[:] = handlers
    logging.captureWarnings(False)


def configured(monkeypatch: pytest.MonkeyPatch, role: str | None = None, **settings: Any) -> Written:
    written = Written()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setattr("sys.excepthook", lambda *_: None)
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    logs.configure(Settings(**settings), role)
    return written


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(logs).failed == 0


def test_what_the_client_repeats_is_said_once_in_ten_seconds() -> None:
    """Rule: the first at once, the next after ten seconds with the number in between; a hundred a second are one."""
    seldom = RateLimitFilter()
    said = [
        made.getMessage()
        for made in (record(1_000 + n / 100, "aiokafka", n % 3, "refused") for n in range(2_001))
        if seldom.filter(made)
    ]
    assert said == [
        "Unable connect to node 0: refused",
        "Unable connect to node 1: refused (and 999 times before)",
        "Unable connect to node 2: refused (and 999 times before)",
    ]


def test_our_own_words_are_left_out_only_in_a_flood() -> None:
    """Rule: twenty of a kind in ten seconds are written, whatever record they are about; another kind has its own."""
    seldom = RateLimitFilter()
    assert [seldom.filter(record(1_000, "streams.scoring.event_processor", n, "lost")) for n in range(100)].count(
        True
    ) == OWN_REPEATS
    assert seldom.filter(record(1_000, "aiokafka", 1, "x"))
    assert seldom.filter(record(1_000, "aiokafka.consumer.fetcher", 1, "x"))
    later = record(1_010, "streams.scoring.event_processor", 1, "lost")
    assert seldom.filter(later)
    assert later.getMessage() == "Unable connect to node 1: lost (and 80 times before)"


def test_what_a_library_never_says_twice_does_not_fill_the_memory() -> None:
    """Rule: a library that writes its values into the words is no leak."""
    seldom = RateLimitFilter()
    for n in range(5_000):
        seldom.filter(logging.LogRecord("faust", logging.INFO, "file", 1, f"number {n}", (), None))
    assert len(seldom._said) <= 1_000


@pytest.mark.usefixtures("root")
def test_a_machine_reads_one_object_a_line_with_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: where no terminal is, also what libraries log; the sentence is the same for both."""
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
def test_a_person_reads_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: on a terminal, or where it was asked for; the fields would only repeat what the sentence says."""
    written = configured(monkeypatch, log_format="text")
    get_logger("streams.x").warning("partition %d: late", 3, partition=3)
    assert re.fullmatch(r"\S{10} \S{12} WARNING streams.x: partition 3: late", written.lines()[0])
    on_terminal = formatter(Settings(), terminal=True).format(record(0, "aiokafka", 1, "x"))
    assert on_terminal == "1970-01-01 00:00:00,000 ERROR   aiokafka: Unable connect to node 1: x"
    assert json.loads(formatter(Settings(log_format="json"), terminal=True).format(record(0, "aiokafka", 1, "x")))


@pytest.mark.usefixtures("root")
def test_the_first_line_says_what_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: role, version, group and brokers, once."""
    written = configured(monkeypatch, "worker", kafka_group_id="mine", kafka_bootstrap_servers="k:1,l:2")
    [first] = written.documents()
    assert {name: first[name] for name in ("role", "group", "brokers")} == {
        "role": "worker", "group": "mine", "brokers": "k:1,l:2",
    }  # fmt: skip
    assert re.fullmatch(r"churn-signals \S+ worker: group mine, brokers k:1,l:2 \(PLAINTEXT\)", first["message"])


@pytest.mark.usefixtures("root")
def test_an_error_of_ours_brings_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: topic, partition and offset of the record that ended the process are fields of its last line."""
    written = configured(monkeypatch)
    get_logger("streams.x").error("%s", InputLost("events/3: gone", topic="events", partition=3, offset=9))
    [line] = written.documents()
    assert (line["message"], line["topic"], line["partition"], line["offset"]) == ("events/3: gone", "events", 3, 9)


@pytest.mark.usefixtures("root")
def test_an_error_that_may_quote_an_event_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: in the sentence, in its traceback and in what caused it; the frames stay."""
    written = configured(monkeypatch)
    try:
        try:
            float(MAIL)
        except ValueError as error:
            raise RuntimeError(f"{MAIL} is no number") from error
    except RuntimeError as error:
        get_logger("streams.x").exception("stopped by an error of this program: %r", error)
        logging.getLogger("mode").error("Crashed reason=%r", error, exc_info=True)
    assert len(written.documents()) == 2
    for line in written.documents():
        assert "RuntimeError" in line["message"]
        assert "test_logs.py" in line["exception"]
        assert "ValueError" in line["exception"]
    assert MAIL not in written.getvalue()


@pytest.mark.usefixtures("root")
def test_a_secret_is_masked_wherever_it_turns_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: in a sentence, in a field and in the text of an error."""
    written = configured(monkeypatch, kafka_sasl_password="hunter2", kafka_ssl_key_password="hunter3")
    get_logger("streams.x").error("sent hunter2 to %s", OSError("hunter3"), topic="hunter2")
    assert "hunter" not in written.getvalue()
    assert written.documents()[0]["topic"] == MASK


@pytest.mark.usefixtures("root")
def test_debugging_does_not_show_what_is_sent_to_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: at DEBUG aiokafka writes every request, the password of a login and events among them: it never does."""
    written = configured(monkeypatch, log_level="DEBUG")
    for library in ("aiokafka.conn", "aiokafka.producer.sender", "faust.transport", "mode"):
        logging.getLogger(library).debug("Request to %s: %s", "k:1", b"\0user\0hunter2")
    get_logger("streams.x").debug("ours")
    assert [line["message"] for line in written.documents()] == ["ours"]


def test_lines_about_a_record_or_a_partition_say_which() -> None:
    """Rule: every warning and error of these modules has topic and partition (or partitions) as fields."""
    found = 0
    for name in ABOUT_PARTITIONS:
        for node in ast.walk(ast.parse((ROOT / "streams" / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("log.warning", "log.error"):
                given = {keyword.arg for keyword in node.keywords}
                assert None in given or ("topic" in given and given & {"partition", "partitions"}), ast.unparse(node)
                assert given - {None} <= set(FIELDS)
                found += 1
    assert found >= 9


def test_discretion_never_drops_a_line() -> None:
    assert RedactingFilter().filter(record(0, "streams.x", ValueError("a"), 1))
