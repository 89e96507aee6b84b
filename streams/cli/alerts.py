"""`churn-signals alerts`: list alert changes, newest last, and follow new ones with --follow."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import click

from streams.cli.options import TIME
from streams.cli.skipped import reporting_skipped
from streams.kafka.client_runner import run_client, stop_on_signal
from streams.kafka.unusable_records import UnusableRecords
from streams.rendering.terminal import stdout_console
from streams.settings import Settings

# Copies of models.alerts.policy and competing_risks, so that --help does not load the models; a test compares them.
BANDS = ("low", "elevated", "high", "critical")
STATES = ("open", "acknowledged", "snoozed", "resolved", "retracted", "expired")
ROUTES = ("billing", "success")

DEFAULT_LAST = 20


class AlertFilter(NamedTuple):
    """Selects alert changes. None, or no states, selects all."""

    min_band: str | None = None
    states: tuple[str, ...] = ()
    route: str | None = None

    def matches(self, value: Mapping[str, Any]) -> bool:
        """Whether a decoded `churn-alerts` value is selected.

        >>> [AlertFilter("high").matches({"severity": band, "state": "open"}) for band in BANDS]
        [False, False, True, True]
        """
        severity = value.get("severity")
        in_band = self.min_band is None or (severity in BANDS and BANDS.index(severity) >= BANDS.index(self.min_band))
        on_route = self.route is None or value.get("route", "success") == self.route
        return in_band and on_route and (not self.states or value.get("state") in self.states)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Print new changes as they are published, until Ctrl-C.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Print text, or JSON with one object per line.",
)
@click.option(
    "--band", type=click.Choice(BANDS[1:]), help="Only alerts that have reached this risk band or a higher one."
)
@click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="Only changes to this state; repeatable."
)
@click.option(
    "--route", type=click.Choice(ROUTES), help="Only alerts for the billing team or the customer success team."
)
@click.option(
    "--since",
    type=TIME,
    metavar="TIME",
    help="Only changes published since this time (wall-clock time, not event time).",
)
@click.option(
    "--last",
    type=click.IntRange(0),
    show_default=f"{DEFAULT_LAST}, with --follow 0, with --since all",
    help="Number of existing changes to print, counted from the newest.",
)
@click.option(
    "--headers", is_flag=True, help="With --format json: include the CloudEvents headers (ce_...) as members."
)
def alerts(
    follow: bool,
    output_format: str,
    band: str | None,
    states: tuple[str, ...],
    route: str | None,
    since: int | None,
    last: int | None,
    headers: bool,
) -> None:
    """Show alert changes: opened, escalated, acknowledged, resolved and so on, newest last.

    Changes that ask a person to act are shown in full: customer, risk, reasons, value at risk and playbook. Times are
    event times in UTC. Ctrl-C ends --follow with exit code 0.

    \b
    churn-signals alerts --band high            the newest 20 that reached high or critical
    churn-signals alerts -f --format json | jq  new changes, one JSON object per line
    """
    if headers and output_format != "json":
        raise click.UsageError("--headers needs --format json.")
    if last is None and since is None:
        last = 0 if follow else DEFAULT_LAST
    with reporting_skipped() as unusable:
        printer = _AlertPrinter(
            AlertFilter(band, states, route), unusable, as_json=output_format == "json", headers=headers
        )
        run_client(_print_changes(Settings.from_environment(), printer, since, last, follow))
    if not printer.printed and not follow and output_format == "text":
        click.echo("no alerts" + (" match these options" if band or states or route or since is not None else ""))


async def _print_changes(
    settings: Settings, printer: _AlertPrinter, since_ms: int | None, last: int | None, follow: bool
) -> None:
    with stop_on_signal() if follow else nullcontext() as stop:
        async for record in read_changes(settings, printer.selects, since_ms=since_ms, last=last, stop=stop):
            printer.print_record(record)


async def read_changes(
    settings: Settings,
    selects: Callable[[Any], bool] = lambda record: True,
    *,
    since_ms: int | None = None,
    last: int | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[Any]:
    """Read records of the alerts topic: existing ones in timestamp order, then new ones.

    Args:
        settings: Connection and topic names.
        selects: Which records to yield.
        since_ms: Only records written at this wall time or later.
        last: Only this many of the newest existing records; None: all.
        stop: Yield new records within a second of their writing until this is set; None: end after the existing ones.

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
            offsets = await consumer.offsets_for_times(dict.fromkeys(tps, since_ms))
            spans = {tp: (at.offset if (at := offsets.get(tp)) else end, end) for tp, end in ends.items()}
        if last is None:
            existing = topic_reader.merged(consumer, spans)
        else:
            existing = _iterate(await topic_reader.newest_records(consumer, spans, last, selects))
        async for record in existing:
            if stop is not None and stop.is_set():
                return
            if selects(record):
                yield record
        if stop is not None:
            async for record in topic_reader.follow(consumer, ends, stop):
                if selects(record):
                    yield record


async def _iterate(records: list[Any]) -> AsyncIterator[Any]:
    for record in records:
        yield record


class _AlertPrinter:
    """Prints alert changes. Skips and reports records that are none."""

    def __init__(self, selection: AlertFilter, unusable: UnusableRecords, *, as_json: bool, headers: bool) -> None:
        self.printed = 0
        self._filter, self._unusable, self._as_json, self._headers = selection, unusable, as_json, headers
        self._console = stdout_console()

    def selects(self, record: Any) -> bool:
        """Whether to print a record; a record that is no alert is reported."""
        from streams.rendering.alerts import published_alert

        value = self._unusable.use(record, published_alert)
        return value is not None and self._filter.matches(value)

    def print_record(self, record: Any) -> None:
        """Print one selected change."""
        import orjson

        from streams.rendering.alerts import published_alert

        value = published_alert(record)
        if self._as_json:
            click.echo(orjson.dumps({**(_cloudevents_headers(record) if self._headers else {}), **value}))
        else:
            self._print_text(value)
        self.printed += 1

    def _print_text(self, value: dict[str, Any]) -> None:
        from streams.rendering.alerts import LABEL_WIDTH, render_alert
        from streams.rendering.terminal import print_indented

        text = render_alert(value)
        if self.printed:
            self._console.print()
        print_indented(self._console, text, LABEL_WIDTH)
        sys.stdout.flush()


def _cloudevents_headers(record: Any) -> dict[str, str]:
    return {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers if name.startswith("ce_")}
