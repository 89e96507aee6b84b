"""`churn-signals trainer`: learn from matured labels and publish model snapshots until stopped."""

from __future__ import annotations

import click

from streams.private_files import create_private_files


@click.command()
def trainer() -> None:
    """Learn from matured labels in their order and publish model snapshots, which workers load.

    A second trainer runs as a standby. SIGTERM or Ctrl-C publishes a last snapshot and exits with 0.
    """
    from streams.logs import configure, exit_now
    from streams.runtime.process_end import run_until_signal
    from streams.settings import Settings
    from streams.trainer import run_trainer

    create_private_files()
    settings = Settings.from_environment()
    configure(settings, "trainer")
    exit_now(run_until_signal(lambda stop: run_trainer(settings, stop)))
