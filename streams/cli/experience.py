"""`churn-signals experience`: satisfaction, barriers and goals, and who of them churned, from labels that matured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.common import config_option, events_of, read_definition
from streams.errors import ChurnSignalsError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.experience.aggregates import Sums


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), required=False)
@click.option("--by", type=click.Choice(["plan", "stage"]), help="A row for each plan, or stage of tenure.")
@click.option("--json", "as_json", is_flag=True, help="Every figure as one JSON object.")
@config_option
def experience(file: str | None, by: str | None, as_json: bool, config: Path) -> None:
    """Show satisfaction (CSAT, NPS, CES), and who churned by it, by barrier and by goal.

    Read from the sums that workers publish to the metrics topic, once a day of event time; no worker has to run. With
    FILE (events, one JSON object a line, plain or gzipped; - is standard input) the same is counted from that, with the
    labels that --config means.
    """
    from models.experience.report import as_data, build
    from streams.cli.ask import ask, console
    from streams.rendering import experience as experience_text

    sums = read_file(file, config) if file is not None else ask(read_sums(Settings.from_environment()))
    report = build(sums, by)
    if report is None:
        where = file or "the metrics topic"
        raise ChurnSignalsError(
            f"{where}: no label has matured yet, and no goal was reached. A label matures when label.horizon and"
            " label.grace have passed after a snapshot, and counts when that day is over."
        )
    if as_json:
        import orjson

        click.echo(orjson.dumps(as_data(report)))
        return
    page = console()
    if by:
        experience_text.print_groups(page, report, by)
    else:
        experience_text.print_report(page, report)


async def read_sums(settings: Settings) -> Sums:
    """The sums of all partitions, as the metrics topic holds them.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.experience.aggregates import METRIC_PREFIX, add, read_metric
    from streams.kafka.topic_reader import newest_metrics

    found: Sums = {}
    for value in await newest_metrics(settings, METRIC_PREFIX):
        add(found, *read_metric(value))
    return found


def read_file(file: str, config: Path) -> Sums:
    """The sums of a file's events. Raises as `InputFile` and `read_definition` do."""
    from models.backtesting.experience_log import ExperienceLog
    from models.learning.feature_space import SPACE
    from models.learning.model import Model

    log = ExperienceLog(read_definition(config), Model(SPACE).scorer())
    for _ in log.read(events_of(file, "counting")):
        pass
    return log.sums()
