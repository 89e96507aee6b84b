"""`churn-signals experience`: satisfaction, barriers and goals with their churn rates, from matured labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import config_option, read_definition
from streams.cli.progress import events_of
from streams.errors import ChurnSignalsError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.experience.aggregates import Sums


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), required=False)
@click.option("--by", type=click.Choice(["plan", "stage"]), help="Show one row per plan or per stage of tenure.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as one JSON object.")
@config_option
def experience(file: str | None, by: str | None, as_json: bool, config: Path) -> None:
    """Show satisfaction (CSAT, NPS, CES), and churn by survey answer, barrier and goal.

    Without FILE, reads the sums that workers publish to the metrics topic once per day of event time; no worker has to
    run. With FILE (one JSON object per line, plain or gzipped; - reads standard input), counts its events with the
    labels that --config defines.
    """
    from models.experience.report import as_data, build
    from streams.cli.skipped import consistent
    from streams.kafka.client_runner import run_client
    from streams.rendering import experience as rendering
    from streams.rendering.terminal import stdout_console

    if file is not None:
        sums = experience_from_file(file, config)
    else:
        sums = run_client(experience_from_topic(Settings.from_environment()))
    report = build(sums, by) if file is not None else consistent("the metrics topic", lambda: build(sums, by))
    if report is None:
        raise ChurnSignalsError(
            f"{file or 'the metrics topic'} has no matured label and no reached goal yet. A label matures when"
            " label.horizon and label.grace have passed after its snapshot, and counts when that day is over."
        )
    if as_json:
        import orjson

        click.echo(orjson.dumps(as_data(report)))
        return
    page = stdout_console()
    if by:
        rendering.print_experience_groups(page, report, by)
    else:
        rendering.print_experience(page, report)


async def experience_from_topic(settings: Settings) -> Sums:
    """Read the sums of all partitions from the metrics topic.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.experience.aggregates import METRIC_PREFIX, add, read_metric
    from streams.cli.skipped import reporting_skipped
    from streams.kafka.topic_reader import newest_metrics

    sums: Sums = {}
    with reporting_skipped() as unusable:
        for block, series in await newest_metrics(settings, METRIC_PREFIX, read_metric, unusable):
            add(sums, block, series)
    return sums


def experience_from_file(file: str, config: Path) -> Sums:
    """Count the events of a file. Raises as `InputFile` and `read_definition` do."""
    from models.backtesting.experience_log import ExperienceLog
    from models.learning.feature_space import SPACE
    from models.learning.model import Model

    definition = read_definition(config)
    log = ExperienceLog(definition, Model(SPACE).scorer())
    for _ in log.read(events_of(file, "counting", definition.names)):
        pass
    return log.sums()
