"""`churn-signals alerts`: alerts as they were told, newest last, and with --follow as they come."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import click

from streams.cli.ask import ask, console, plain, stopping
from streams.cli.common import TIME
from streams.settings import Settings

# As models.alerts.policy has them; not read from there, so that --help does not load the models (a test compares them).
BANDS = ("low", "elevated", "high", "critical")
STATES = ("open", "acknowledged", "snoozed", "resolved", "retracted", "expired")
ROUTES = ("billing", "success")

LAST = 20


class AlertFilter(NamedTuple):
    """Which alerts to show; None: no matter."""

    band: str | None = None
    states: tuple[str, ...] = ()
    route: str | None = None

    def takes(self, value: Mapping[str, Any]) -> bool:
        """Whether a change of an alert is among them.

        >>> [AlertFilter("high").takes({"severity": band, "state": "open"}) for band in BANDS]
        [False, False, True, True]
        """
        severity = value.get("severity")
        high = self.band is None or (severity in BANDS and BANDS.index(severity) >= BANDS.index(self.band))
        mine = self.route is None or value.get("route", "success") == self.route
        return high and mine and (not self.states or value.get("state") in self.states)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, from now on, until Ctrl-C.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="json: one a line."
)
@click.option("--band", type=click.Choice(BANDS[1:]), help="Alerts that have reached this band or a higher one.")
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="The state after the change; repeatable."
)
@click.option("--route", type=click.Choice(ROUTES), help="Those for who sees to payments, or to customers.")
@click.option("--since", type=TIME, metavar="TIME", help="All that was published since (by the clock, not event time).")
@click.option(
    "--last",
    type=click.IntRange(0),
    show_default=f"{LAST}, with --follow 0, with --since all",
    help="The newest so many.",
)
@click.option("--headers", is_flag=True, help="With --format json: the CloudEvents headers (ce_...) as members too.")
def alerts(
    follow: bool,
    form: str,
    band: str | None,
    states: tuple[str, ...],
    route: str | None,
    since: int | None,
    last: int | None,
    headers: bool,
) -> None:
    """Show what happened to alerts: opened, escalated, acknowledged, resolved and so on, newest last.

    What asks somebody to act is told in full: who, how likely, why, what it is worth, which playbook. Times are event
    time in UTC. Ctrl-C ends --follow with 0.

    \b
    churn-signals alerts --band high            the newest 20 that were ever high or critical
    churn-signals alerts -f --format json | jq  for programs, one object a line, as it comes
    """
    if headers and form != "json":
        raise click.UsageError("--headers needs --format json.")
    if last is None and since is None:
        last = 0 if follow else LAST
    show = _Lines(AlertFilter(band, states, route), form == "json", headers)
    ask(_show(Settings.from_environment(), show, since, last, follow))
    if not show.shown and not follow and form == "text":
        click.echo("no alerts" + (" of this kind" if band or states or route or since is not None else ""))


async def _show(settings: Settings, show: _Lines, since: int | None, last: int | None, follow: bool) -> None:
    with stopping() if follow else nullcontext() as stop:
        async for record in changes(settings, show.takes, since_ms=since, last=last, stop=stop):
            show(record)


async def changes(
    settings: Settings,
    wanted: Callable[[Any], bool] = lambda record: True,
    *,
    since_ms: int | None = None,
    last: int | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[Any]:
    """Records of the alerts topic: those that are there, in the order of their timestamps, then those that come.

    Args:
        settings: where.
        wanted: which records.
        since_ms: only records that were written at this wall time or later.
        last: only the newest so many of those that are there; None: all.
        stop: go on with new records, within a second of their writing, until this is set; None: end with the last one.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: a topic does not exist, or differs from its declaration.
    """
    from streams.kafka import topic_reader
    from streams.topics import ALERTS, name_of

    tps = await topic_reader.partitions_of(settings, name_of(ALERTS, settings))
    async with topic_reader.consuming(settings) as consumer:
        spans = await topic_reader.spans_of(consumer, tps)
        ends = {tp: end for tp, (_, end) in spans.items()}
        if since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(tps, since_ms))
            spans = {tp: (at.offset if (at := found.get(tp)) else end, end) for tp, end in ends.items()}
        if last is None:
            there = topic_reader.merged(consumer, spans)
        else:
            there = _each(await topic_reader.newest_records(consumer, spans, last, wanted))
        async for record in there:
            if stop is not None and stop.is_set():
                return
            if wanted(record):
                yield record
        if stop is not None:
            async for record in topic_reader.follow(consumer, ends, stop):
                if wanted(record):
                    yield record


async def _each(records: list[Any]) -> AsyncIterator[Any]:
    for record in records:
        yield record


class _Lines:
    """Prints changes of alerts; what is none is named on standard error, once each, and passed over."""

    def __init__(self, choice: AlertFilter, as_json: bool, headers: bool) -> None:
        self.shown = 0
        self._choice, self._as_json, self._headers = choice, as_json, headers
        self._console = console()

    def takes(self, record: Any) -> bool:
        value = _value(record)
        return value is None or self._choice.takes(value)

    def __call__(self, record: Any) -> None:
        import msgspec
        import orjson

        value = _value(record)
        try:
            if value is None:
                raise msgspec.ValidationError("it is no JSON object")
            if self._as_json:
                click.echo(orjson.dumps({**(_headers(record) if self._headers else {}), **value}))
            else:
                self._print(value)
        except msgspec.ValidationError as error:
            where = f"{record.topic}/{record.partition}@{record.offset}"
            click.echo(f"{where} is no alert that this version knows: {plain(str(error))}", err=True)
            return
        self.shown += 1

    def _print(self, value: dict[str, Any]) -> None:
        from streams.rendering.alerts import render_alert

        text = render_alert(value)
        if self.shown:
            self._console.print()
        self._console.print(text)
        sys.stdout.flush()


def _headers(record: Any) -> dict[str, str]:
    return {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers if name.startswith("ce_")}


def _value(record: Any) -> dict[str, Any] | None:
    import orjson

    try:
        value = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
