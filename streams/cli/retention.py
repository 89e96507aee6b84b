"""`churn-signals retention`: churn, retention and revenue, as workers account for them or from the events of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import names_option, read_names
from streams.cli.progress import events_of
from streams.errors import ChurnSignalsError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.events.event_names import EventNames
    from models.retention.aggregates import Sums


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), required=False)
@names_option
@click.option("--by", type=click.Choice(["plan", "source"]), help="Show one row per plan or per source.")
@click.option("--cohort", type=click.Choice(["month"]), help="Show one row per month of the customers' first activity.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as one JSON object, money in hundredths.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Plot subscription survival and cohorts to a .png file.",
)
def retention(
    file: str | None, config: Path | None, by: str | None, cohort: str | None, as_json: bool, plot_path: Path | None
) -> None:
    """Show churn, retention and growth of customers and revenue: per day, over 30 days and per month.

    Without FILE, reads the sums that workers publish to the metrics topic every two seconds; no worker has to run. With
    FILE (one JSON object per line, plain or gzipped; - reads standard input), counts its events.
    """
    from models.retention.report import as_data, build
    from streams.cli.skipped import consistent
    from streams.kafka.client_runner import run_client
    from streams.rendering import retention as rendering
    from streams.rendering.terminal import stdout_console

    if file is None and config is not None:
        raise click.UsageError("--config needs FILE: workers account with their own definition.")
    if plot_path is not None:
        from streams.rendering.plotting import check_plot_path

        check_plot_path(plot_path, (".png",))
    if file is not None:
        sums = retention_from_file(file, read_names(config))
    else:
        sums = run_client(retention_from_topic(Settings.from_environment()))
    report = build(sums, by) if file is not None else consistent("the metrics topic", lambda: build(sums, by))
    if report is None:
        raise ChurnSignalsError(
            f"{file or 'the metrics topic'} has no retention figures yet. Workers account from a group's first event"
            " on. A group with state of an earlier release starts after: churn-signals reset"
        )
    if plot_path is not None:
        from streams.rendering.plotting import write_bytes
        from streams.rendering.retention_plot import retention_png

        write_bytes(plot_path, retention_png(report))
    if as_json:
        import orjson

        click.echo(orjson.dumps(as_data(report)))
        return
    page = stdout_console()
    if cohort:
        rendering.print_cohorts(page, report)
    elif by:
        rendering.print_segments(page, report, by)
    else:
        rendering.print_retention(page, report)


async def retention_from_topic(settings: Settings) -> Sums:
    """Read the sums of all partitions from the metrics topic.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.retention.aggregates import METRIC_PREFIX, Sums, add, read_metric
    from streams.cli.skipped import reporting_skipped
    from streams.kafka.topic_reader import newest_metrics

    sums = Sums(int)
    with reporting_skipped() as unusable:
        for block in await newest_metrics(settings, METRIC_PREFIX, read_metric, unusable):
            add(sums, block)
    return sums


def retention_from_file(file: str, names: EventNames | None = None) -> Sums:
    """Count the events of a file. Raises as `InputFile` does."""
    from models.backtesting.retention_log import RetentionLog

    log = RetentionLog()
    for event in events_of(file, "counting", names):
        log.add(event)
    return log.sums()
