"""`churn-signals notify`: delivers alert events to webhooks until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.ask import ask, stopping
from streams.errors import ChurnSignalsError

if TYPE_CHECKING:
    from streams.notify.routes import Route
    from streams.settings import Settings


@click.command()
@click.option(
    "--routes",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where alerts go (TOML); without it the file that CHURN_NOTIFY_ROUTES names.",
)
@click.option("--check", is_flag=True, help="Only check the file and its variables, and say where alerts would go.")
@click.option("--again", is_flag=True, help="Only deliver the dead letters that are there, once more, and end.")
def notify(routes: Path | None, check: bool, again: bool) -> None:
    """Deliver alert events to webhooks: at least once, in order for each customer, each route at its own pace.

    What a route does not take is tried again ever more seldom, and is a dead letter in the end. Several of these
    processes share the work. Ends with 0 when it is told to stop. docs/alerts.md has the file's keys.

    \b
    churn-signals notify --check   is the file right, are its variables set?
    churn-signals notify --again   when what refused alerts is repaired
    """
    from streams.engine.worker import run_until_signal
    from streams.logs import configure, exit_now
    from streams.monitoring.monitor import monitored
    from streams.notify.notifier import Notifier
    from streams.notify.routes import read_routes
    from streams.settings import Settings

    settings = Settings.from_environment()
    found = read_routes(routes or Path(settings.notify_routes), os.environ)
    if check:
        for route in found:
            click.echo(route.summary)
        return
    configure(settings, None if again else "notify", [secret for route in found for secret in route.secrets])
    if again:
        _again(settings, found)
        return

    async def work(stop: asyncio.Event) -> None:
        with monitored(settings, "notify", stop) as monitor:
            running = Notifier(settings, found)
            monitor.watch_notifier(running)
            await running.run(stop)

    exit_now(run_until_signal(work))


def _again(settings: Settings, routes: Sequence[Route]) -> None:
    from streams.notify.outcomes import DEAD_LETTER
    from streams.notify.redelivery import redeliver

    async def whole() -> dict[str, dict[str, int]]:
        with stopping() as stop:
            return await redeliver(settings, routes, stop)

    ends = ask(whole())
    for name, counts in ends.items():
        said = ", ".join(f"{count:,} {end.replace('_', ' ')}" for end, count in counts.items())
        click.echo(f"{name}: {said}")
    if refused := sum(counts[DEAD_LETTER] for counts in ends.values()):
        raise ChurnSignalsError(f"{refused:,} alert events were not taken, and are dead letters again.")
