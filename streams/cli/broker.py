"""`churn-signals broker`: run a real Kafka in the foreground, for development and demonstrations."""

from __future__ import annotations

from pathlib import Path

import click

from streams.devbroker.embedded_broker import DEFAULT_DATA_DIR, EmbeddedBroker
from streams.devbroker.kafka_jars import BrokerUnavailable
from streams.private_files import create_private_files
from streams.runtime.process_end import SignalAction, on_signal


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Directory for the broker's data, ports and log.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, show_default="a free port", help="Client port on 127.0.0.1."
)
def broker(data_dir: Path, port: int) -> None:
    """Start Apache Kafka on loopback, print its bootstrap address, and run until Ctrl-C or SIGTERM.

    The data directory keeps the port, so the next start serves the same data at the same address.
    """
    create_private_files()
    embedded, action = EmbeddedBroker(data_dir, port=port), SignalAction()
    with on_signal(action):
        try:
            embedded.start()
            click.echo(embedded.address)
            status = embedded.wait()
            raise click.ClickException(f"the broker exited with status {status}. Its log is {embedded.log_file}.")
        except BrokerUnavailable as unavailable:
            raise click.ClickException(str(unavailable)) from None
        except KeyboardInterrupt:
            pass
        finally:
            action.handle = None
            embedded.stop()
