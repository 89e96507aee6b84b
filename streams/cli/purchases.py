"""`churn-signals purchases`: fit BG/NBD and Gamma-Gamma to purchases, and compare the forecast with actual ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.options import TIME, names_option, read_names
from streams.cli.progress import ProgressBar, events_of
from streams.errors import ChurnSignalsError
from streams.rendering import purchases as rendering
from streams.rendering.formats import date_text
from streams.rendering.terminal import stdout_console
from streams.settings import Settings

if TYPE_CHECKING:
    from models.events.event_names import EventNames
    from models.value.holdout import PurchaseLog, WeekAhead
    from models.value.repurchase_backtest import ReturnReport


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), required=False)
@names_option
@click.option(
    "--until", "until_ms", type=TIME, metavar="TIME", help="With FILE: fit to the days before this time. Required then."
)
@click.option(
    "--refit", is_flag=True, help="Also predict each week, and who buys again, from all data before that week."
)
@click.option("--json", "as_json", is_flag=True, help="Print parameters and tables as one JSON object.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Plot predicted and actual purchases per week to a .png file.",
)
def purchases(
    file: str | None, config: Path | None, until_ms: int | None, refit: bool, as_json: bool, plot_path: Path | None
) -> None:
    """Fit BG/NBD and Gamma-Gamma to purchases, and compare the forecast with the purchases after it.

    FILE has one JSON object per line, plain or gzipped; - reads standard input. All orders of a customer on one day
    count as one purchase. The parameters are fitted to counts of customers: by fortnight of first and last purchase and
    number of purchases, and by number and mean value of purchases.

    Without FILE, reads these counts from the metrics topic, where workers publish them every four weeks of event time,
    and forecasts the purchases of all customers from then on. No worker has to run.
    """
    if file is None:
        if until_ms is not None or refit or plot_path is not None or config is not None:
            raise click.UsageError("--config, --until, --refit and --plot need FILE.")
        _print_published(as_json)
        return
    if until_ms is None:
        raise click.UsageError("--until is missing: FILE needs the time up to which the parameters are fitted.")
    import msgspec

    from models.profile.mergeable import DAY_MS
    from models.value.bg_nbd import NoEstimate

    if plot_path is not None:
        from streams.rendering.plotting import check_plot_path

        check_plot_path(plot_path, (".png",))
    log = read_purchases(file, until_ms // DAY_MS - 1, read_names(config))
    try:
        forecast = log.forecast()
        ahead = _weeks_ahead(log, len(forecast.weeks)) if refit else []
        returns = _returns(log, len(forecast.weeks)) if refit else None
    except NoEstimate as reason:
        raise ChurnSignalsError(f"{file}, days before {date_text(until_ms // DAY_MS)}: {reason}.") from None
    if plot_path is not None:
        from streams.rendering.plotting import write_bytes
        from streams.rendering.purchases_plot import purchases_png

        write_bytes(plot_path, purchases_png(forecast, ahead))
    if as_json:
        value = msgspec.to_builtins(forecast)
        click.echo(msgspec.json.encode({**value, "weeks_ahead": ahead, "returns": returns} if refit else value))
        return
    page = stdout_console()
    rendering.print_forecast(page, forecast, ahead)
    if returns is not None:
        rendering.print_returns(page, returns)


def _print_published(as_json: bool) -> None:
    """Forecast from the counts that workers have published."""
    import msgspec

    from models.value.mle import NoEstimate
    from models.value.purchase_aggregates import summarize
    from streams.cli.skipped import consistent
    from streams.kafka.client_runner import run_client

    try:
        cells = run_client(read_cells(Settings.from_environment()))
        forecast = consistent("the metrics topic", lambda: summarize(cells), NoEstimate)
    except NoEstimate as reason:
        raise ChurnSignalsError(f"the metrics topic: {reason}.") from None
    if forecast is None:
        raise ChurnSignalsError(
            "the metrics topic has no purchase counts yet. Workers publish them with the first order after every four"
            " weeks of event time."
        )
    if as_json:
        click.echo(msgspec.json.encode(forecast))
        return
    rendering.print_purchase_summary(stdout_console(), forecast)


async def read_cells(settings: Settings) -> list[bytes]:
    """Read the newest counts of all partitions from the metrics topic.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.value.purchase_aggregates import METRIC_PREFIX, check_cells
    from streams.cli.skipped import reporting_skipped
    from streams.kafka.topic_reader import newest_metrics

    with reporting_skipped() as unusable:
        return await newest_metrics(settings, METRIC_PREFIX, check_cells, unusable)


def read_purchases(file: str, until_day: int, names: EventNames | None = None) -> PurchaseLog:
    """Read the purchases of a file. Raises as `InputFile` does."""
    from models.value.holdout import PurchaseLog

    log = PurchaseLog(until_day)
    for event in events_of(file, "reading", names):
        log.add(event)
    return log


def _weeks_ahead(log: PurchaseLog, weeks: int) -> list[WeekAhead]:
    ahead = []
    with ProgressBar("predicting weeks", weeks) as bar:
        for week in log.weeks_ahead():
            ahead.append(week)
            bar.advance_to(len(ahead))
    return ahead


def _returns(log: PurchaseLog, weeks: int) -> ReturnReport | None:
    from models.value.repurchase_backtest import backtest_repurchases, report

    scored = []
    with ProgressBar("predicting repeat purchases", weeks) as bar:
        for week in backtest_repurchases(log.days, log.until_day + 1, log.last_day):
            scored.append(week)
            bar.advance_to(len(scored))
    return report(scored)
