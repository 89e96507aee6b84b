"""`churn-signals dlq`: which events were refused and why; `show` prints one of them as it came."""

from __future__ import annotations

import sys
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import click

from streams.cli.ask import ask, console
from streams.errors import ChurnSignalsError
from streams.settings import Settings
from streams.topics import DEAD_LETTERS, name_of

if TYPE_CHECKING:
    from streams.dead_letters import DeadLetter


@click.group()
def dlq() -> None:
    """List and show events that were refused (dead letters)."""


@dlq.command()
@click.option("--reason", help="Only those with this reason.")
@click.option("--last", type=click.IntRange(0), default=20, show_default=True, help="How many to list, newest last.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, every dead letter.")
def ls(reason: str | None, last: int, as_json: bool) -> None:
    """Count dead letters by reason and list the newest."""
    counts, newest = ask(_collect(Settings.from_environment(), reason, last, as_json))
    if as_json:
        return
    if not counts:
        click.echo("no dead letters" + (f" with reason {reason}" if reason else ""))
        return
    _tables(counts, list(newest))


@dlq.command()
@click.argument("where", metavar="PARTITION@OFFSET")
@click.option("--raw", is_flag=True, help="Only the event's bytes, as they came.")
def show(where: str, raw: bool) -> None:
    """Show one dead letter: why it was refused, what to change, and its bytes."""
    from streams.dead_letters import DeadLetter
    from streams.topic_reader import read_one

    number, at, offset = where.partition("@")
    if not (at and number.isdecimal() and offset.isdecimal()):
        raise click.UsageError(f"{where!r} is not PARTITION@OFFSET, as dlq ls lists them (0@17).")
    settings = Settings.from_environment()
    topic = name_of(DEAD_LETTERS, settings)
    record = ask(read_one(settings, topic, int(number), int(offset)))
    if record is None:
        raise ChurnSignalsError(f"there is no dead letter at {where} in {topic}.")
    letter = DeadLetter.of(record)
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        return
    for name, text in (
        ("reason", letter.reason),
        ("message", letter.message),
        ("error", letter.exception),
        ("event", letter.source),
        ("refused", _time(letter)),
        ("key", _readable(letter.key)),
        *((f"header {name}", _readable(value)) for name, value in letter.headers),
    ):
        click.echo(f"{name}: {text}")
    click.echo()
    click.echo(_readable(letter.value))


async def _collect(
    settings: Settings, reason: str | None, last: int, as_json: bool
) -> tuple[Counter[str], deque[DeadLetter]]:
    from streams.dead_letters import DeadLetter
    from streams.topic_reader import read_topic

    counts: Counter[str] = Counter()
    letters: deque[DeadLetter] = deque(maxlen=None if as_json else max(last, 1) * 64)
    async for record in read_topic(settings, name_of(DEAD_LETTERS, settings)):
        letter = DeadLetter.of(record)
        if reason is not None and letter.reason != reason:
            continue
        counts[letter.reason] += 1
        if as_json:
            click.echo(_json(letter))
        else:
            letters.append(letter)
    newest = sorted(letters, key=lambda letter: letter.timestamp_ms)
    return counts, deque(newest[len(newest) - last :] if last else ())


def _json(letter: DeadLetter) -> bytes:
    import orjson

    document: dict[str, Any] = {
        "partition": letter.partition,
        "offset": letter.offset,
        "refused_at": _time(letter),
        "reason": letter.reason,
        "message": letter.message,
        "event": letter.source,
        "key": None if letter.key is None else _readable(letter.key),
        "value": None if letter.value is None else _readable(letter.value),
    }
    return orjson.dumps(document)


def _tables(counts: Counter[str], letters: list[DeadLetter]) -> None:
    from rich.table import Table

    page = console()
    table = Table("dead letters", "reason", box=None, pad_edge=False)
    for reason, count in counts.most_common():
        table.add_row(f"{count:,}", reason)
    page.print(table)
    if not letters:
        return
    table = Table("where", "refused", "reason", "event", "begins", box=None, pad_edge=False)
    for letter in letters:
        begins = _readable(letter.value)[:60]
        where = f"{letter.partition}@{letter.offset}"
        table.add_row(where, _time(letter), letter.reason, letter.source, _plain(begins))
    page.print()
    page.print(table)


def _plain(text: str) -> Any:
    """Events are no markup, and no terminal commands."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "." for c in text), no_wrap=True, overflow="ellipsis")


def _readable(value: bytes | None) -> str:
    return "(none)" if value is None else value.decode("utf-8", "backslashreplace")


def _time(letter: DeadLetter) -> str:
    from models.duration import rfc3339

    return rfc3339(letter.timestamp_ms)
