"""Assemble a worker: engine, event processor, explain process, model reader and CPU affinity."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from models.definition.churn_definition import ChurnDefinition
from streams.engine.worker import Worker
from streams.kafka.control_signature import unsigned_notice
from streams.kafka.model_reader import ModelReader
from streams.logs import get_logger
from streams.monitoring.monitor import monitored
from streams.runtime.cpu_affinity import Affinity
from streams.scoring.event_processor import processor_factory
from streams.scoring.explain_process import Explainer, renders_in_process
from streams.scoring.processor_context import ProcessorContext
from streams.settings import Settings
from streams.topics import EVENTS, name_of, verify_topics

log = get_logger(__name__)


async def run_worker(settings: Settings, definition: ChurnDefinition, stop: asyncio.Event) -> None:
    """Run a worker until `stop` is set.

    Raises:
        ChurnSignalsError: see `streams.engine.worker.Worker.run`.
    """
    with monitored(settings, "worker", stop) as monitor:
        events = (await verify_topics(settings))[name_of(EVENTS, settings)]
        context = ProcessorContext(settings, definition, events.partitions, events.limit_bytes)
        if notice := unsigned_notice(settings):
            log.warning("%s", notice)
        explainer = Explainer() if renders_in_process(settings) else None
        affinity = _affinity(settings, explainer)
        affinity.begin()
        if explainer is not None:
            context.explainer = explainer
            if settings.explain_process == "on":
                context.deferred_min = 1
            explainer.available()  # starts the process while the worker joins the group
        models = ModelReader(settings, context.on_snapshot)
        worker = Worker(
            settings,
            processor_factory(context),
            side_input=models,
            on_stop=explainer.stop if explainer is not None else None,
        )
        monitor.watch_worker(worker, context, models)
        keeping = asyncio.create_task(affinity.keep())
        try:
            await worker.run(stop)
        finally:
            keeping.cancel()
            affinity.close()


def _affinity(settings: Settings, explainer: Explainer | None) -> Affinity:
    """The worker's threads share one CPU; the explain process gets the others."""
    if explainer is None:
        return Affinity(settings, _ignore)
    return Affinity(settings, explainer.run_on, explainer.cpu_s)


def _ignore(cpus: Collection[int]) -> None:
    """No other process uses the other CPUs."""
