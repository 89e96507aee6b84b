"""`churn-signals trainer`: learns from matured labels and publishes the model until it is told to stop."""

from __future__ import annotations

import click


@click.command()
def trainer() -> None:
    """Learn the labels in their order and publish snapshots that every worker swaps to; a second trainer stands by.

    Ends with 0 when it is told to stop, after a last snapshot.
    """
    from streams.engine.worker import run_until_signal
    from streams.logs import configure, exit_now
    from streams.settings import Settings
    from streams.trainer import run_trainer

    settings = Settings.from_environment()
    configure(settings, "trainer")
    exit_now(run_until_signal(lambda stop: run_trainer(settings, stop)))
