"""Logging of a process: one line per message of the program and its libraries, as text or as JSON.

    our modules ── get_logger ──┐
    aiokafka, faust, mode ──────┼──► RedactingFilter ──► RateLimitFilter ──► time, level ──► mask ──► text or JSON
    asyncio, warnings ──────────┘    no event values     no floods                          no secrets   on stderr

The message is complete for people. Fields (topic, partition, offset ...) are for machines and appear in JSON only. No
line contains a value of an event: texts of exceptions of other libraries are omitted, and only `FIELDS` are written.

Tested by tests/streams/test_logs.py and tests/security/test_customer_data.py.
"""

from __future__ import annotations

import asyncio
import contextlib
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

from streams.errors import ChurnSignalsError
from streams.settings import MASK, Settings

# Allowed fields of a line. Other fields that a library attaches are not written.
FIELDS: Final = (
    "role", "version", "group", "brokers", "topic", "partition", "partitions", "offset", "generation", "repeats"
)  # fmt: skip

# While no broker responds, aiokafka logs 1,100 lines/s: one per connection attempt.
REPEAT_AFTER_S: Final = 10.0
# Our own lines each concern another record or partition: 20 of them show the pattern, 1,000/s would fill the disk.
OWN_REPEATS: Final = 20
# Limits memory: a library that formats values into its messages creates a new kind with each line.
_KINDS_MAX: Final = 1_000

# Prevents a full pipe behind standard error from blocking the exit.
_FLUSH_S: Final = 0.5

# At DEBUG these libraries log raw requests, including the SASL password and event values.
_NEVER_DEBUG: Final = ("aiokafka", "faust", "mode")
# Exceptions of these modules and classes concern brokers, files and connections. All others may quote an event.
_SAFE_MODULES: Final = ("streams", "models", "aiokafka")
_SAFE_CLASSES: Final = (OSError, ImportError)

OMITTED: Final = "text omitted, as it may quote an event"


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log.error("%s/%d: ...", topic, partition, topic=topic, partition=partition)`.

    It passes all messages to the standard library's logger of that name, also before `configure`.
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
    """Configure logging to stderr: our messages at the configured level, those of the libraries from WARNING.

    Args:
        settings: level, format, and secrets to mask.
        role: if given, log a first line with role, version, group and brokers.
        secrets: further texts to mask.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(settings, terminal=sys.stderr.isatty(), secrets=secrets))
    handler.addFilter(RedactingFilter())
    debugging = settings.log_level == "DEBUG"
    if not debugging:
        handler.addFilter(RateLimitFilter())
    root = logging.getLogger()
    for previous in list(root.handlers):
        root.removeHandler(previous)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    for library in _NEVER_DEBUG:
        logging.getLogger(library).setLevel(logging.INFO if debugging else logging.WARNING)
    if not debugging:
        for module in ("faust_app", "consumer_thread"):  # Faust logs its service names here
            logging.getLogger(f"streams.engine.{module}").setLevel(logging.WARNING)
        # aiokafka logs ordinary events of a starting or rebalancing group as errors.
        logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda hook: _uncaught(hook.exc_type, hook.exc_value or hook.exc_type(), hook.exc_traceback)
    if role is not None:
        _log_startup(settings, role)


def formatter(settings: Settings, *, terminal: bool, secrets: Iterable[str] = ()) -> logging.Formatter:
    """Return the formatter of log records: JSON for `CHURN_LOG_FORMAT=json`, or for `auto` without a terminal."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not terminal)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=FIELDS), _add_metadata],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _Mask(settings, secrets),
            _as_json if as_json else _as_text,
        ],
    )


def exit_now(code: int) -> None:
    """Exit at once, even if threads are still waiting for a broker or for a full pipe."""
    flushing = threading.Thread(target=flush_output, name="last line", daemon=True)
    flushing.start()
    flushing.join(_FLUSH_S)
    os._exit(code)


def flush_output() -> None:
    """Write what the log and the standard streams have buffered."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed
            stream.flush()


def handle_orphaned_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Exception handler of an event loop: Kafka errors of abandoned futures are logged at DEBUG only.

    A fenced producer abandons its futures, and a consumer that lost its group abandons an offset commit. The owner has
    already reported the cause of both.
    """
    if isinstance(context.get("exception"), KafkaError):
        logging.getLogger(__name__).debug("Kafka error of an abandoned future: %r", context["exception"])
    else:
        loop.default_exception_handler(context)


def safe_error_text(error: BaseException) -> str:
    """Render an exception for the log, with its text only if that cannot quote an event.

    >>> safe_error_text(ValueError("could not convert string to float: 'anna@example.org'"))
    'ValueError (text omitted, as it may quote an event)'
    >>> safe_error_text(FileNotFoundError(2, "No such file or directory", "churn.toml"))
    "FileNotFoundError: [Errno 2] No such file or directory: 'churn.toml'"
    """
    kind = type(error)
    if kind.__module__.partition(".")[0] in _SAFE_MODULES or isinstance(error, _SAFE_CLASSES):
        return f"{kind.__name__}: {error}"
    return f"{kind.__name__} ({OMITTED})"


def error_location(error: BaseException) -> str:
    """Return the file and line where an exception was raised (innermost frame).

    >>> error_location(ValueError("never raised"))
    'unknown location'
    """
    frames = traceback.extract_tb(error.__traceback__)
    return f"{'/'.join(frames[-1].filename.split('/')[-2:])}:{frames[-1].lineno}" if frames else "unknown location"


class RedactingFilter(logging.Filter):
    """Removes the text of exceptions that may quote an event."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's exceptions and add the location of our errors as fields. Never drops a record."""
        arguments = record.args if isinstance(record.args, tuple) else ()
        candidates = (*arguments, (record.exc_info or (None, None))[1])
        errors = [candidate for candidate in candidates if isinstance(candidate, BaseException)]
        for error in errors:
            location = error.location if isinstance(error, ChurnSignalsError) else {}
            for name, value in location.items():
                if not hasattr(record, name):
                    setattr(record, name, value)
        if record.exc_info and record.name.startswith("aiokafka") and isinstance(record.exc_info[1], KafkaError):
            # An outage, not a bug: the error says all, and its traceback would be one for each partition.
            record.msg, record.args = f"{record.getMessage()}: {safe_error_text(record.exc_info[1])}", None
            record.exc_info = None
        elif arguments and errors:
            record.args = tuple(
                _SafeError(argument) if isinstance(argument, BaseException) else argument for argument in arguments
            )
        return True


class _SafeError:
    """Replaces an exception among the arguments of a line."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __str__(self) -> str:
        return safe_error_text(self._error).removeprefix(f"{type(self._error).__name__}: ")

    def __repr__(self) -> str:
        return safe_error_text(self._error)


class RateLimitFilter(logging.Filter):
    """Limits each kind of line per 10 s: 1 from aiokafka, 20 from other loggers. The next line counts the others."""

    def __init__(self) -> None:
        super().__init__()
        # Kind -> (start of the window in s, lines written, lines suppressed).
        self._windows: dict[tuple[str, str], tuple[float, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record."""
        kind = (record.name, str(record.msg))  # the unformatted message: the node or topic does not matter
        limit = 1 if record.name.startswith("aiokafka") else OWN_REPEATS
        since, written, suppressed = self._windows.get(kind, (float("-inf"), 0, 0))
        if record.created - since < REPEAT_AFTER_S:
            if written >= limit:
                self._windows[kind] = since, written, suppressed + 1
                return False
            self._windows[kind] = since, written + 1, suppressed
            return True
        if len(self._windows) >= _KINDS_MAX:
            self._windows.clear()
        self._windows[kind] = record.created, 1, 0
        if suppressed:
            record.msg = f"{record.msg} ({suppressed} similar lines suppressed)"
            record.repeats = suppressed
        return True


class _Mask:
    """Replaces secrets of the settings, and others, in all texts of a line, in case other measures fail."""

    def __init__(self, settings: Settings, others: Iterable[str]) -> None:
        self._settings = settings
        self._secrets = dict.fromkeys(secret for secret in others if secret)

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        self._secrets.update(dict.fromkeys(self._settings.secret_texts()))  # also those before a rotation stay masked
        return {name: self._masked(value) if isinstance(value, str) else value for name, value in line.items()}

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


def _add_metadata(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    record: logging.LogRecord = line["_record"]
    line["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line["level"], line["logger"] = record.levelname, record.name
    exception = line.pop("exc_info", None)
    if isinstance(exception, tuple) and exception[1] is not None:
        line["exception"] = "\n".join(_safe_traceback(exception[1]))
    return line


def _as_text(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    time = line["time"].replace("T", " ").replace(".", ",").removesuffix("Z")
    text = f"{time} {line['level']:<7} {line['logger']}: {line['event']}"
    return f"{text}\n{line['exception']}" if "exception" in line else text


def _as_json(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
    first = {"time": line["time"], "level": line["level"].lower(), "logger": line["logger"], "message": line["event"]}
    rest = {name: line[name] for name in (*FIELDS, "exception") if name in line}
    return orjson.dumps({**first, **rest}, default=str, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def _safe_traceback(error: BaseException) -> Iterator[str]:
    """Yield a traceback without texts that may quote an event; the cause comes first, as in Python's tracebacks."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _safe_traceback(cause)
        yield "\nwhich led to:\n"
    yield "Traceback (most recent call last):"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    yield safe_error_text(error)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("stopped by an unexpected error: %r", error, exc_info=(kind, error, trace))


def _log_startup(settings: Settings, role: str) -> None:
    fields: dict[str, Any] = {
        "role": role,
        "version": version("churn-signals"),
        "group": settings.kafka_group_id,
        "brokers": settings.kafka_bootstrap_servers,
    }
    log.info(
        "churn-signals %s %s: group %s, brokers %s (%s)",
        fields["version"],
        role,
        fields["group"],
        fields["brokers"],
        settings.kafka_security_protocol,
        **fields,
    )
