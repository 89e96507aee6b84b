"""`churn-signals simulate`: write simulated customers with known hazards to a file or to the events topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from models.simulation import Hazard, Simulation, SimulationSettings
from models.simulation.calendar import DAY_MS
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.output_file import PARTIAL_SUFFIX, open_output

if TYPE_CHECKING:
    from models.simulation import SimulatedEvent
    from streams.kafka.publisher import PublishResult

_EPOCH: Final = datetime(1970, 1, 1)
_DAYS_TASK: Final = TaskID(0)


@click.command()
@click.option(
    "--customers",
    type=click.IntRange(1, 10_000_000),
    default=1000,
    show_default=True,
    help="Number of customers at the start. About as many join later as leave.",
)
@click.option(
    "--days", type=click.IntRange(1, 20_000), default=180, show_default=True, help="Number of days to simulate."
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2024-01-01",
    show_default=True,
    metavar="DATE",
    help="First day (UTC). A fixed default, so that the same options produce the same bytes.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Seed of the random numbers."
)
@click.option(
    "--shops",
    type=click.FloatRange(0, 1),
    default=0.15,
    show_default=True,
    help="Share of customers without a subscription, who churn by inactivity.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True),
    show_default="-",
    help="Output file for the events, one JSON object per line. .gz is compressed; - is standard output.",
)
@click.option("--to-topic", is_flag=True, help="Publish the events to the events topic instead, keyed by customer.")
@click.option(
    "--speed",
    type=click.FloatRange(0, min_open=True),
    metavar="DAYS/S",
    show_default="unlimited",
    help="With --to-topic: days of event time per second.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="EVENTS/S",
    show_default="unlimited",
    help="With --to-topic: maximum rate in events per second.",
)
@click.option(
    "--hazards",
    type=click.Path(dir_okay=False),
    help="Output file for the true hazards, one line per customer and period.",
)
@click.option(
    "--hazards-every",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="DAYS",
    help="Length of a period in --hazards, in days.",
)
@click.option(
    "--horizon",
    type=click.IntRange(1, 3650),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Horizon of the churn probabilities in --hazards, in days.",
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
    """Simulate customers whose true churn hazard is known.

    The customers fade silently, stop suddenly, fail to pay, get bad support, or are happy, automated or seasonal. Their
    events have the format that `publish` and `backtest` read, in order of event time. --hazards writes what no model
    can see: each customer's hidden state, its churn hazard of the day, and the exact churn probability within the
    horizon.

    With --to-topic, Ctrl-C stops after all sent events are acknowledged, and prints their number.
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
    published = ""
    try:
        with open_output(hazards) if hazards else nullcontext() as hazard_file, _progress(days) as progress:
            daily_events = _days(simulation, hazard_file, hazards_every, horizon, progress)
            if to_topic:
                published = _publish(daily_events, speed, rate)
            else:
                with open_output(out) as event_file:
                    for events in daily_events:
                        event_file.write(b"".join([event.value + b"\n" for event in events]))
    except BrokenPipeError:
        raise  # the reader of standard output has closed it; click exits quietly
    except OSError as error:
        raise click.ClickException(f"cannot write {_file_of(error, out)}: {error.strerror or error}.") from error
    if to_topic:
        click.echo(f"{published}, {simulation.day} of {days} days")


def _check_target(to_topic: bool, out: str | None, speed: float | None, rate: float | None, end: datetime) -> None:
    if not to_topic:
        for name, value in (("--speed", speed), ("--rate", rate)):
            if value is not None:
                raise click.UsageError(f"{name} needs --to-topic: a file is written as fast as possible.")
        return
    if out is not None:
        raise click.UsageError("--to-topic and --out: give one of them.")
    if end.replace(tzinfo=UTC) > datetime.now(UTC):
        raise click.UsageError(
            f"the last day would end at {end:%Y-%m-%d}, in the future, and workers clamp the time of future events:"
            " give fewer --days or an earlier --start."
        )


def _days(
    simulation: Simulation, hazard_file: IO[bytes] | None, hazards_every: int, horizon: int, progress: Progress
) -> Iterator[list[SimulatedEvent]]:
    """Yield each day's events; write the hazards at the start of each period."""
    count = 0
    for day in range(simulation.settings.days):
        if hazard_file is not None and day % hazards_every == 0:
            hazard_file.write(b"".join(_hazard_line(hazard, horizon) for hazard in simulation.hazards(horizon)))
        events = simulation.next_day()
        count += len(events)
        yield events
        progress.update(_DAYS_TASK, completed=day + 1, events=count)


def _publish(daily_events: Iterator[list[SimulatedEvent]], speed: float | None, rate: float | None) -> str:
    """Publish until all events are sent or Ctrl-C; return a summary."""
    from streams.kafka.publisher import publish_events, publish_summary
    from streams.settings import Settings

    settings = Settings.from_environment()

    async def publish_all() -> PublishResult:
        values = (event.value for events in daily_events for event in events)
        with stop_on_signal() as stop:
            return await publish_events(settings, values, rate=rate, days_per_second=speed, stop=stop)

    return publish_summary(run_client(publish_all()), settings)


def _file_of(error: OSError, out: str) -> str:
    return str(error.filename or out).removesuffix(PARTIAL_SUFFIX)


def _hazard_line(hazard: Hazard, horizon_days: int) -> bytes:
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


def _progress(days: int) -> Progress:
    """A progress bar on standard error if that is a terminal."""
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
