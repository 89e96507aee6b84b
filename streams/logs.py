"""The log of a process: our own words and those of the libraries, a line each, for people or for machines.

    our modules ── get_logger ──┐
    aiokafka, faust, mode ──────┼──► Discreet ──► Seldom ──► facts, time, level ──► mask ──► text or JSON ──► stderr
    asyncio, warnings ──────────┘   no values     no floods                       no secrets

A sentence says everything for a person; the fields beside it (topic, partition, offset ...) are for machines and are
written as JSON only. No line holds a value of an event: what an exception of somebody else says is left out, and only
the fields of `FIELDS` are written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final

import orjson
import structlog
from aiokafka.errors import KafkaError
from structlog.typing import EventDict, WrappedLogger

from streams.settings import MASK, Settings

# What a line may say beside its sentence. Anything else that a library attaches is not written.
FIELDS: Final = (
    "role", "version", "group", "brokers", "topic", "partition", "partitions", "offset", "generation", "repeats"
)  # fmt: skip

# While no broker answers, aiokafka says so 1,100 times a second: every connection that it tries to make.
REPEAT_AFTER_S: Final = 10.0
# Our own lines are each about another record or partition: twenty of a kind are a pattern, a thousand are a full disk.
OWN_REPEATS: Final = 20
# Kinds of lines that are remembered; a library that writes its values into the words makes a kind of each.
_KINDS_MAX: Final = 1_000

# Requests as they are sent are no log: at DEBUG aiokafka writes the password that it gives the broker, and events.
_NEVER_DEBUG: Final = ("aiokafka", "faust", "mode")
# Their exceptions are about brokers, files and connections. All others may quote what they choked on.
_TELLING_MODULES: Final = ("streams", "models", "aiokafka")
_TELLING_CLASSES: Final = (OSError, ImportError)

WITHHELD: Final = "its text is left out, as it may quote an event"


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: `log.error("%s/%d: ...", topic, partition, topic=topic, partition=partition)`.

    It hands everything on to the standard library's logger of that name, whatever is configured.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_args_and_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


log = get_logger(__name__)


def configure(settings: Settings, role: str | None = None, secrets: Iterable[str] = ()) -> None:
    """Our own words at the chosen level, those of the libraries when something is wrong; all of them to stderr.

    With a role, the first line says what runs here: role, version, group and brokers. `secrets` are masked as those of
    the settings are.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings, terminal=sys.stderr.isatty(), secrets=secrets))
    handler.addFilter(RedactingFilter())
    debugging = settings.log_level == "DEBUG"
    if not debugging:
        handler.addFilter(RateLimitFilter())
    root = logging.getLogger()
    for before in list(root.handlers):
        root.removeHandler(before)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    for library in _NEVER_DEBUG:
        logging.getLogger(library).setLevel(logging.INFO if debugging else logging.WARNING)
    if not debugging:
        logging.getLogger("streams.engine.faust_app").setLevel(logging.WARNING)  # Faust logs its services' names there
        # Ordinary events of a starting or rebalancing group, logged as errors by aiokafka.
        logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda hook: _uncaught(hook.exc_type, hook.exc_value or hook.exc_type(), hook.exc_traceback)
    if role is not None:
        _introduce(settings, role)


def formatter(settings: Settings, *, terminal: bool, secrets: Iterable[str] = ()) -> logging.Formatter:
    """What makes a line of a record: text, or JSON for `CHURN_LOG_FORMAT=json` and where nobody sits."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not terminal)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=FIELDS), _facts],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _Mask(settings, secrets),
            _as_json if as_json else _as_text,
        ],
    )


def exit_now(code: int) -> None:
    """End although a thread of the consumer may still wait for a broker."""
    logging.shutdown()
    os._exit(code)


def handle_orphaned_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A loop's handler of what nobody waits for any more: of Kafka's errors the owner has told what they mean.

    A fenced producer leaves futures behind, a zombie's consumer the commit of an offset in a group that went on.
    """
    if isinstance(context.get("exception"), KafkaError):
        logging.getLogger(__name__).debug("left behind: %r", context["exception"])
    else:
        loop.default_exception_handler(context)


def safe_error_text(error: BaseException) -> str:
    """An exception as a log may name it: its text only if that cannot quote an event.

    >>> safe_error_text(ValueError("could not convert string to float: 'anna@example.org'"))
    'ValueError (its text is left out, as it may quote an event)'
    >>> safe_error_text(FileNotFoundError(2, "No such file or directory", "churn.toml"))
    "FileNotFoundError: [Errno 2] No such file or directory: 'churn.toml'"
    """
    kind = type(error)
    if kind.__module__.partition(".")[0] in _TELLING_MODULES or isinstance(error, _TELLING_CLASSES):
        return f"{kind.__name__}: {error}"
    return f"{kind.__name__} ({WITHHELD})"


def error_location(error: BaseException) -> str:
    """Where it was raised: file and line, innermost.

    >>> error_location(ValueError("never raised"))
    'nowhere'
    """
    frames = traceback.extract_tb(error.__traceback__)
    return f"{'/'.join(frames[-1].filename.split('/')[-2:])}:{frames[-1].lineno}" if frames else "nowhere"


class RedactingFilter(logging.Filter):
    """Exceptions in a line say their name, and their text only if it cannot quote an event."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; what an error of ours knows of its place becomes fields."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        errors = [one for one in (*arguments, (record.exc_info or (None, None))[1]) if isinstance(one, BaseException)]
        for error in errors:
            for name, value in getattr(error, "place", {}).items():
                if not hasattr(record, name):
                    setattr(record, name, value)
        if arguments and errors:
            record.args = tuple(_SafeError(one) if isinstance(one, BaseException) else one for one in arguments)
        return True


class _SafeError:
    """An exception among a line's arguments."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        words = safe_error_text(self._error)
        return words.removeprefix(f"{type(self._error).__name__}: ")

    def __repr__(self) -> str:
        return safe_error_text(self._error)


class RateLimitFilter(logging.Filter):
    """Lets through what aiokafka repeats once in ten seconds, a line of anybody else twenty times; then says how often
    it was said in between."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], tuple[float, int, int]] = {}  # since when, lines written, lines left out

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        kind = (record.name, str(record.msg))  # before its arguments: the words, not the node or the topic
        limit = 1 if record.name.startswith("aiokafka") else OWN_REPEATS
        since, written, unsaid = self._said.get(kind, (float("-inf"), 0, 0))
        if record.created - since < REPEAT_AFTER_S:
            if written >= limit:
                self._said[kind] = since, written, unsaid + 1
                return False
            self._said[kind] = since, written + 1, unsaid
            return True
        if len(self._said) >= _KINDS_MAX:
            self._said.clear()
        self._said[kind] = record.created, 1, 0
        if unsaid:
            record.msg = f"{record.msg} (and {unsaid} times before)"
            record.repeats = unsaid
        return True


class _Mask:
    """Replaces every secret of the settings, and others, wherever it turns up: a net beneath all other care."""

    def __init__(self, settings: Settings, others: Iterable[str]) -> None:
        secrets = [getattr(settings, f.name) for f in dataclasses.fields(settings) if f.metadata["secret"]]
        self._secrets = [secret for secret in (*secrets, *others) if secret]

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {name: self._masked(value) if isinstance(value, str) else value for name, value in line.items()}

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _facts(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    record: logging.LogRecord = line["_record"]
    line["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line["level"], line["logger"] = record.levelname, record.name
    exception = line.pop("exc_info", None)
    if isinstance(exception, tuple) and exception[1] is not None:
        line["exception"] = "\n".join(_traced(exception[1]))
    return line


def _as_text(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    at = line["time"].replace("T", " ").replace(".", ",").removesuffix("Z")
    text = f"{at} {line['level']:<7} {line['logger']}: {line['event']}"
    return f"{text}\n{line['exception']}" if "exception" in line else text


def _as_json(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    first = {"time": line["time"], "level": line["level"].lower(), "logger": line["logger"], "message": line["event"]}
    rest = {name: line[name] for name in (*FIELDS, "exception") if name in line}
    return orjson.dumps({**first, **rest}, default=str, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _traced(error: BaseException) -> Iterator[str]:
    """A traceback without the texts that may quote an event; what caused the error comes first, as Python has it."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _traced(before)
        yield "\nfrom which came:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    yield safe_error_text(error)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("stopped by an error of this program: %r", error, exc_info=(kind, error, trace))


def _introduce(settings: Settings, role: str) -> None:
    facts: dict[str, Any] = {
        "role": role,
        "version": version("churn-signals"),
        "group": settings.kafka_group_id,
        "brokers": settings.kafka_bootstrap_servers,
    }
    log.info(
        "churn-signals %s %s: group %s, brokers %s (%s)",
        facts["version"],
        role,
        facts["group"],
        facts["brokers"],
        settings.kafka_security_protocol,
        **facts,
    )
