"""`churn-signals console`: serve the web pages for alerts, customers, the model and the pipeline."""

from __future__ import annotations

import click

from streams.cli.early_signal import end_on_early_sigterm
from streams.console.address import DEFAULT_PORT
from streams.private_files import create_private_files
from streams.settings import Settings


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to bind to. Addresses other than loopback need CHURN_CONSOLE_TOKEN.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Port; 0 picks a free one."
)
def console(host: str, port: int) -> None:
    """Serve the console: live alerts, customers, model quality and pipeline lag.

    The console reads the output topics, so workers can run on other machines. Acknowledging, snoozing or dismissing an
    alert publishes an event; the console publishes nothing else. SIGTERM or Ctrl-C exits with 0.
    """
    end_on_early_sigterm()
    from streams.console.server import serve_console
    from streams.logs import configure, exit_now
    from streams.runtime.process_end import run_until_signal

    create_private_files()
    settings = Settings.from_environment()
    configure(settings, "console")
    exit_now(
        run_until_signal(
            lambda stop: serve_console(settings, host, port, lambda url: click.echo(f"The console is at {url}"), stop)
        )
    )
