"""`churn-signals lag`: how many events each partition has that were not applied yet, and what that means."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict, dataclass
from typing import Any

import click

from streams.cli.ask import ask, console
from streams.errors import ChurnSignalsError
from streams.settings import Settings

OK, WARN, STOP, REWIND = "OK", "WARN", "STOP", "REWIND"
EXIT_CODES = {OK: 0, WARN: 10, STOP: 11, REWIND: 11}

# Some 10 s: a single node needs half a second.
_COORDINATOR_TRIES, _COORDINATOR_WAIT_S = 50, 0.2

# Two full batches: what a worker has in hand while it keeps up.
WARN_RECORDS = 10_000


@dataclass(frozen=True)
class PartitionLag:
    """One partition as one look at the group sees it.

    Attributes:
        committed: the next offset to apply as the group knows it (a second late); None if it never committed.
        first, end: what the topic holds is [first, end).
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    first: int
    end: int
    members: int
    warn: int = WARN_RECORDS

    @property
    def lag(self) -> int:
        """Offsets still to be applied, transaction markers included."""
        return max(0, self.end - max(self.first, self.committed or 0))

    @property
    def status(self) -> str:
        """What it means. Whether a lag shrinks takes two looks, so that STALL is not told here.

        >>> PartitionLag("g", "t", 0, 5, 0, 5, 1).status, PartitionLag("g", "t", 0, 5, 0, 9, 0).status
        ('OK', 'STOP')
        >>> PartitionLag("g", "t", 0, 9, 0, 5, 1).status, PartitionLag("g", "t", 0, 1, 0, 20_000, 1).status
        ('REWIND', 'WARN')
        """
        if self.committed is not None and not self.first <= self.committed <= self.end:
            return REWIND  # the topic was made anew, or events were deleted before they were applied
        if self.lag and not self.members:
            return STOP
        return WARN if self.lag > self.warn else OK


@click.command()
@click.option(
    "--warn",
    type=click.IntRange(0),
    default=WARN_RECORDS,
    show_default=True,
    help="More events behind than this is WARN.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line and partition.")
def lag(warn: int, as_json: bool) -> None:
    """Show for every partition of events and labels how far behind the group is.

    Exit codes: 0 all OK, 10 WARN (far behind), 11 STOP (behind, and nobody at work) or REWIND (the group's position
    lies outside of what the topic holds).
    """
    rows = ask(measure(Settings.from_environment(), warn))
    _print_json(rows) if as_json else _print_table(rows)
    sys.exit(max(EXIT_CODES[row.status] for row in rows))


async def measure(settings: Settings, warn: int = WARN_RECORDS) -> list[PartitionLag]:
    """One look at the groups of workers and trainers.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
    """
    from aiokafka.admin import AIOKafkaAdminClient

    from streams.topic_reader import new_consumer, partitions_of
    from streams.topics import EVENTS, LABELS, name_of

    watched = [
        (group, await partitions_of(settings, name_of(topic, settings)))
        for group, topic in ((settings.kafka_group_id, EVENTS), (f"{settings.kafka_group_id}-trainer", LABELS))
    ]
    consumer = new_consumer(settings)
    await consumer.start()
    admin = AIOKafkaAdminClient(**settings.connection())
    await admin.start()
    try:
        rows = []
        for group, tps in watched:
            first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
            committed, members = await _group(admin, group, tps)
            for tp in tps:
                at = committed[tp].offset if tp in committed else -1
                position = at if at >= 0 else None
                rows.append(PartitionLag(group, tp.topic, tp.partition, position, first[tp], end[tp], members, warn))
        return rows
    finally:
        await admin.close()
        await consumer.stop()


async def _group(admin: Any, group: str, tps: Any) -> tuple[Any, int]:
    """What a group has committed, and how many members it has.

    A broker that never had a group makes the topic of their offsets first, and until then names no coordinator.
    """
    from aiokafka.errors import GroupCoordinatorNotAvailableError

    for _ in range(_COORDINATOR_TRIES):
        try:
            committed = await admin.list_consumer_group_offsets(group, partitions=tps)
            [response] = await admin.describe_consumer_groups([group])
            return committed, len(response.to_object()["groups"][0]["members"])
        except GroupCoordinatorNotAvailableError:
            await asyncio.sleep(_COORDINATOR_WAIT_S)
    raise ChurnSignalsError(f"no broker coordinates the group {group}: is the cluster complete?")


def _print_json(rows: list[PartitionLag]) -> None:
    import orjson

    for row in rows:
        document = asdict(row)
        del document["warn"]
        click.echo(orjson.dumps({**document, "lag": row.lag, "status": row.status}))


def _print_table(rows: list[PartitionLag]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("group", "topic"):
        table.add_column(name)
    for name in ("partition", "position", "end", "lag", "members"):
        table.add_column(name, justify="right")
    table.add_column("status")
    for row in rows:
        at = "none" if row.committed is None else f"{row.committed:,}"
        figures = (str(row.partition), at, f"{row.end:,}", f"{row.lag:,}", str(row.members))
        table.add_row(row.group, row.topic, *figures, row.status)
    console().print(table)
