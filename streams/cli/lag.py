"""`churn-signals lag`: how many events were not applied yet in each partition, how old they are, and what it means."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from streams.cli.ask import ask, console
from streams.lag import PartitionLag, measure
from streams.settings import Settings

OK, WARN, STOP, REWIND = "OK", "WARN", "STOP", "REWIND"
EXIT_CODES = {OK: 0, WARN: 10, STOP: 11, REWIND: 11}

# Two full batches: what a worker has in hand while it keeps up.
WARN_RECORDS = 10_000


@click.command()
@click.option(
    "--warn",
    type=click.IntRange(0),
    default=WARN_RECORDS,
    show_default=True,
    help="More events behind than this is WARN.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and partition.")
def lag(warn: int, as_json: bool) -> None:
    """Show for every partition of events and labels how far behind the group is, in records and in seconds.

    Seconds are the age of the oldest record that was not applied yet, by its record's timestamp. Offsets count
    transaction markers too, and positions are told once a second.

    Exit codes: 0 all OK, 10 WARN (far behind), 11 STOP (behind, and nobody at work) or REWIND (the group's position
    lies outside of what the topic holds).
    """
    rows = [(row, status_of(row, warn)) for row in ask(measure(Settings.from_environment()))]
    _print_json(rows) if as_json else _print_table(rows)
    sys.exit(max(EXIT_CODES[status] for _, status in rows))


def status_of(row: PartitionLag, warn: int = WARN_RECORDS) -> str:
    """What one look means. Whether a lag shrinks takes two, so that STALL is not told here.

    >>> def look(committed, end, members):
    ...     return status_of(PartitionLag("g", "t", 0, committed, 0, end, members, None, 0))
    >>> look(5, 5, members=1), look(5, 9, members=0), look(9, 5, members=1), look(1, 20_000, members=1)
    ('OK', 'STOP', 'REWIND', 'WARN')
    """
    if row.committed is not None and not row.first <= row.committed <= row.end:
        return REWIND  # the topic was made anew, or events were deleted before they were applied
    if row.lag and not row.members:
        return STOP
    return WARN if row.lag > warn else OK


def _print_json(rows: list[tuple[PartitionLag, str]]) -> None:
    import orjson

    for row, status in rows:
        document = asdict(row)
        del document["oldest_ms"], document["at_ms"]
        click.echo(orjson.dumps({**document, "lag": row.lag, "seconds": row.seconds, "status": status}))


def _print_table(rows: list[tuple[PartitionLag, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("group", "topic"):
        table.add_column(name)
    for name in ("partition", "position", "end", "lag", "seconds", "members"):
        table.add_column(name, justify="right")
    table.add_column("status")
    for row, status in rows:
        at = "none" if row.committed is None else f"{row.committed:,}"
        figures = (str(row.partition), at, f"{row.end:,}", f"{row.lag:,}", f"{row.seconds:,.1f}", str(row.members))
        table.add_row(row.group, row.topic, *figures, status)
    console().print(table)
