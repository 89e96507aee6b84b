"""What several commands share: the churn definition, input files, points in time, a progress bar."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

import click

from streams.errors import ChurnSignalsError, ConfigurationError

if TYPE_CHECKING:
    from models.definition.churn_definition import ChurnDefinition
    from models.events.event import Event

DEFAULT_CONFIG = Path("churn.toml")
SHOW_EVERY = 5_000  # lines between two looks at the progress bar

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="What churn means (TOML).",
)


def read_definition(path: Path) -> ChurnDefinition:
    """The churn definition of a file. Raises ConfigurationError with one sentence that names the file."""
    from models.definition.churn_definition import ChurnDefinition
    from models.definition.toml_table import DefinitionError

    try:
        return ChurnDefinition.parse(path.read_text(encoding="utf-8"))
    except DefinitionError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start} is not UTF-8 text.") from None
    except OSError as error:
        hint = " (name yours with --config)" if path == DEFAULT_CONFIG else ""
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}{hint}.") from None


class Time(click.ParamType):
    """A moment given on the command line, as epoch milliseconds in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from models.events.coercion import time_ms

        moment = value if isinstance(value, int) else time_ms(value)
        if moment is None:
            self.fail(
                f"{value!r} is not a time: write RFC 3339 (2014-01-26T00:00:00Z), a date (2014-01-26, its first moment "
                "in UTC) or epoch seconds.",
                param,
                ctx,
            )
        return moment


TIME = Time()


class InputFile:
    """The lines of a plain or gzipped file, or of standard input ("-"), as bytes without their line ends.

    What a file is says its first two bytes, not its name. `position` counts the bytes read from the disk, so that it
    runs to `size` for either kind. Raises ConfigurationError if it cannot be opened, ChurnSignalsError if it is
    damaged further on.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self._raw: IO[bytes] = sys.stdin.buffer if self.path == "-" else open(self.path, "rb")  # noqa: SIM115
            self.size = os.fstat(self._raw.fileno()).st_size if self.path != "-" else 0
            packed = _peek(self._raw) == b"\x1f\x8b"
        except OSError as error:
            raise ConfigurationError(f"{self.path} cannot be read: {error.strerror or error}.") from None
        self._lines: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if packed else self._raw  # type: ignore[assignment]

    @property
    def position(self) -> int:
        return self._raw.tell() if self.size else 0

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        try:
            for number, line in enumerate(self._lines, 1):  # noqa: B007
                yield line.rstrip(b"\r\n")
        except (OSError, EOFError, zlib.error) as error:
            raise ChurnSignalsError(f"{self.path} is damaged after line {number}: {error}.") from None

    def __enter__(self) -> InputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._raw is not sys.stdin.buffer:
            self._lines.close()
            self._raw.close()


def _peek(file: IO[bytes]) -> bytes:
    peek: Any = getattr(file, "peek", None)
    return bytes(peek(2)[:2]) if peek is not None else b""


class ProgressBar:
    """A bar on standard error while the `with` lasts, if that is a terminal; nothing at all if it is not.

    `total` in whatever `advance_to` counts; 0 if it is not known.
    """

    def __init__(self, what: str, total: int = 0, *, shown: bool | None = None) -> None:
        self._progress: Any = None
        if sys.stderr.isatty() if shown is None else shown:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._progress.add_task(what, total=total or None, note="")

    def advance_to(self, done: int, note: str = "") -> None:
        """Say how far it is, and in a few words what was found; cheap enough for every thousandth record."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, note=note)

    def __enter__(self) -> ProgressBar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def events_of(file: str, doing: str) -> Iterator[Event]:
    """The events of a file, a line each; what is none is left out. Raises as `InputFile` does.

    Args:
        doing: what the progress bar says.
    """
    from models.events.event import Event, decode

    with InputFile(file) as lines, ProgressBar(doing, lines.size) as bar:
        for number, line in enumerate(lines):
            if number % SHOW_EVERY == 0:
                bar.advance_to(lines.position)
            event = decode(line, (), None) if line else None
            if isinstance(event, Event):
                yield event
