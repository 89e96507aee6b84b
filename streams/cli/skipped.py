"""Report the records that a command skips, on standard error: each with its position, and their number at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click

from streams.errors import ChurnSignalsError
from streams.kafka.unusable_records import UnusableRecords, key_text
from streams.rendering.terminal import printable

T = TypeVar("T")
# A topic full of such records must not flood the terminal.
_SHOWN: Final = 20


@contextmanager
def reporting_skipped() -> Iterator[UnusableRecords]:
    """Yield a counter that prints the first 20 records, and print a last line with the number of all."""
    shown = 0

    def report(record: Any, reason: str) -> None:
        nonlocal shown
        shown += 1
        if shown <= _SHOWN:
            position = f"{record.topic}/{record.partition}@{record.offset}"
            key = key_text(record.key)
            click.echo(f"skipped {position} (key {key}), which this version cannot read: {printable(reason)}", err=True)

    unusable = UnusableRecords(report)
    try:
        yield unusable
    finally:
        if unusable.total:
            records = "1 record" if unusable.total == 1 else f"{unusable.total:,} records"
            click.echo(f"{records} skipped", err=True)


def consistent(source: str, compute: Callable[[], T], *ordinary: type[Exception]) -> T:
    """Return a report that is computed from published sums. Errors of the `ordinary` types pass.

    Raises:
        ChurnSignalsError: the sums contradict each other, because another program wrote some of them.
    """
    try:
        return compute()
    except ordinary:
        raise
    except (ArithmeticError, ValueError, LookupError, TypeError) as failure:
        raise ChurnSignalsError(
            f"{source} holds sums that contradict each other ({type(failure).__name__}), so that no report follows from"
            " them. Check which programs may write to this topic."
        ) from failure
