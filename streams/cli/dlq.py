"""`churn-signals dlq`: count dead letters by reason, show one, and replay them to the events topic."""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.rendering.terminal import printable, stdout_console
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, name_of

if TYPE_CHECKING:
    from streams.cli.replay import ReplayPlan
    from streams.scoring.dead_letters import DeadLetter


@click.group()
def dlq() -> None:
    """List, show and replay dead letters: events that workers rejected."""


@dlq.command()
@click.option("--reason", help="Only dead letters with this reason.")
@click.option(
    "--last", type=click.IntRange(0), default=20, show_default=True, help="Number of dead letters to list, newest last."
)
@click.option("--json", "as_json", is_flag=True, help="Print every dead letter as JSON, one object per line.")
def ls(reason: str | None, last: int, as_json: bool) -> None:
    """Count dead letters by reason and list the newest.

    `sent` is the timestamp of the event's record. The time of the rejection is not stored.
    """
    counts, newest = run_client(_collect(Settings.from_environment(), reason, last, as_json))
    if as_json:
        return
    if not counts:
        click.echo("no dead letters" + (f" with reason {reason}" if reason else ""))
        return
    _print_tables(counts, newest)


@dlq.command()
@click.argument("position", metavar="PARTITION@OFFSET")
@click.option("--raw", is_flag=True, help="Print only the event's bytes, unchanged.")
def show(position: str, raw: bool) -> None:
    """Show one dead letter: the reason, how to fix it, and its bytes."""
    from streams.kafka.topic_reader import read_record
    from streams.scoring.dead_letters import DeadLetter

    settings = Settings.from_environment()
    topic = name_of(DEAD_LETTERS, settings)
    record = run_client(read_record(settings, topic, *_parse_position(position)))
    if record is None:
        raise ChurnSignalsError(
            f"there is no dead letter at {position} in {topic}. List them with: churn-signals dlq ls"
        )
    letter = DeadLetter.of(record)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        return
    for name, text in (
        ("reason", letter.reason),
        ("message", letter.message),
        ("error", letter.exception),
        ("event", letter.source),
        ("sent", _sent_time(letter)),
        ("key", _readable(letter.key)),
        *((f"header {name}", _readable(value)) for name, value in letter.headers),
    ):
        click.echo(f"{printable(name)}: {_escaped(text)}")
    click.echo()
    click.echo(_escaped(_readable(letter.value)))


@dlq.command()
@click.argument("positions", metavar="[PARTITION@OFFSET]...", nargs=-1)
@click.option("--reason", help="Replay all dead letters with this reason.")
@click.option("--all", "every", is_flag=True, help="Replay all dead letters.")
@click.option("--sign", is_flag=True, help="Sign control events with CHURN_CONTROL_SECRET, so that workers apply them.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Send without asking for confirmation.")
def replay(positions: tuple[str, ...], reason: str | None, every: bool, sign: bool, dry_run: bool, yes: bool) -> None:
    """Send dead letters to the events topic again, after the cause is fixed.

    Each event keeps its value, headers and timestamp. The headers with the rejection reason are removed, and
    churn.replayed names the dead letter. The record is keyed by the customer id. Events that would be rejected again
    are not sent, and neither is a dead letter that was replayed and rejected again as a newer one.

    Dead letters stay in their topic, and replays are not recorded, so replay each one once. If an event is replayed
    twice, the second copy has no effect if the event has an id (messageId, or a CloudEvent's source and id) and its
    customer is less than 24 hours of event time ahead of it. Otherwise it counts twice.

    A control event without a valid signature (unauthorized_control) is sent only with --sign: check who published it
    first, because workers then delete the customer or change the alert that it names.
    """
    if (bool(positions), reason is not None, every).count(True) != 1:
        raise click.UsageError(
            "choose the dead letters: PARTITION@OFFSET as dlq ls lists them, or --reason REASON, or --all."
        )
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError(
            "standard input is not a terminal, so no confirmation is possible: add --yes to send, or --dry-run to see"
            " what would be sent."
        )
    from streams.cli.replay import plan_replay

    settings = Settings.from_environment()
    plan = run_client(plan_replay(settings, [_parse_position(text) for text in positions], reason, sign=sign))
    _print_plan(plan)
    if plan.letters and not dry_run:
        if not yes:
            click.confirm(f"Send {len(plan.letters):,} events to {settings.topic_events}?", abort=True)
        click.echo(f"{_send(settings, plan):,} events sent to {settings.topic_events}")
    if positions and plan.skipped:
        raise ChurnSignalsError(
            "some of the named dead letters cannot be replayed. Show the reason with: churn-signals dlq show"
        )


def _send(settings: Settings, plan: ReplayPlan) -> int:
    from streams.cli.replay import send_again

    with ProgressBar("replaying", len(plan.letters)) as bar:

        async def send_plan() -> int:
            with stop_on_signal() as stop:
                return await send_again(settings, plan, bar.advance_to, stop)

        sent = run_client(send_plan())
    if sent < len(plan.letters):
        raise ChurnSignalsError(
            f"{sent:,} of {len(plan.letters):,} events were sent, in the order of dlq ls --json. The rest was not sent."
        )
    return sent


def _print_plan(plan: ReplayPlan) -> None:
    from rich.table import Table

    rows = [(count, f"to send: rejected as {reason}") for reason, count in Counter(plan.letters.values()).most_common()]
    rows += [(count, f"not sent: {why}") for why, count in plan.skipped.most_common()]
    if not rows:
        click.echo("no dead letters match")
        return
    table = Table("dead letters", "action", box=None, pad_edge=False)
    for count, action in rows:
        table.add_row(f"{count:,}", printable(action))
    stdout_console().print(table)


def _parse_position(text: str) -> tuple[int, int]:
    partition, at, offset = text.partition("@")
    if not (at and partition.isdecimal() and offset.isdecimal()):
        raise click.UsageError(f"{text!r} is not PARTITION@OFFSET, as dlq ls lists them (0@17).")
    return int(partition), int(offset)


async def _collect(
    settings: Settings, reason: str | None, last: int, as_json: bool
) -> tuple[Counter[str], list[DeadLetter]]:
    """Count dead letters by reason and keep the newest by record timestamp; print each with `as_json`."""
    from streams.kafka.topic_reader import read_topic
    from streams.scoring.dead_letters import DeadLetter

    counts: Counter[str] = Counter()
    newest: list[tuple[int, int, int, DeadLetter]] = []
    async for record in read_topic(settings, name_of(DEAD_LETTERS, settings)):
        letter = DeadLetter.of(record)
        if reason is not None and letter.reason != reason:
            continue
        counts[letter.reason] += 1
        if as_json:
            click.echo(_to_json(letter))
        elif last:
            entry = (letter.timestamp_ms, letter.partition, letter.offset, letter)
            (heapq.heappush if len(newest) < last else heapq.heappushpop)(newest, entry)
    return counts, [letter for *_, letter in sorted(newest)]


def _to_json(letter: DeadLetter) -> bytes:
    import orjson

    document: dict[str, Any] = {
        "partition": letter.partition,
        "offset": letter.offset,
        "sent_at": _sent_time(letter),
        "reason": letter.reason,
        "message": letter.message,
        "event": letter.source,
        "key": None if letter.key is None else _readable(letter.key),
        "value": None if letter.value is None else _readable(letter.value),
    }
    return orjson.dumps(document)


def _print_tables(counts: Counter[str], letters: list[DeadLetter]) -> None:
    from rich.table import Table
    from rich.text import Text

    page = stdout_console()
    table = Table("dead letters", "reason", box=None, pad_edge=False)
    for reason, count in counts.most_common():
        table.add_row(f"{count:,}", printable(reason))
    page.print(table)
    if not letters:
        return
    table = Table("position", "sent", "reason", "event", "payload", box=None, pad_edge=False)
    for letter in letters:
        payload = Text(printable(_readable(letter.value)[:60]), no_wrap=True, overflow="ellipsis")
        position = f"{letter.partition}@{letter.offset}"
        table.add_row(position, _sent_time(letter), printable(letter.reason), printable(letter.source), payload)
    page.print()
    page.print(table)


def _escaped(text: str) -> str:
    r"""Escape all control characters but line ends and tabs.

    >>> _escaped("[2J\x1b[2J")
    '[2J\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _readable(value: bytes | None) -> str:
    return "(none)" if value is None else value.decode("utf-8", "backslashreplace")


def _sent_time(letter: DeadLetter) -> str:
    from models.duration import rfc3339

    try:
        return rfc3339(letter.timestamp_ms)
    except (OverflowError, ValueError):  # the timestamp of a foreign record
        return f"{letter.timestamp_ms} ms"
