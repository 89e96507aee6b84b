"""Assemble a trainer: trainer loop, model learner and monitoring."""

from __future__ import annotations

import asyncio

from streams.monitoring.monitor import monitored
from streams.settings import Settings
from streams.training.learner import ModelLearner
from streams.training.trainer import TrainerLoop


async def run_trainer(settings: Settings, stop: asyncio.Event) -> None:
    """Run a trainer until `stop` is set.

    Raises:
        ChurnSignalsError: see `streams.training.trainer.TrainerLoop.run`.
    """
    with monitored(settings, "trainer", stop) as monitor:
        learner = ModelLearner(settings)
        loop = TrainerLoop(settings, learner)
        monitor.watch_trainer(loop, learner)
        await loop.run(stop)
