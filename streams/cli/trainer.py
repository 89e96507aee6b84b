"""`churn-signals trainer`: learn from matured labels and publish model snapshots until stopped."""

from __future__ import annotations

import asyncio

import click


@click.command()
def trainer() -> None:
    """Learn from matured labels in their order and publish model snapshots, which workers load.

    A second trainer runs as a standby. SIGTERM or Ctrl-C publishes a last snapshot and exits with 0.
    """
    from streams.engine.worker import run_until_signal
    from streams.logs import configure, exit_now
    from streams.monitoring.monitor import monitored
    from streams.settings import Settings
    from streams.training.learner import ModelLearner
    from streams.training.trainer import TrainerLoop

    settings = Settings.from_environment()
    configure(settings, "trainer")

    async def train(stop: asyncio.Event) -> None:
        with monitored(settings, "trainer", stop) as monitor:
            learner = ModelLearner(settings)
            loop = TrainerLoop(settings, learner)
            monitor.watch_trainer(loop, learner)
            await loop.run(stop)

    exit_now(run_until_signal(train))
