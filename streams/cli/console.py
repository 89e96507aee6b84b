"""`churn-signals console`: the web pages for alerts, customers, the model and the pipeline."""

from __future__ import annotations

import click

from streams.cli.ask import ask, stopping
from streams.settings import Settings

DEFAULT_PORT = 8765


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to serve on; others than loopback need a token."
)
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
def console(host: str, port: int) -> None:
    """Serve the console: alerts as they come, one customer, how good the model is, how far behind the workers are.

    It reads the output topics and needs no worker on this machine. Acknowledging, snoozing or dismissing an alert
    publishes an event, and nothing else. Ctrl-C ends it.
    """
    from streams.console.server import serve
    from streams.logs import configure

    settings = Settings.from_environment()
    configure(settings, "console")

    async def serving() -> None:
        with stopping() as stop:
            await serve(settings, host, port, lambda address: click.echo(f"The console is at {address}"), stop)

    ask(serving())
