"""`churn-signals demo`: the whole product on this machine, fed and watched, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.common import config_option, read_definition


@click.command()
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@config_option
@click.option(
    "--customers",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Simulated customers, without FILE.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, help="Of the simulation.")
@click.option(
    "--days-per-second",
    type=click.FloatRange(0, 1000, min_open=True),
    default=1.0,
    show_default=True,
    help="How fast event time runs after the history.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".data/demo"),
    show_default=True,
    help="Where broker and stores live meanwhile; what the demo wrote there is removed.",
)
def demo(file: Path | None, config: Path, customers: int, seed: int, days_per_second: float, data_dir: Path) -> None:
    """Start Kafka, a worker and a trainer, feed them, and show alerts as they come. Ctrl-C ends all of it.

    The events are those of simulated customers, or of FILE (JSON lines, plain or gzipped, ordered by time). The history
    goes through at full speed; then event time runs a day a second, and everything that is seen happens live. With
    CHURN_KAFKA_BOOTSTRAP_SERVERS set, that cluster is used instead of one on this machine.
    """
    from streams.demo.runner import Options, run_demo
    from streams.demo.source import LogSource, SimulatedSource
    from streams.demo.workspace import Workspace

    definition = read_definition(config)
    source = LogSource(file) if file is not None else SimulatedSource(customers, seed)
    with Workspace(data_dir) as place:
        run_demo(place, Options(source, definition, config, days_per_second))
