"""`churn-signals simulate`: seeded customers with known hazards, to a file or the events topic; the truth beside."""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Final, cast

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from models.simulation import Hazard, Simulation, SimulationSettings
from models.simulation.calendar import DAY_MS
from streams.cli.ask import ask, stopping

if TYPE_CHECKING:
    from models.simulation import SimulatedEvent
    from streams.cli.publish import PublishResult

_GZIP_LEVEL: Final = 4
"""Three times faster than gzip's usual 6, for files that are a tenth larger."""

_EPOCH: Final = datetime(1970, 1, 1)
_PARTIAL: Final = ".partial"
_DAYS: Final = TaskID(0)


@click.command()
@click.option(
    "--customers",
    type=click.IntRange(1, 10_000_000),
    default=1000,
    show_default=True,
    help="Customers at the start; about as many arrive later as leave.",
)
@click.option("--days", type=click.IntRange(1, 20_000), default=180, show_default=True, help="Days to simulate.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2024-01-01",
    show_default=True,
    metavar="DATE",
    help="First day (UTC), fixed so that the same options give the same bytes.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Another seed, other dice."
)
@click.option(
    "--shops",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    help="Share of customers without a subscription, who leave by falling silent.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True),
    show_default="-",
    help="File for the events, one JSON object a line; .gz is compressed, - is standard output.",
)
@click.option("--to-topic", is_flag=True, help="Send the events to the events topic instead, keyed by customer.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    metavar="DAYS",
    help="With --to-topic: so many days of event time pass in a second (without: as fast as Kafka takes them).",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="EVENTS",
    help="With --to-topic: at most so many events a second.",
)
@click.option(
    "--hazards", type=click.Path(dir_okay=False), help="File for the truth: one line per customer and period."
)
@click.option(
    "--hazards-every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="DAYS",
    help="Period of the lines of --hazards.",
)
@click.option(
    "--horizon",
    type=click.IntRange(1, 3650),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Horizon of the probabilities in --hazards.",
)
def simulate(
    customers: int,
    days: int,
    start: datetime,
    seed: int,
    shops: float,
    out: str | None,
    to_topic: bool,
    speed: float | None,
    rate: float | None,
    hazards: str | None,
    hazards_every: int,
    horizon: int,
) -> None:
    """Simulate customers whose true danger of leaving is known.

    Silent fading, sudden stops, failed payments, bad support, happy, automated and seasonal customers cause events in
    the shape that `publish` and `backtest` read, in order of event time. --hazards writes what no model can see: each
    customer's hidden state, its chance to leave that day, and the exact probability to leave within the horizon.

    With --to-topic, Ctrl-C ends it in order: what is on its way is acknowledged, and the count is printed.
    """
    start_ms = (start - _EPOCH).days * DAY_MS
    try:
        settings = SimulationSettings(customers=customers, days=days, start_ms=start_ms, seed=seed, shops=shops)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from error
    _check_target(to_topic, out, speed, rate, start + timedelta(days=days))
    out = out or "-"
    if hazards == out:
        raise click.UsageError(f"--out and --hazards are both {out}: give two files.")
    simulation = Simulation(settings)
    try:
        with _opened(hazards) as truth, _progress(days) as progress:
            every_day = _days(simulation, truth if hazards else None, hazards_every, horizon, progress)
            if to_topic:
                sent = _send(every_day, speed, rate)
            else:
                with _opened(out) as sink:
                    for drawn in every_day:
                        sink.write(b"".join([event.value + b"\n" for event in drawn]))
    except BrokenPipeError:
        raise  # whoever read standard output has seen enough; click ends quietly
    except OSError as error:
        raise click.ClickException(f"{_name(error, out)} cannot be written: {error.strerror or error}.") from error
    if to_topic:
        click.echo(f"{sent}, {simulation.day} of {days} days")


def _check_target(to_topic: bool, out: str | None, speed: float | None, rate: float | None, end: datetime) -> None:
    if not to_topic:
        for name, value in (("--speed", speed), ("--rate", rate)):
            if value is not None:
                raise click.UsageError(f"{name} needs --to-topic: a file is written as fast as it goes.")
        return
    if out is not None:
        raise click.UsageError("--to-topic and --out: give one of them.")
    if end.replace(tzinfo=UTC) > datetime.now(UTC):
        raise click.UsageError(
            f"the last day would end at {end:%Y-%m-%d}, which is to come, and workers clamp events from the future:"
            " give fewer --days or an earlier --start."
        )


def _days(
    simulation: Simulation, truth: IO[bytes] | None, hazards_every: int, horizon: int, progress: Progress
) -> Iterator[list[SimulatedEvent]]:
    """Each day's events; the truth at its beginning is written on the way."""
    events = 0
    for day in range(simulation.settings.days):
        if truth is not None and day % hazards_every == 0:
            truth.write(b"".join(_line(hazard, horizon) for hazard in simulation.hazards(horizon)))
        drawn = simulation.next_day()
        events += len(drawn)
        yield drawn
        progress.update(_DAYS, completed=day + 1, events=events)


def _send(every_day: Iterator[list[SimulatedEvent]], speed: float | None, rate: float | None) -> str:
    """Into the topic, until all is sent or Ctrl-C; what was sent, in words."""
    from streams.cli.publish import publish_events, publish_summary
    from streams.settings import Settings as Process

    process = Process.from_environment()

    async def sending() -> PublishResult:
        values = (event.value for drawn in every_day for event in drawn)
        with stopping() as stop:
            return await publish_events(process, values, rate=rate, days_per_second=speed, stop=stop)

    return publish_summary(ask(sending()), process)


def _name(error: OSError, out: str) -> str:
    return str(error.filename or out).removesuffix(_PARTIAL)


def _line(hazard: Hazard, horizon_days: int) -> bytes:
    line = {
        "customer": hazard.customer,
        "time_ms": hazard.time_ms,
        "kind": hazard.kind,
        "state": hazard.state,
        "subscriber": hazard.subscriber,
        "hazard_daily": round(hazard.hazard_daily, 8),
        f"p_churn_{horizon_days}d": round(hazard.p_churn, 8),
        f"p_involuntary_{horizon_days}d": round(hazard.p_involuntary, 8),
    }
    return msgspec.json.encode(line) + b"\n"


@contextmanager
def _opened(path: str | None) -> Iterator[IO[bytes]]:
    """A file to write to. It appears under its name when it is whole; compressed bytes carry no time and no name."""
    if path is None:
        yield io.BytesIO()
        return
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = path + _PARTIAL
    try:
        with open(partial, "wb") as file:
            if path.endswith(".gz"):
                with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield file
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _progress(days: int) -> Progress:
    """A bar on a terminal's standard error, nothing elsewhere."""
    columns = (
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days, {task.fields[events]:,} events"),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
    progress.add_task("days", total=days, events=0)
    return progress
