"""`churn-signals lag`: what was not applied yet in each partition, who should do it, how old it is, what that means."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from streams.admin.lag import Judged, PartitionLag, measure
from streams.admin.lag import watch as watched
from streams.admin.lag_rules import SAMPLES, Verdict
from streams.cli.ask import ask, console, plain, stopping
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

# Workers tell the group their position once a second: ten samples then hold ten positions.
WINDOW_S = 10.0
# An hour: who looks further back has a Prometheus.
_WINDOW_MOST_S = 3600.0


@click.command()
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(0, _WINDOW_MOST_S),
    default=WINDOW_S,
    show_default=True,
    metavar="SECONDS",
    help=f"Look {SAMPLES} times within so many seconds; 0: look once and judge nothing.",
)
@click.option("--watch", "-w", is_flag=True, help="Go on until Ctrl-C, with a window that moves along.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and partition.")
def lag(window_s: float, watch: bool, as_json: bool) -> None:
    """Show for every partition of events and labels who has it, how far behind it is, and what that means.

    The verdict follows the rules of LinkedIn's Burrow, which need no threshold but some history: OK, WARN (events are
    applied, and the lag never shrinks), STALL (there is an owner, and nothing is applied), STOP (there is none, and
    events wait), REWIND (the position went back, or the topic does not hold it), UNKNOWN (too short a history).

    Seconds are the age of the oldest record that was not applied yet, by its record's timestamp. Offsets count
    transaction markers too. Workers tell their position once a second: in a window much shorter than ten seconds, those
    that are at work look stalled.

    Exit codes, of the worst partition and with --watch of the last look: 0 OK or UNKNOWN, 10 WARN, 11 STALL, STOP or
    REWIND.
    """
    if watch and not window_s:
        raise click.UsageError("--watch needs a --window above 0.")
    settings = Settings.from_environment()
    show = _Lines() if as_json else _Tables(live=watch and sys.stdout.isatty())
    rows = ask(_watch(settings, window_s, show) if watch else _once(settings, window_s, show))
    sys.exit(max((EXIT_CODES[verdict] for _, verdict in rows), default=0))


async def _once(settings: Settings, window_s: float, show: _Lines | _Tables) -> list[Judged]:
    if not window_s:
        rows = [(row, Verdict.UNKNOWN) for row in await measure(settings)]
    else:
        async with aclosing(watched(settings, window_s, asyncio.Event())) as judged:
            rows = [await anext(judged) for _ in range(SAMPLES)][-1]
    show(rows)
    return rows


async def _watch(settings: Settings, window_s: float, show: _Lines | _Tables) -> list[Judged]:
    rows: list[Judged] = []
    with stopping() as stop, show:
        async with aclosing(watched(settings, window_s, stop)) as judged:
            async for rows in judged:
                show(rows)
    return rows


class _Lines(nullcontext[None]):
    """Prints looks as JSON lines."""

    def __call__(self, rows: list[Judged]) -> None:
        import orjson

        for row, verdict in rows:
            document = {name: value for name, value in asdict(row).items() if name not in ("oldest_ms", "rebalancing")}
            click.echo(orjson.dumps({**document, "lag": row.lag, "seconds": row.seconds, "status": verdict}))


class _Tables:
    """Prints looks as tables: one in place on a terminal that is watched, else one after the other."""

    def __init__(self, *, live: bool) -> None:
        self._live: Any = None
        self._console, self._printed = console(), False
        if live:
            from rich.live import Live

            self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, rows: list[Judged]) -> None:
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
        at = "none" if row.committed is None else f"{row.committed:,}"
        figures = (str(row.partition), at, f"{row.end:,}", f"{row.lag:,}", f"{row.seconds:,.1f}")
        table.add_row(row.topic, *figures, Text(verdict, _STYLES.get(verdict, "bold red")), _owner(row))
    return table


def _owner(row: PartitionLag) -> str:
    """Who has it, in few words.

    >>> _owner(PartitionLag("churn-signals", "customer-events", 0, 5, 0, 9, 0, None, 0))
    'nobody in churn-signals'
    """
    if row.owner is None:
        return plain(f"{row.group} is rebalancing" if row.rebalancing else f"nobody in {row.group}")
    return plain(f"{row.owner.client} at {row.owner.host}")
