"""`churn-signals demo`: run the whole product on this machine with simulated or recorded customers, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.options import config_option, read_definition
from streams.errors import ChurnSignalsError
from streams.private_files import create_private_files


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@config_option
@click.option(
    "--customers",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Number of simulated customers; ignored with FILE.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="Seed of the simulation; ignored with FILE.",
)
@click.option(
    "--days-per-second",
    type=click.FloatRange(0, 1000, min_open=True),
    default=1.0,
    show_default=True,
    help="Speed of event time after the history, in days per second.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".data/demo"),
    show_default=True,
    help="Directory for the broker, the local stores and logs; the demo removes its files at the end.",
)
def demo(file: Path | None, config: Path, customers: int, seed: int, days_per_second: float, data_dir: Path) -> None:
    """Start Kafka, a worker, a trainer and the console, publish events, and show alerts. Ctrl-C stops everything.

    The events come from simulated customers, or from FILE (one JSON object per line, plain or gzipped, ordered by
    time). The history is published at full speed. After it, event time advances at --days-per-second. With
    CHURN_KAFKA_BOOTSTRAP_SERVERS set, the demo uses that cluster instead of starting one.
    """
    from streams.demo.runner import DemoOptions, run_demo
    from streams.demo.source import LogSource, SimulatedSource
    from streams.demo.workspace import Workspace
    from streams.logs import exit_now

    definition = read_definition(config)
    source = LogSource(file) if file is not None else SimulatedSource(customers, seed)
    create_private_files()
    try:
        with Workspace(data_dir) as workspace:
            run_demo(workspace, DemoOptions(source, definition, config, days_per_second))
    except ChurnSignalsError as failure:
        click.echo(f"Error: {failure}", err=True)
        exit_now(failure.exit_code)  # Kafka clients may have left tasks and threads behind
    exit_now(0)
