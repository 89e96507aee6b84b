"""Monitoring of one process from start to end: wires health checks, metrics and the broker probe to the HTTP server.

Tested by tests/broker/test_health.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from streams.health import Checks, Health, Pulse, UnreadyLog
from streams.kafka.unusable_records import UnusableRecords
from streams.logs import get_logger
from streams.monitoring.broker_probe import BrokerProbe
from streams.monitoring.collector import MetricsCollector, Samples, build_versions, process_samples
from streams.monitoring.http_limits import LimitedRunner
from streams.monitoring.http_server import OFF, HttpServer
from streams.monitoring.notify_metrics import notifier_samples
from streams.monitoring.reader_metrics import reader_samples, server_samples
from streams.monitoring.trainer_metrics import trainer_samples
from streams.monitoring.worker_metrics import worker_samples
from streams.runtime.background_tasks import BackgroundTasks
from streams.settings import Settings
from streams.topics import ALERTS, EVENTS, LABELS, name_of

log = get_logger(__name__)

_UNREADY_POLL_S = 5.0

if TYPE_CHECKING:
    from streams.engine.worker import Worker
    from streams.kafka.model_reader import ModelReader
    from streams.notify.notifier import Notifier
    from streams.scoring.processor_context import ProcessorContext
    from streams.training.learner import ModelLearner
    from streams.training.trainer import TrainerLoop


class Monitor:
    """Collects the health checks and metric sources of a process.

    It exists before the parts that it monitors, so that `/readyz` can report that they have not started yet.

    Args:
        settings: of the process.
        role: worker, trainer, notify or console.
        stop: set when the process shuts down.
    """

    def __init__(self, settings: Settings, role: str, stop: asyncio.Event) -> None:
        self.health = Health(role, stop)
        topic = name_of({"worker": EVENTS, "notify": ALERTS, "console": ALERTS}.get(role, LABELS), settings)
        self.broker = BrokerProbe(settings, topic, self._positions)
        main_loop = asyncio.get_running_loop()
        self.health.pulses.append(Pulse("main loop", lambda: main_loop))
        if settings.http_port != OFF:  # otherwise nothing runs the probe
            self.health.readiness.append(self.broker.checks)
        versions, data = build_versions(), Path(settings.data_dir)
        self.unusable: list[UnusableRecords] = []
        self.tasks: list[BackgroundTasks] = []
        self._sources = [lambda: process_samples(self.health, versions, data)]
        self._sources.append(lambda: reader_samples(self.unusable, self.tasks))
        self._worker: Worker | None = None
        self._trainer: TrainerLoop | None = None
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(MetricsCollector(self._sources))

    def _positions(self) -> Mapping[int, int | None]:
        if self._trainer is not None and self._trainer.leading:
            return {0: self._trainer.learned_offset}
        if self._worker is None:
            return {0: None}
        owned = dict(self._worker.ownership.owned)
        wanted = sorted(self._worker.ownership.wanted)
        return {number: owned[number].position if number in owned else None for number in wanted}

    def watch_worker(self, worker: Worker, shared: ProcessorContext, models: ModelReader) -> None:
        """Add the checks and metrics of a worker that is about to run."""
        self._worker = worker
        self.health.pulses.append(Pulse("consumer thread", lambda: worker.app.consumer.thread_loop))
        self.health.readiness.append(worker.checks)
        self._sources.append(
            lambda: worker_samples(
                worker, self.broker, lambda: (shared.scorer.version, shared.snapshot, models.skipped)
            )
        )
        self.health.started = True

    def watch_trainer(self, loop: TrainerLoop, learner: ModelLearner) -> None:
        """Add the checks and metrics of a trainer that is about to run."""
        self._trainer = loop
        self.health.readiness.append(loop.checks)
        self._sources.append(lambda: trainer_samples(loop, learner, self.broker))
        self.health.started = True

    def watch_notifier(self, notifier: Notifier) -> None:
        """Add the checks and metrics of a notifier that is about to run."""
        self.health.readiness.append(notifier.checks)
        self._sources.append(lambda: notifier_samples(notifier))
        self.health.started = True

    def watch_server(self, runner: Callable[[], LimitedRunner | None], name: str) -> None:
        """Add the metrics of an HTTP server."""
        self._sources.append(lambda: server_samples(runner(), name))

    def watch(self, readiness: Checks, liveness: Checks, samples: Callable[[], Samples]) -> None:
        """Add the checks and metrics of a part of another layer that is about to run, such as the console."""
        self.health.readiness.append(readiness)
        self.health.liveness.append(liveness)
        self._sources.append(samples)
        self.health.started = True


@contextmanager
def monitored(settings: Settings, role: str, stop: asyncio.Event) -> Iterator[Monitor]:
    """Serve health and metrics while the context is open.

    Raises:
        ConfigurationError: the HTTP address is in use, or does not belong to this machine.
    """
    monitor = Monitor(settings, role, stop)
    server = HttpServer(settings, monitor.health, monitor.registry, monitor.broker.run)
    monitor.watch_server(lambda: server.runner, "health")
    server.start()
    if server.tasks is not None:
        monitor.tasks.append(server.tasks)
    ended = threading.Event()
    # A thread, because the main loop may be what does not get ready.
    threading.Thread(target=_log_unready, args=(monitor.health, ended), name="readiness", daemon=True).start()
    try:
        yield monitor
    finally:
        ended.set()
        server.stop()


def _log_unready(health: Health, ended: threading.Event) -> None:
    unready = UnreadyLog()
    while not ended.wait(_UNREADY_POLL_S):
        with contextlib.suppress(RuntimeError):  # the main thread has changed a collection meanwhile
            if not health.stop.is_set() and (sentence := unready.observe(health.ready())) is not None:
                log.warning("%s", sentence)
