"""`churn-signals worker`: score customers from the events topic until stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import click

from streams.cli.options import read_definition


def _ignore_spare_cpus(processors: Collection[int]) -> None:
    """Leave the CPUs that the worker does not use idle."""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="the file that CHURN_CONFIG names",
    help="Churn definition file (TOML).",
)
def worker(config: Path | None) -> None:
    """Apply events to customer profiles, score customers, publish alerts and release labels.

    Several workers share the partitions of the events topic. SIGTERM or Ctrl-C commits and exits with 0. Exit code 75
    means that another process took over a partition: start the worker again.
    """
    from streams.engine.worker import Worker, run_until_signal
    from streams.logs import configure, exit_now
    from streams.monitoring.monitor import monitored
    from streams.runtime.cpu_affinity import Affinity
    from streams.runtime.gc_tuning import collect_rarely
    from streams.scoring.event_processor import ProcessorContext
    from streams.scoring.explain_process import Explainer, renders_in_process
    from streams.settings import Settings
    from streams.topics import EVENTS, name_of, verify_topics

    settings = Settings.from_environment()
    definition = read_definition(config or Path(settings.config))
    configure(settings, "worker")
    collect_rarely()

    async def work(stop: asyncio.Event) -> None:
        with monitored(settings, "worker", stop) as monitor:
            found = await verify_topics(settings)
            events = found[name_of(EVENTS, settings)]
            shared = ProcessorContext(settings, definition, events.partitions, events.limit_bytes)
            explainer = Explainer() if renders_in_process(settings) else None
            beside = (explainer.run_on, explainer.cpu_s) if explainer is not None else (_ignore_spare_cpus,)
            affinity = Affinity(settings, *beside)
            affinity.begin()
            if explainer is not None:
                shared.explained_elsewhere = explainer.available
                if settings.explain_process == "on":
                    shared.deferred_min = 1
                explainer.available()  # starts the process while the worker joins the group
            running = Worker(settings, shared.factory, shared.on_snapshot, explainer)
            monitor.watch_worker(running, shared)
            keeping = asyncio.create_task(affinity.keep())
            try:
                await running.run(stop)
            finally:
                keeping.cancel()
                affinity.close()

    exit_now(run_until_signal(work))
