"""`churn-signals worker`: scores customers from the events topic until it is told to stop."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.common import read_definition


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What churn means (TOML); without it the file that CHURN_CONFIG names.",
)
def worker(config: Path | None) -> None:
    """Apply events to customers, score them and release labels; as many workers as there are partitions share the work.

    Ends with 0 when it is told to stop, and with 75 when another process took over: start it again.
    """
    from streams.engine.worker import run_until_signal
    from streams.logs import configure, exit_now
    from streams.runtime.gc_tuning import collect_rarely
    from streams.settings import Settings
    from streams.worker import run_worker

    settings = Settings.from_environment()
    definition = read_definition(config or Path(settings.config))
    configure(settings, "worker")
    collect_rarely()
    exit_now(run_until_signal(lambda stop: run_worker(settings, definition, stop)))
