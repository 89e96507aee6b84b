"""Health and metrics of one process, from its start to its end: the HTTP server and what it has to say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from streams.broker_watch import BrokerWatch
from streams.health import Health, Pulse
from streams.http_server import HttpServer
from streams.metrics import Metrics, of_process, of_trainer, of_worker
from streams.settings import Settings
from streams.topics import EVENTS, LABELS, name_of

if TYPE_CHECKING:
    from streams.learner import ModelLearner
    from streams.trainer_loop import TrainerLoop
    from streams.worker import Worker


class Monitor:
    """Made before the parts that it looks at, so that it can say that they do not run yet."""

    def __init__(self, settings: Settings, role: str, stop: asyncio.Event) -> None:
        self.health = Health(role, stop)
        topic = name_of(EVENTS if role == "worker" else LABELS, settings)
        self.broker = BrokerWatch(settings, topic, self._wanted)
        main = asyncio.get_running_loop()
        self.health.pulses.append(Pulse("main loop", lambda: main))
        self.health.readiness.append(self.broker.checks)
        release = version("churn-signals")
        self._sources = [lambda: of_process(self.health, release)]
        self._worker: Worker | None = None
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(Metrics(self._sources))

    def _wanted(self) -> list[int]:
        return sorted(self._worker.ownership.wanted) if self._worker is not None else [0]

    def watch_worker(self, worker: Worker) -> None:
        """It is about to run."""
        self._worker = worker
        self.health.pulses.append(Pulse("consumer's thread", lambda: worker.app.consumer.thread_loop))
        self.health.readiness.append(worker.checks)
        self._sources.append(lambda: of_worker(worker, self.broker))
        self.health.started = True

    def watch_trainer(self, loop: TrainerLoop, learner: ModelLearner) -> None:
        """It is about to run."""
        self.health.readiness.append(loop.checks)
        self._sources.append(lambda: of_trainer(loop, learner, self.broker))
        self.health.started = True


@contextmanager
def monitored(settings: Settings, role: str, stop: asyncio.Event) -> Iterator[Monitor]:
    """Answer over HTTP as long as the `with` lasts.

    Raises:
        ConfigurationError: it cannot listen there.
    """
    monitor = Monitor(settings, role, stop)
    server = HttpServer(settings, monitor.health, monitor.registry, monitor.broker.run)
    server.start()
    try:
        yield monitor
    finally:
        server.stop()
