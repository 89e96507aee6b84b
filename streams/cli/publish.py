"""`churn-signals publish`: publish a file of events to the events topic, each to its customer's partition."""

from __future__ import annotations

import click

from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError
from streams.input_file import InputFile
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.kafka.publisher import PublishResult, publish_events, publish_summary
from streams.settings import Settings


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="EVENTS/S",
    show_default="unlimited",
    help="Maximum rate in events per second.",
)
def publish(file: str, rate: float | None) -> None:
    """Publish the events in FILE to the events topic.

    FILE has one JSON object per line, plain or gzipped; - reads standard input. Each line becomes one record, keyed by
    its customer. Invalid events are counted and published unchanged without a key; workers write them to the
    dead-letter topic. Ctrl-C stops after all sent records are acknowledged, and prints their number.
    """
    settings = Settings.from_environment()
    with InputFile(file) as lines, ProgressBar("publishing", lines.size) as bar:

        def show(sent: int) -> None:
            bar.advance_to(lines.position, f"{sent:,} events")

        async def publish_file() -> tuple[PublishResult, bool]:
            with stop_on_signal() as stop:
                result = await publish_events(
                    settings, (line for line in lines if line), rate=rate, show=show, stop=stop
                )
                return result, stop.is_set()

        result, stopped = run_client(publish_file())
    if stopped:
        raise ChurnSignalsError(f"stopped early: {publish_summary(result, settings)}. The rest of {file} was not sent.")
    click.echo(publish_summary(result, settings))
