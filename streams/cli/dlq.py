"""`churn-signals dlq`: which events were refused and why; one of them as it came; and back to the workers again."""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from streams.cli.ask import ask, console, plain, stopping
from streams.cli.common import ProgressBar
from streams.errors import ChurnSignalsError
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, name_of

if TYPE_CHECKING:
    from streams.cli.replay import ReplayPlan
    from streams.scoring.dead_letters import DeadLetter


@click.group()
def dlq() -> None:
    """List, show and replay events that were refused (dead letters)."""


@dlq.command()
@click.option("--reason", help="Only those with this reason.")
@click.option("--last", type=click.IntRange(0), default=20, show_default=True, help="How many to list, newest last.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, every dead letter.")
def ls(reason: str | None, last: int, as_json: bool) -> None:
    """Count dead letters by reason and list the newest.

    `sent` is the timestamp that the event came with; when it was refused is not kept.
    """
    counts, newest = ask(_collect(Settings.from_environment(), reason, last, as_json))
    if as_json:
        return
    if not counts:
        click.echo("no dead letters" + (f" with reason {reason}" if reason else ""))
        return
    _tables(counts, newest)


@dlq.command()
@click.argument("where", metavar="PARTITION@OFFSET")
@click.option("--raw", is_flag=True, help="Only the event's bytes, as they came.")
def show(where: str, raw: bool) -> None:
    """Show one dead letter: why it was refused, what to change, and its bytes."""
    from streams.kafka.topic_reader import read_record
    from streams.scoring.dead_letters import DeadLetter

    settings = Settings.from_environment()
    topic = name_of(DEAD_LETTERS, settings)
    record = ask(read_record(settings, topic, *_place(where)))
    if record is None:
        raise ChurnSignalsError(f"there is no dead letter at {where} in {topic}: churn-signals dlq ls lists them.")
    letter = DeadLetter.of(record)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        return
    for name, text in (
        ("reason", letter.reason),
        ("message", letter.message),
        ("error", letter.exception),
        ("event", letter.source),
        ("sent", _time(letter)),
        ("key", _readable(letter.key)),
        *((f"header {name}", _readable(value)) for name, value in letter.headers),
    ):
        click.echo(f"{plain(name)}: {_escaped(text)}")
    click.echo()
    click.echo(_escaped(_readable(letter.value)))


@dlq.command()
@click.argument("where", metavar="[PARTITION@OFFSET]...", nargs=-1)
@click.option("--reason", help="All those with this reason.")
@click.option("--all", "every", is_flag=True, help="All of them.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before sending.")
def replay(where: tuple[str, ...], reason: str | None, every: bool, dry_run: bool, yes: bool) -> None:
    """Send dead letters to the events topic again, once the cause is repaired.

    Value, headers and timestamp are those of the event; the headers that say why it was refused are gone, and
    churn.replayed says which letter it was. The key is the customer's id and the partition its own. What would be
    refused again is not sent, and neither is a letter that came back as a newer one after it was replayed.

    The letters stay where they are, and nothing remembers what was replayed: do it once. The second time, an event with
    an id (messageId, or a CloudEvent's source and id) changes nothing, while its customer is less than 24 hours of
    event time ahead of it; an event without an id, or later, counts twice.
    """
    if (bool(where), reason is not None, every).count(True) != 1:
        raise click.UsageError("say which: PARTITION@OFFSET as dlq ls lists them, or --reason REASON, or --all.")
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("there is nobody to ask: add --yes to send, or --dry-run to see what would be sent.")
    from streams.cli.replay import plan_replay

    settings = Settings.from_environment()
    plan = ask(plan_replay(settings, [_place(text) for text in where], reason))
    _print_plan(plan)
    if plan.letters and not dry_run:
        if not yes:
            click.confirm(f"Send {len(plan.letters):,} events to {settings.topic_events}?", abort=True)
        click.echo(f"{_replay(settings, plan):,} events sent to {settings.topic_events}")
    if where and plan.left:
        raise ChurnSignalsError("not all of the letters that were named can be sent: churn-signals dlq show says more.")


def _replay(settings: Settings, plan: ReplayPlan) -> int:
    from streams.cli.replay import send_again

    with ProgressBar("replaying", len(plan.letters)) as bar:

        async def sending() -> int:
            with stopping() as stop:
                return await send_again(settings, plan, bar.advance_to, stop)

        sent = ask(sending())
    if sent < len(plan.letters):
        raise ChurnSignalsError(
            f"{sent:,} of {len(plan.letters):,} events were sent, in the order of dlq ls --json; the rest was not."
        )
    return sent


def _print_plan(plan: ReplayPlan) -> None:
    from rich.table import Table

    rows = [(count, f"to send: refused as {reason}") for reason, count in Counter(plan.letters.values()).most_common()]
    rows += [(count, f"not sent: {why}") for why, count in plan.left.most_common()]
    if not rows:
        click.echo("no dead letters of this kind")
        return
    table = Table("dead letters", "what happens to them", box=None, pad_edge=False)
    for count, what in rows:
        table.add_row(f"{count:,}", plain(what))
    console().print(table)


def _place(where: str) -> tuple[int, int]:
    number, at, offset = where.partition("@")
    if not (at and number.isdecimal() and offset.isdecimal()):
        raise click.UsageError(f"{where!r} is not PARTITION@OFFSET, as dlq ls lists them (0@17).")
    return int(number), int(offset)


async def _collect(
    settings: Settings, reason: str | None, last: int, as_json: bool
) -> tuple[Counter[str], list[DeadLetter]]:
    """How many there are of each reason, and the newest by the timestamp that they came with."""
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
            click.echo(_json(letter))
        elif last:
            entry = (letter.timestamp_ms, letter.partition, letter.offset, letter)
            (heapq.heappush if len(newest) < last else heapq.heappushpop)(newest, entry)
    return counts, [letter for *_, letter in sorted(newest)]


def _json(letter: DeadLetter) -> bytes:
    import orjson

    document: dict[str, Any] = {
        "partition": letter.partition,
        "offset": letter.offset,
        "sent_at": _time(letter),
        "reason": letter.reason,
        "message": letter.message,
        "event": letter.source,
        "key": None if letter.key is None else _readable(letter.key),
        "value": None if letter.value is None else _readable(letter.value),
    }
    return orjson.dumps(document)


def _tables(counts: Counter[str], letters: list[DeadLetter]) -> None:
    from rich.table import Table
    from rich.text import Text

    page = console()
    table = Table("dead letters", "reason", box=None, pad_edge=False)
    for reason, count in counts.most_common():
        table.add_row(f"{count:,}", plain(reason))
    page.print(table)
    if not letters:
        return
    table = Table("where", "sent", "reason", "event", "begins", box=None, pad_edge=False)
    for letter in letters:
        begins = Text(plain(_readable(letter.value)[:60]), no_wrap=True, overflow="ellipsis")
        where = f"{letter.partition}@{letter.offset}"
        table.add_row(where, _time(letter), plain(letter.reason), plain(letter.source), begins)
    page.print()
    page.print(table)


def _escaped(text: str) -> str:
    r"""Of text that somebody else wrote, only line ends and tabs command the terminal.

    >>> _escaped("[2J\x1b[2J")
    '[2J\\x1b[2J'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _readable(value: bytes | None) -> str:
    return "(none)" if value is None else value.decode("utf-8", "backslashreplace")


def _time(letter: DeadLetter) -> str:
    from models.duration import rfc3339

    return rfc3339(letter.timestamp_ms)
