"""`churn-signals publish`: publish a file of events to the events topic, each to its customer's partition."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

import click

from streams.cli.options import sort_option
from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError
from streams.event_order import numbered_lines, refuse_unsorted
from streams.input_file import InputFile
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.kafka.publisher import PublishResult, publish_events, publish_summary
from streams.settings import Settings

# Lines that are read ahead to find the time at which a file begins.
FIRST_LINES: Final = 1_000


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="EVENTS/S",
    show_default="unlimited",
    help="Maximum rate in events per second.",
)
@sort_option
@click.option("--lenient", is_flag=True, help="End with 0 although the file has invalid events.")
@click.option("--late", is_flag=True, help="Publish history that begins before the newest events of the topic.")
def publish(file: str, rate: float | None, sort: bool, lenient: bool, late: bool) -> None:
    """Publish the events in FILE to the events topic.

    FILE has one JSON object per line, plain or gzipped; - reads standard input. Each line becomes one record, keyed by
    its customer. Invalid events are published unchanged without a key, and workers write them to the dead-letter topic;
    the exit code is then 1, unless --lenient is given. Ctrl-C stops after all sent records are acknowledged, and prints
    their number.

    An unsorted FILE is refused before anything is published; standard input is published as it comes.

    A FILE that begins more than two days before the newest events of the topic is refused: workers learn no label from
    events that far behind the clock of their partition. Publish history before live traffic.
    """
    settings = Settings.from_environment()
    if file != "-" and not sort:
        with InputFile(file) as lines, ProgressBar("checking the order", lines.size) as bar:
            refuse_unsorted(file, bar.following(enumerate(lines, 1), lambda: lines.position))
    with InputFile(file) as lines, ProgressBar("publishing", lines.size) as bar:

        def show(sent: int) -> None:
            bar.advance_to(lines.position, f"{sent:,} events")

        async def publish_file() -> tuple[PublishResult, bool]:
            values: Iterator[bytes] = (line for _, line in numbered_lines(lines, sort=sort) if line)
            if not late:
                first = list(itertools.islice(values, FIRST_LINES))
                await _refuse_history(settings, file, first)
                values = itertools.chain(first, values)
            with stop_on_signal() as stop:
                result = await publish_events(settings, values, rate=rate, show=show, stop=stop)
                return result, stop.is_set()

        result, stopped = run_client(publish_file())
    if stopped:
        raise ChurnSignalsError(f"stopped early: {publish_summary(result, settings)}. The rest of {file} was not sent.")
    if result.rejected and not lenient:
        raise ChurnSignalsError(f"{publish_summary(result, settings)}, or accept them with --lenient")
    click.echo(publish_summary(result, settings))


async def _refuse_history(settings: Settings, file: str, first: Iterable[bytes]) -> None:
    """Raise ChurnSignalsError if the topic already has events of a much later time than the first of a file."""
    from models.definition.churn_definition import GRACE_MS
    from models.duration import rfc3339
    from models.events.event import Event, decode
    from streams.cli.topic_clock import topic_clock_ms

    events = (decode(line, (), None) for line in first)
    begins_ms = min((event.time_ms for event in events if isinstance(event, Event)), default=None)
    if begins_ms is None:
        return  # no event states a time: they get the time of publishing
    clock_ms = await topic_clock_ms(settings)
    if clock_ms is not None and begins_ms < clock_ms - GRACE_MS:
        raise ChurnSignalsError(
            f"{file} begins at {rfc3339(begins_ms)}, but {settings.topic_events} already has events of"
            f" {rfc3339(clock_ms)}. Workers would learn no label from events that far behind. Publish history before"
            " live traffic, into new topics (docs/events.md, Replaying history), or repeat with --late."
        )
