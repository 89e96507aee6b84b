"""`churn-signals trainer`: learns from matured labels and publishes the model until it is told to stop."""

from __future__ import annotations

import asyncio

import click


@click.command()
def trainer() -> None:
    """Learn the labels in their order and publish snapshots that every worker swaps to; a second trainer stands by.

    Ends with 0 when it is told to stop, after a last snapshot.
    """
    from streams.engine.worker import run_until_signal
    from streams.logs import configure, exit_now
    from streams.monitoring.monitor import monitored
    from streams.settings import Settings
    from streams.training.learner import ModelLearner
    from streams.training.trainer import TrainerLoop

    settings = Settings.from_environment()
    configure(settings, "trainer")

    async def work(stop: asyncio.Event) -> None:
        with monitored(settings, "trainer", stop) as monitor:
            learner = ModelLearner(settings)
            loop = TrainerLoop(settings, learner)
            monitor.watch_trainer(loop, learner)
            await loop.run(stop)

    exit_now(run_until_signal(work))
