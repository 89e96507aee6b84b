"""A progress bar on standard error, and the events of a file read with one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from streams.input_file import InputFile

if TYPE_CHECKING:
    from models.events.event import Event
    from models.events.event_names import EventNames

_ADVANCE_EVERY_LINES = 5_000
T = TypeVar("T")


class ProgressBar:
    """A progress bar that is shown inside a `with` block if standard error is a terminal.

    Args:
        task: What the command does, such as "publishing".
        total: The end of the scale that `advance_to` uses; 0 if it is unknown.
        shown: Show the bar or not, whatever standard error is.
    """

    def __init__(self, task: str, total: int = 0, *, shown: bool | None = None) -> None:
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
            self._task = self._progress.add_task(task, total=total or None, note="")

    def advance_to(self, done: int, note: str = "") -> None:
        """Show how much is done, and a short note. Cheap enough for every thousandth record."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, note=note)

    def following(self, items: Iterable[T], done: Callable[[], int]) -> Iterator[T]:
        """Yield the items, and show now and then how much is done."""
        for number, item in enumerate(items):
            if number % _ADVANCE_EVERY_LINES == 0:
                self.advance_to(done())
            yield item

    def __enter__(self) -> ProgressBar:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


def events_of(file: str, task: str, names: EventNames | None = None) -> Iterator[Event]:
    """Read the valid events of a file with one event per line; skip all other lines. Raises as `InputFile` does.

    An event far ahead of all others gets the time of its neighbours, as in a worker and in a backtest.

    Args:
        file: A path, or "-" for standard input.
        task: The text of the progress bar.
        names: The event names of a churn.toml; only listed names by default.
    """
    from models.definition.churn_definition import GRACE_MS
    from models.pipeline.clock_guard import PlausibleLog

    return PlausibleLog(GRACE_MS).events(_valid_events(file, task, names))


def _valid_events(file: str, task: str, names: EventNames | None) -> Iterator[Event]:
    from models.events.event import Event, decode
    from models.events.event_names import LISTED

    with InputFile(file) as lines, ProgressBar(task, lines.size) as bar:
        for number, line in enumerate(lines):
            if number % _ADVANCE_EVERY_LINES == 0:
                bar.advance_to(lines.position)
            event = decode(line, (), None, None, names or LISTED) if line else None
            if isinstance(event, Event):
                yield event
