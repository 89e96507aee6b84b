"""`churn-signals lag`: show lag, owner, age of the oldest waiting record and verdict of each partition."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from streams.admin.lag import Judged, PartitionLag, measure
from streams.admin.lag import watch as watch_lag
from streams.admin.lag_rules import SAMPLES, Verdict
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.rendering.terminal import printable, stdout_console
from streams.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

EXIT_CODES = {
    Verdict.UNKNOWN: 0,
    Verdict.OK: 0,
    Verdict.WARN: 10,
    Verdict.STALL: 11,
    Verdict.STOP: 11,
    Verdict.REWIND: 11,
}
_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.UNKNOWN: "dim"}

# Workers commit their position to the group once a second, so ten samples see ten positions.
DEFAULT_WINDOW_S = 10.0
# One hour. Longer histories are what Prometheus is for.
_MAX_WINDOW_S = 3600.0


@click.command()
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(0, _MAX_WINDOW_S),
    default=DEFAULT_WINDOW_S,
    show_default=True,
    metavar="SECONDS",
    help=f"Take {SAMPLES} samples within this many seconds; 0 takes one sample and gives no verdict.",
)
@click.option("--watch", "-w", is_flag=True, help="Keep sampling with a sliding window, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line and partition.")
def lag(window_s: float, watch: bool, as_json: bool) -> None:
    """Show the owner, the lag and a verdict for every partition of the events and labels topics.

    The verdicts follow the rules of LinkedIn's Burrow, which need no threshold: OK; WARN (events are applied, but the
    lag never shrinks); STALL (there is an owner, but nothing is applied); STOP (there is no owner, and events wait);
    REWIND (the position went backwards, or the topic no longer holds it); UNKNOWN (too few samples).

    Seconds are the age of the oldest waiting record, by its timestamp. Offsets include transaction markers. Workers
    commit their position once a second. With a window much shorter than ten seconds, busy workers look stalled.

    Exit codes of the worst partition, with --watch of the last sample: 0 OK or UNKNOWN, 10 WARN, 11 STALL, STOP or
    REWIND.
    """
    if watch and not window_s:
        raise click.UsageError("--watch needs a --window above 0.")
    settings = Settings.from_environment()
    printer = _JsonPrinter() if as_json else _TablePrinter(live=watch and sys.stdout.isatty())
    rows = run_client(_watch(settings, window_s, printer) if watch else _once(settings, window_s, printer))
    sys.exit(max((EXIT_CODES[verdict] for _, verdict in rows), default=0))


async def _once(settings: Settings, window_s: float, printer: _JsonPrinter | _TablePrinter) -> list[Judged]:
    if not window_s:
        rows = [(row, Verdict.UNKNOWN) for row in await measure(settings)]
    else:
        async with aclosing(watch_lag(settings, window_s, asyncio.Event())) as samples:
            rows = [await anext(samples) for _ in range(SAMPLES)][-1]
    printer.print_rows(rows)
    return rows


async def _watch(settings: Settings, window_s: float, printer: _JsonPrinter | _TablePrinter) -> list[Judged]:
    rows: list[Judged] = []
    with stop_on_signal() as stop, printer:
        async with aclosing(watch_lag(settings, window_s, stop)) as samples:
            async for rows in samples:
                printer.print_rows(rows)
    return rows


class _JsonPrinter(nullcontext[None]):
    """Prints each sample as JSON lines."""

    def print_rows(self, rows: list[Judged]) -> None:
        import orjson

        for row, verdict in rows:
            document = {name: value for name, value in asdict(row).items() if name not in ("oldest_ms", "rebalancing")}
            click.echo(orjson.dumps({**document, "lag": row.lag, "seconds": row.seconds, "status": verdict}))


class _TablePrinter:
    """Prints each sample as a table: updated in place if `live`, otherwise one after the other."""

    def __init__(self, *, live: bool) -> None:
        self._live: Any = None
        self._console, self._printed = stdout_console(), False
        if live:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def print_rows(self, rows: list[Judged]) -> None:
        if self._live is not None:
            self._live.update(_table(rows), refresh=True)
            return
        if self._printed:
            self._console.print()
        self._console.print(_table(rows))
        self._printed = True


def _table(rows: list[Judged]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("topic")
    for name in ("partition", "position", "end", "lag", "seconds"):
        table.add_column(name, justify="right")
    for name in ("status", "owner"):
        table.add_column(name)
    for row, verdict in rows:
        position = "none" if row.committed is None else f"{row.committed:,}"
        figures = (str(row.partition), position, f"{row.end:,}", f"{row.lag:,}", f"{row.seconds:,.1f}")
        table.add_row(row.topic, *figures, Text(verdict, _STYLES.get(verdict, "bold red")), _owner(row))
    return table


def _owner(row: PartitionLag) -> str:
    """Describe the owner of a partition.

    >>> _owner(PartitionLag("churn-signals", "customer-events", 0, 5, 0, 9, 0, None, 0))
    'no owner in churn-signals'
    """
    if row.owner is None:
        return printable(f"{row.group} is rebalancing" if row.rebalancing else f"no owner in {row.group}")
    return printable(f"{row.owner.client} at {row.owner.host}")
