"""Read the events of a file in order of time: refuse an unsorted file, or sort it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from streams.errors import ChurnSignalsError
from streams.input_file import InputFile
from streams.sorted_lines import sorted_lines

if TYPE_CHECKING:
    from models.events.event import Event


class OrderGuard:
    """Stops at a file that is not sorted, because a replay of it would give wrong results without an error.

    Args:
        file: The file's name, for the error.

    Raises:
        ChurnSignalsError: on the event that shows that the file is not sorted.
    """

    def __init__(self, file: str) -> None:
        from models.events.log_order import LogOrder

        self._file, self._order = file, LogOrder()

    def add(self, line: int, event: Event) -> None:
        """Add the event of the next line."""
        order, late = self._order, self._order.late
        order.add(line, event.time_ms)
        if order.late != late and order.is_unsorted:
            raise ChurnSignalsError(
                f"{self._file} is not sorted by time: {order.late:,} of {order.events:,} events are more than a day"
                f" earlier than those before them, the first in line {order.first_late_line:,}. Repeat with --sort."
            )


def numbered_lines(lines: InputFile, *, sort: bool) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their numbers, from 1 on; with `sort`, in order of event time.

    Raises:
        ChurnSignalsError: a temporary file for sorting cannot be written.
    """
    if not sort:
        yield from enumerate(lines, 1)
        return
    try:
        yield from sorted_lines(lines)
    except OSError as error:
        raise ChurnSignalsError(
            f"{lines.path} cannot be sorted: {error.strerror or error}. TMPDIR names the directory for temporary files."
        ) from None


def refuse_unsorted(file: str, lines: Iterator[tuple[int, bytes]]) -> None:
    """Read a whole file before it is used. Raises ChurnSignalsError if it is not sorted."""
    from models.events.event import Event, decode

    guard = OrderGuard(file)
    for number, line in lines:
        event = decode(line, (), None) if line else None
        if isinstance(event, Event):
            guard.add(number, event)
