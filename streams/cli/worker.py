"""`churn-signals worker`: score customers from the events topic until stopped."""

from __future__ import annotations

from pathlib import Path

import click

from streams.cli.options import read_definition
from streams.private_files import create_private_files


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="the file that CHURN_CONFIG names",
    help="Churn definition file (TOML).",
)
def worker(config: Path | None) -> None:
    """Apply events to customer profiles, score customers, publish alerts and release labels.

    Several workers share the partitions of the events topic. SIGTERM or Ctrl-C commits and exits with 0, within
    10 s. Exit code 75 means that another process took over a partition, or that a stop was cut short: restart it.
    """
    from streams.logs import configure, exit_now
    from streams.runtime.gc_tuning import collect_rarely
    from streams.runtime.process_end import run_until_signal
    from streams.settings import Settings
    from streams.worker import run_worker

    create_private_files()
    settings = Settings.from_environment()
    definition = read_definition(config or Path(settings.config))
    configure(settings, "worker")
    collect_rarely()
    exit_now(run_until_signal(lambda stop: run_worker(settings, definition, stop)))
