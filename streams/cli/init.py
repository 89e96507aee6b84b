"""`churn-signals init`: write a commented churn.toml from the events of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import DEFAULT_CONFIG
from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.input_file import InputFile

if TYPE_CHECKING:
    from models.backtesting.log_census import LogCensus


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="File to write; - is standard output. An existing file is kept.",
)
def init(file: str, output: Path) -> None:
    """Propose a churn definition from the events in FILE.

    FILE has one JSON object per line, plain or gzipped; - reads standard input. Churn is a cancellation if the file has
    any, otherwise a silence that is longer than most gaps between the active days of one customer.
    """
    from models.backtesting.definition_proposal import churn_toml, propose

    if str(output) != "-" and output.exists():
        raise ConfigurationError(f"{output} exists. Remove it, or write another file with --output.")
    census = _census_of(file)
    if not census.events:
        raise ChurnSignalsError(f"{file} has no valid event. See what it has with: churn-signals check {file}")
    try:
        proposed = churn_toml(propose(census), Path(file).name if file != "-" else "standard input")
    except ValueError as error:
        raise ChurnSignalsError(f"no churn definition can be proposed from {file}: {error}.") from None
    if str(output) == "-":
        click.echo(proposed, nl=False)
        return
    try:
        output.write_text(proposed, encoding="utf-8")
    except OSError as error:
        raise ChurnSignalsError(f"cannot write {output}: {error.strerror or error}.") from None
    click.echo(f"{output}: a proposal from {census.events:,} events. Evaluate it with: churn-signals backtest {file}")


def _census_of(file: str) -> LogCensus:
    from models.backtesting.log_census import LogCensus
    from models.events.event import decode

    census = LogCensus()
    with InputFile(file) as lines, ProgressBar("reading", lines.size) as bar:
        for number, line in enumerate(lines, 1):
            if line:
                census.add(number, decode(line, (), None))
            if number % 5_000 == 0:
                bar.advance_to(lines.position)
    return census
