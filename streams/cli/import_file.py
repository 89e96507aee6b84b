"""`churn-signals import`: turn an export of another product, or a CSV file, into a file of events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.export_rows import CsvRows, json_rows
from streams.input_file import InputFile
from streams.output_file import PARTIAL_SUFFIX, open_output
from streams.sorted_lines import sorted_lines

if TYPE_CHECKING:
    from models.imports.import_report import ImportReport
    from models.imports.source import Mapped, NumberedRow, Row

_CSV: Final = "csv"
_SOURCES: Final = ("amplitude", "chargebee", _CSV, "ga4", "mixpanel", "posthog", "rudderstack", "snowplow", "stripe")
_ADVANCE_EVERY_ROWS: Final = 5_000
_TAB_NAMES: Final = ("\\t", "tab")


class _Reader:
    """How to read the rows of one file: its rows, the calls of a row, and the source's name of its event."""

    def __init__(
        self,
        rows: Iterable[NumberedRow],
        convert: Callable[[Row, int], Mapped],
        event_name: Callable[[Row], str],
    ) -> None:
        self.rows, self.convert, self.event_name = rows, convert, event_name


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--from", "source", type=click.Choice(_SOURCES), required=True, help="Product that wrote the export.")
@click.option(
    "--map",
    "entries",
    multiple=True,
    metavar="FIELD=COLUMN",
    help="With csv: column of a field of the event, or a constant with FIELD:=VALUE. Fields: type, event, userId,"
    " anonymousId, messageId, timestamp, groupId, previousId, properties.NAME, traits.NAME and context.active.",
)
@click.option(
    "--rename",
    "renames",
    multiple=True,
    metavar="NAME=EVENT",
    help="Event name for a name of the export.",
)
@click.option(
    "--date-format",
    "date_formats",
    multiple=True,
    metavar="FORMAT",
    help="With csv: form of times, such as %d.%m.%Y. By default RFC 3339 or epoch numbers.",
)
@click.option("--time-zone", metavar="ZONE", help="With csv: zone of times without an offset, such as Europe/Berlin.")
@click.option("--delimiter", metavar="CHARACTER", help="With csv: by default the most frequent one of the header.")
@click.option(
    "--customer-ids",
    type=click.Path(dir_okay=False),
    help="CSV file with a header: the source's customer ID, and the ID in your other events.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True),
    default="-",
    show_default="standard output",
    help="Output file; gzipped if its name ends in .gz.",
)
@click.option("--lenient", is_flag=True, help="Exit with 0 although rows were rejected.")
@click.pass_context
def import_file(
    ctx: click.Context,
    file: str,
    source: str,
    entries: tuple[str, ...],
    renames: tuple[str, ...],
    date_formats: tuple[str, ...],
    time_zone: str | None,
    delimiter: str | None,
    customer_ids: str | None,
    output: str,
    lenient: bool,
) -> None:
    """Turn an export into events, sorted by event time: one JSON object per line.

    FILE is plain or gzipped; - reads standard input. Exports of JSON have one object per line, a list of objects, or
    pages of the product's API. Names that the product does not share with the event format are passed on unchanged. A
    row without a customer or a time is rejected, never completed.

    Prints a report on standard error: rows, events, customers, time span, rows without an event with the reason and
    the first line, and names. Exit code 1 means that rows were rejected; all other events are written nevertheless.
    """
    from models.imports.import_report import ImportReport

    zone = _csv_options(source, entries, date_formats, time_zone, delimiter)
    names = dict(_pair(entry) for entry in renames)
    ids = None if customer_ids is None else _read_ids(customer_ids)
    report = ImportReport()
    with InputFile(file) as lines, ProgressBar("importing", lines.size) as bar:
        try:
            reader = (
                _csv_reader(lines, entries, date_formats, zone, delimiter)
                if source == _CSV
                else _json_reader(lines, source)
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"{file}: {error}") from None

        def advancing(rows: Iterable[NumberedRow]) -> Iterator[NumberedRow]:
            for count, row in enumerate(rows):
                if count % _ADVANCE_EVERY_ROWS == 0:
                    bar.advance_to(lines.position, f"{count:,} rows")
                yield row

        reader.rows = advancing(reader.rows)
        _write(output, reader, report, names, ids)
    _finish(ctx, file, report, lenient)


def _write(
    output: str, reader: _Reader, report: ImportReport, names: dict[str, str], ids: dict[str, str] | None
) -> None:
    from models.imports.conversion import converted, with_plan_changes

    unsorted = converted(reader.rows, reader.convert, reader.event_name, report, names, ids)
    try:
        with open_output(output) as file:
            for line in with_plan_changes((line for _, line in sorted_lines(unsorted)), report):
                file.write(line + b"\n")
    except BrokenPipeError:
        raise  # the reader of standard output has closed it; click exits quietly
    except OSError as error:
        name = str(error.filename or output).removesuffix(PARTIAL_SUFFIX)
        raise ChurnSignalsError(f"cannot write {name}: {error.strerror or error}.") from None


def _finish(ctx: click.Context, file: str, report: ImportReport, lenient: bool) -> None:
    from streams.rendering.import_report import import_lines

    for line in import_lines(report):
        click.echo(line, err=True)
    if not report.events:
        raise ChurnSignalsError(f"{file} has no row that became an event. Check --from, and the reasons above.")
    if report.rejected and not lenient:
        click.echo(
            "Rows were rejected: exit code 1. The other events are written. Accept this with --lenient.", err=True
        )
        ctx.exit(1)


def _csv_options(
    source: str, entries: Sequence[str], date_formats: Sequence[str], time_zone: str | None, delimiter: str | None
) -> tzinfo:
    """Check the options that only CSV has, and return the time zone."""
    if source != _CSV:
        stated = {"--map": entries, "--date-format": date_formats, "--time-zone": time_zone, "--delimiter": delimiter}
        for option, value in stated.items():
            if value:
                raise click.UsageError(f"{option} needs --from csv: the fields of {source} are known.")
    if delimiter is not None and delimiter not in _TAB_NAMES and len(delimiter) != 1:
        raise click.UsageError(f"--delimiter is one character, or \\t: {delimiter!r} has {len(delimiter)}.")
    try:
        return UTC if time_zone is None else ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.UsageError(
            f"--time-zone: there is no zone {time_zone!r}. Write one such as Europe/Berlin."
        ) from None


def _json_reader(lines: InputFile, source: str) -> _Reader:
    from models.imports import SOURCES

    found = SOURCES[source]
    rows: Iterable[NumberedRow] = json_rows(lines, found.wrappers, found.unwrap)
    if found.prepare is not None:
        rows = found.prepare(rows)
    return _Reader(rows, lambda row, _line: found.convert(row), found.event_name)


def _csv_reader(
    lines: InputFile, entries: Sequence[str], date_formats: Sequence[str], zone: tzinfo, delimiter: str | None
) -> _Reader:
    from models.imports.csv_mapping import CsvMapping, MappingError

    try:
        mapping = CsvMapping(entries, date_formats, zone)
    except MappingError as error:
        raise click.UsageError(f"--map: {error}") from None
    rows = CsvRows(lines, "\t" if delimiter in _TAB_NAMES else delimiter)
    try:
        mapping.check_header(rows.header)
    except MappingError as error:
        raise ConfigurationError(str(error)) from None
    return _Reader(rows, mapping.convert, mapping.event_name)


def _pair(entry: str) -> tuple[str, str]:
    name, separator, event = entry.rpartition("=")
    if not separator or not name or not event:
        raise click.UsageError(f"--rename: {entry!r} is no pair. Write NAME=EVENT.")
    return name, event


def _read_ids(path: str) -> dict[str, str]:
    """Read the customer IDs of a CSV file with two columns."""
    ids: dict[str, str] = {}
    with InputFile(path) as lines:
        try:
            rows = CsvRows(lines)
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None
        for line, row in rows:
            cells: list[Any] = list(row.values()) if isinstance(row, dict) else []
            if len(cells) != 2 or not cells[0] or not cells[1]:
                raise ConfigurationError(f"{path}: line {line} does not have two IDs.")
            ids[cells[0]] = cells[1]
    return ids
