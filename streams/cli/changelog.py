"""`churn-signals changelog`: show and drop one record of the state, when a worker cannot use it."""

from __future__ import annotations

import sys

import click

from streams.kafka.client_runner import run_client
from streams.rendering.terminal import printable
from streams.settings import Settings

_partition = click.option(
    "--partition", type=click.IntRange(0), required=True, metavar="N", help="Partition of the changelog."
)
_key = click.option(
    "--key",
    required=True,
    metavar="KEY",
    help="Key as in the worker's message, such as c:0ee8bb634efbe036, or in full, such as c followed by the customer"
    " id.",
)


@click.group()
def changelog() -> None:
    """Show or drop a record of the changelog that no worker can use.

    A worker stops at a record that it cannot use, and so does the next owner of the partition. Its message names
    partition and key.
    """


@changelog.command("show")
@_partition
@_key
@click.option("--raw", is_flag=True, help="Print only the record's bytes, unchanged.")
def show_record(partition: int, key: str, raw: bool) -> None:
    """Show the newest record of a key, decoded, or why it cannot be used. The output contains the customer's id."""
    import msgspec

    from models.duration import rfc3339
    from streams.admin.changelog_record import find_record

    record = run_client(find_record(Settings.from_environment(), partition, key))
    if raw:
        sys.stdout.buffer.write(record.value or b"")
        return
    click.echo(f"record: {record.topic}/{record.partition}@{record.offset}")
    click.echo(f"key: {printable(record.key.decode('utf-8', 'backslashreplace'))}")
    click.echo(f"written: {rfc3339(record.written_ms)}")
    click.echo(f"size: {len(record.value or b''):,} bytes")
    if record.value is None:
        click.echo("deleted")
    elif record.problem is not None:
        click.echo(f"cannot be used: {printable(record.problem)}")
    else:
        text = msgspec.json.format(msgspec.json.encode(record.content), indent=2).decode()
        click.echo("\n".join(printable(line) for line in text.split("\n")))


@changelog.command("drop")
@_partition
@_key
@click.option("--yes", is_flag=True, help="Drop without asking for confirmation.")
def confirm_drop(partition: int, key: str, yes: bool) -> None:
    """Delete the record of a key from the state of a stopped group.

    The customer's history in this record is lost. The events stay in their topic, and the other records of the
    customer stay too. A position that cannot be used is replaced by the one before it. The command fails while the
    group has members.
    """
    from streams.admin.changelog_record import drop_record, find_record

    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("standard input is not a terminal, so no confirmation is possible: add --yes to drop.")
    settings = Settings.from_environment()
    record = run_client(find_record(settings, partition, key))
    where = f"{record.topic}/{record.partition}@{record.offset}"
    state = "which cannot be used" if record.problem is not None else "which can be used"
    if not yes:
        click.confirm(f"Drop the record {where}, {state}?", abort=True)
    offset = run_client(drop_record(settings, record))
    click.echo(f"dropped the record {where} at offset {offset}")
