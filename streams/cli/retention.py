"""`churn-signals retention`: churn, retention and revenue as the workers account them, or as a file's events do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.common import events_of
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.retention.aggregates import Sums


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), required=False)
@click.option("--by", type=click.Choice(["plan", "source"]), help="A row for each plan or source.")
@click.option("--cohort", type=click.Choice(["month"]), help="A row for each month in which customers began.")
@click.option("--json", "as_json", is_flag=True, help="Every figure as one JSON object, money in minor units.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw how long subscriptions last, and the cohorts, to a .png file.",
)
def retention(file: str | None, by: str | None, cohort: str | None, as_json: bool, plot_path: Path | None) -> None:
    """Show churn, retention and growth of customers and revenue: per day, over 30 days, per month.

    Read from the sums that workers publish to the metrics topic every two seconds; no worker has to run. With FILE
    (events, one JSON object a line, plain or gzipped; - is standard input) the same is counted from that.
    """
    from models.retention.report import as_data, build
    from streams.cli.ask import ask, console
    from streams.rendering import retention as retention_text
    from streams.rendering import retention_plot

    if plot_path is not None:
        retention_plot.check_retention_plot(plot_path)
    report = build(read_file(file) if file is not None else ask(read_sums(Settings.from_environment())), by)
    if report is None:
        where = file or "the metrics topic"
        raise ChurnSignalsError(
            f"{where}: nothing is accounted yet. Workers account from a group's first event on; a group with state of"
            " an earlier release begins with: churn-signals reset"
        )
    if plot_path is not None:
        content = retention_plot.png(report)
        try:
            plot_path.write_bytes(content)
        except OSError as error:
            raise ConfigurationError(f"--plot {plot_path} cannot be written: {error.strerror or error}.") from None
    if as_json:
        import orjson

        click.echo(orjson.dumps(as_data(report)))
        return
    page = console()
    if cohort:
        retention_text.print_cohorts(page, report)
    elif by:
        retention_text.print_segments(page, report, by)
    else:
        retention_text.print_report(page, report)


async def read_sums(settings: Settings) -> Sums:
    """The sums of all partitions, as the metrics topic holds them.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.retention.aggregates import METRIC_PREFIX, Sums, add, read_metric
    from streams.kafka.topic_reader import newest_metrics

    found = Sums(int)
    for value in await newest_metrics(settings, METRIC_PREFIX):
        add(found, read_metric(value))
    return found


def read_file(file: str) -> Sums:
    """The sums of a file's events. Raises as `InputFile` does."""
    from models.backtesting.retention_log import RetentionLog

    log = RetentionLog()
    for event in events_of(file, "counting"):
        log.add(event)
    return log.sums()
