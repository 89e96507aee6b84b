"""`churn-signals notify`: deliver alert events to webhooks until stopped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.early_signal import end_on_early_sigterm
from streams.errors import ChurnSignalsError
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.private_files import create_private_files

if TYPE_CHECKING:
    from streams.notify.routes import Route
    from streams.settings import Settings


@click.command()
@click.option(
    "--routes",
    "routes_path",
    type=click.Path(path_type=Path, dir_okay=False),
    show_default="the file that CHURN_NOTIFY_ROUTES names",
    help="Routes file (TOML).",
)
@click.option("--check", is_flag=True, help="Validate the routes file and its variables, print the routes, and exit.")
@click.option("--again", is_flag=True, help="Redeliver the existing dead letters once, and exit.")
def notify(routes_path: Path | None, check: bool, again: bool) -> None:
    """Deliver alert events to webhooks, at least once and in order for each customer.

    Each route has its own pace. A failed delivery is retried with increasing delays, and becomes a dead letter at the
    end. Several processes share the work. SIGTERM or Ctrl-C exits with 0. docs/alerts.md describes the routes file.

    \b
    churn-signals notify --check   validate the routes file and its variables
    churn-signals notify --again   redeliver dead letters after the receiver is fixed
    """
    end_on_early_sigterm()
    from streams.logs import configure, exit_now
    from streams.monitoring.monitor import monitored
    from streams.notify.notifier import Notifier
    from streams.notify.routes import read_routes
    from streams.runtime.process_end import run_until_signal
    from streams.settings import Settings

    settings = Settings.from_environment()
    routes = read_routes(routes_path or Path(settings.notify_routes), os.environ)
    if check:
        for route in routes:
            click.echo(route.summary)
        return
    create_private_files()
    configure(settings, None if again else "notify", [secret for route in routes for secret in route.secrets])
    if again:
        _redeliver(settings, routes)
        return

    async def deliver(stop: asyncio.Event) -> None:
        with monitored(settings, "notify", stop) as monitor:
            notifier = Notifier(settings, routes)
            monitor.watch_notifier(notifier)
            await notifier.run(stop)

    exit_now(run_until_signal(deliver))


def _redeliver(settings: Settings, routes: Sequence[Route]) -> None:
    from streams.cli.skipped import reporting_skipped
    from streams.notify.outcomes import DEAD_LETTER
    from streams.notify.redelivery import redeliver

    async def redeliver_all() -> dict[str, dict[str, int]]:
        with stop_on_signal() as stop:
            return await redeliver(settings, routes, stop, unusable)

    with reporting_skipped() as unusable:
        outcomes = run_client(redeliver_all())
    for name, counts in outcomes.items():
        click.echo(f"{name}: " + ", ".join(f"{count:,} {end.replace('_', ' ')}" for end, count in counts.items()))
    if failed := sum(counts[DEAD_LETTER] for counts in outcomes.values()):
        raise ChurnSignalsError(
            f"{failed:,} alert events were refused again and are dead letters again. Fix the receiver, then run"
            " churn-signals notify --again."
        )
