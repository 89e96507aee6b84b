"""`churn-signals purchases`: fits BG/NBD and Gamma-Gamma to purchases, and holds them against what came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.common import TIME, ProgressBar, events_of
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.rendering import purchases as purchase_text
from streams.rendering.purchases import date_of
from streams.settings import Settings

if TYPE_CHECKING:
    from models.value.holdout import Forecast, PurchaseLog, WeekAhead
    from models.value.repurchase_backtest import ReturnReport


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), required=False)
@click.option("--until", "until_ms", type=TIME, help="With FILE: learn from the days before this one.")
@click.option("--refit", is_flag=True, help="Foretell each week anew too, from all before it; and who comes back.")
@click.option("--json", "as_json", is_flag=True, help="Parameters and tables as one JSON object.")
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw predicted and actual purchases a week to a .png file.",
)
def purchases(file: str | None, until_ms: int | None, refit: bool, as_json: bool, plot_path: Path | None) -> None:
    """Fit BG/NBD and Gamma-Gamma to the purchases in FILE before a day; compare what they foretell with what came.

    FILE has events, one JSON object a line, plain or gzipped; - is standard input. Orders of one day are one purchase.
    The parameters come from counts of customers by fortnight of first and last purchase and number of purchases, and
    by number and mean value of purchases.

    Without FILE they are read from the metrics topic, to which workers publish these counts every four weeks of event
    time: what is expected of all customers from then on. No worker has to run.
    """
    if file is None:
        if until_ms is not None or refit or plot_path is not None:
            raise click.UsageError("--until, --refit and --plot need FILE.")
        _running(as_json)
        return
    if until_ms is None:
        raise click.UsageError("Missing option '--until': with FILE it says what is learned from.")
    import msgspec

    from models.profile.mergeable import DAY_MS
    from models.value.bg_nbd import NoEstimate

    if plot_path is not None:
        _check(plot_path)
    log = read_purchases(file, until_ms // DAY_MS - 1)
    try:
        found = log.forecast()
        ahead = _ahead(log, len(found.weeks)) if refit else []
        returns = _returns(log, len(found.weeks)) if refit else None
    except NoEstimate as reason:
        raise ChurnSignalsError(f"{file}, days before {date_of(until_ms // DAY_MS)}: {reason}.") from None
    if plot_path is not None:
        _plot(found, ahead, plot_path)
    if as_json:
        value = msgspec.to_builtins(found)
        click.echo(msgspec.json.encode({**value, "weeks_ahead": ahead, "returns": returns} if refit else value))
        return
    purchase_text.print_forecast(found, ahead)
    if returns is not None:
        purchase_text.print_returns(returns)


def _running(as_json: bool) -> None:
    """What the workers' published counts let expect."""
    import msgspec

    from models.value.mle import NoEstimate
    from models.value.purchase_aggregates import summarize
    from streams.cli.ask import ask

    try:
        found = summarize(ask(read_cells(Settings.from_environment())))
    except NoEstimate as reason:
        raise ChurnSignalsError(f"the metrics topic: {reason}.") from None
    if found is None:
        raise ChurnSignalsError(
            "the metrics topic: no purchases are published yet. Workers do so with the first order after every four"
            " weeks of event time."
        )
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    purchase_text.print_standing(found)


async def read_cells(settings: Settings) -> list[bytes]:
    """The newest cells of all partitions, as the metrics topic holds them.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.value.purchase_aggregates import METRIC_PREFIX
    from streams.kafka.topic_reader import read_topic
    from streams.topics import METRICS, name_of

    newest: dict[bytes, bytes | None] = {}
    async for record in read_topic(settings, name_of(METRICS, settings)):
        if record.key is not None and record.key.startswith(METRIC_PREFIX):
            newest[record.key] = record.value
    return [value for value in newest.values() if value is not None]


def read_purchases(file: str, until_day: int) -> PurchaseLog:
    """The purchases of a file. Raises as `InputFile` does."""
    from models.value.holdout import PurchaseLog

    log = PurchaseLog(until_day)
    for event in events_of(file, "reading"):
        log.add(event)
    return log


def _ahead(log: PurchaseLog, weeks: int) -> list[WeekAhead]:
    found = []
    with ProgressBar("foretelling", weeks) as bar:
        for week in log.weeks_ahead():
            found.append(week)
            bar.advance_to(len(found))
    return found


def _returns(log: PurchaseLog, weeks: int) -> ReturnReport | None:
    from models.value.repurchase_backtest import backtest_repurchases, report

    judged = []
    with ProgressBar("who comes back", weeks) as bar:
        for week in backtest_repurchases(log.days, log.until_day + 1, log.last_day):
            judged.append(week)
            bar.advance_to(len(judged))
    return report(judged)


def _check(path: Path) -> None:
    from streams.rendering.backtest_plot import check_plot_path

    if path.suffix.lower() != ".png":
        raise ConfigurationError(f"--plot {path} must end in .png.")
    check_plot_path(path)


def _plot(found: Forecast, ahead: list[WeekAhead], path: Path) -> None:
    from streams.rendering import backtest_plot as plot

    with plot.style("purchases"):
        figure = plot.new_figure(9.0, 4.6)
        axes = figure.subplots()
        axes.set_title(f"Purchases a week, foretold on {date_of(found.until_day + 1)} and as they came", loc="left")
        at = [week.start_day + 3.5 for week in found.weeks]
        axes.plot(at, [week.actual for week in found.weeks], color=plot.INK, marker="D", markersize=4, label="came")
        axes.plot(
            at, [week.predicted for week in found.weeks], color=plot.MODEL, marker="o", markersize=4, label="predicted"
        )
        if ahead:
            foretold = [week.predicted for week in ahead]
            axes.plot(at, foretold, color=plot.MODEL, linestyle="--", linewidth=1.2, label="predicted a week ahead")
        axes.set_ylim(0, None)
        axes.set_ylabel("purchases of known customers")
        axes.set_xlabel("week (UTC)")
        axes.legend(loc="lower left")
        plot.date_axis(axes)
        content = plot.saved(figure, "png")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"--plot {path} cannot be written: {error.strerror or error}.") from None
