"""`churn-signals worker`: scores customers from the events topic until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

import click

from streams.cli.common import read_definition


def _nobody(processors: Collection[int]) -> None:
    """Uses what is left of the processors."""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What churn means (TOML); without it the file that CHURN_CONFIG names.",
)
def worker(config: Path | None) -> None:
    """Apply events to customers, score them and release labels; as many workers as there are partitions share the work.

    Ends with 0 when it is told to stop, and with 75 when another process took over: start it again.
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
            beside = (explainer.run_on, explainer.cpu_s) if explainer is not None else (_nobody,)
            affinity = Affinity(settings, *beside)
            affinity.begin()
            if explainer is not None:
                shared.explained_elsewhere = explainer.available
                if settings.explain_process == "on":
                    shared.deferred_min = 1
                explainer.available()  # it starts while the group is joined
            running = Worker(settings, shared.factory, shared.on_snapshot, explainer)
            monitor.watch_worker(running, shared)
            keeping = asyncio.create_task(affinity.keep())
            try:
                await running.run(stop)
            finally:
                keeping.cancel()
                affinity.close()

    exit_now(run_until_signal(work))
