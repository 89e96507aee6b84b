"""`churn-signals purchases`: fits BG/NBD and Gamma-Gamma to purchases, and holds them against what came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from streams.cli.common import TIME, ProgressBar, events_of
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.purchase_forecast import Forecast, PurchaseLog, WeekAhead
    from models.purchase_standing import PurchaseStanding
    from models.return_check import ReturnReport


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

    from models.primitives import DAY_MS
    from models.purchases import NoEstimate

    if plot_path is not None:
        _check(plot_path)
    log = read(file, until_ms // DAY_MS - 1)
    try:
        found = log.forecast()
        ahead = _ahead(log, len(found.weeks)) if refit else []
        returns = _returns(log, len(found.weeks)) if refit else None
    except NoEstimate as reason:
        raise ChurnSignalsError(f"{file}, days before {_date(until_ms // DAY_MS)}: {reason}.") from None
    if plot_path is not None:
        _plot(found, ahead, plot_path)
    if as_json:
        value = msgspec.to_builtins(found)
        click.echo(msgspec.json.encode({**value, "weeks_ahead": ahead, "returns": returns} if refit else value))
        return
    _print(found, ahead)
    if returns is not None:
        _print_returns(returns)


def _running(as_json: bool) -> None:
    """What the workers' published counts let expect."""
    import msgspec

    from models.likelihood import NoEstimate
    from models.purchase_standing import standing
    from streams.cli.ask import ask

    try:
        found = standing(ask(read_cells(Settings.from_environment())))
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
    _print_standing(found)


async def read_cells(settings: Settings) -> list[bytes]:
    """The newest cells of all partitions, as the metrics topic holds them.

    Raises:
        BrokerUnreachable: no broker answered.
        TopicMismatch: the topic does not exist, or differs from its declaration.
    """
    from models.purchase_standing import METRIC_PREFIX
    from streams.topic_reader import read_topic
    from streams.topics import METRICS, name_of

    newest: dict[bytes, bytes | None] = {}
    async for record in read_topic(settings, name_of(METRICS, settings)):
        if record.key is not None and record.key.startswith(METRIC_PREFIX):
            newest[record.key] = record.value
    return [value for value in newest.values() if value is not None]


def _print_standing(found: PurchaseStanding) -> None:
    from rich.table import Table

    from streams.cli.ask import console

    page = console()
    page.print(
        f"BG/NBD of {found.customers:,} customers in {found.cells:,} cells, days up to {_date(found.day)}:"
        f" r {found.r:.3f}, alpha {found.alpha_weeks:.2f} weeks, a {found.a:.3f}, b {found.b:.2f}"
    )
    if (value := found.order_value) is not None:
        page.print(
            f"Gamma-Gamma: p {value['p']:.2f}, q {value['q']:.2f}, gamma {value['gamma']:.2f}; a purchase costs"
            f" {value['mean']:,.2f} on average"
        )
    page.print(f"{found.predicted:,.0f} purchases expected in the {found.ahead_weeks} weeks after that")
    table = Table("repeats", "customers", "P(alive)", "expected", "P(back)", box=None, pad_edge=False)
    for one in found.classes:
        figures = f"{one.alive:.3f}", f"{one.predicted:.2f}", f"{one.returns:.1%}"
        table.add_row(one.repeats, f"{one.customers:,}", *figures)
    page.print(table)


def read(file: str, until_day: int) -> PurchaseLog:
    """The purchases of a file. Raises as `InputFile` does."""
    from models.purchase_forecast import PurchaseLog

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
    from models.return_check import check, report

    judged = []
    with ProgressBar("who comes back", weeks) as bar:
        for week in check(log.days, log.until_day + 1, log.last_day):
            judged.append(week)
            bar.advance_to(len(judged))
    return report(judged)


def _print_returns(found: ReturnReport) -> None:
    from rich.table import Table

    from streams.cli.ask import console

    page = console()
    page.print(
        f"\nWho buys again within {found.ahead_weeks} weeks, foretold each week from all before it"
        f" ({found.forecasts:,} forecasts):"
        f"\nlog loss {found.log_loss:.4f}, calibrated by what became of earlier ones {found.log_loss_calibrated:.4f};"
        f" calibration error {found.ece:.4f}, calibrated {found.ece_calibrated:.4f}"
    )
    table = Table("repeats", "forecasts", "foretold", "calibrated", "came back", box=None, pad_edge=False)
    for one in found.classes:
        shares = (f"{share:.1%}" for share in (one.foretold, one.calibrated, one.came))
        table.add_row(one.repeats, f"{one.forecasts:,}", *shares)
    page.print(table)


def _print(found: Forecast, ahead: list[WeekAhead]) -> None:
    from rich.table import Table

    from streams.cli.ask import console

    page = console()
    page.print(
        f"BG/NBD of {found.customers:,} customers in {found.cells:,} cells, days before {_date(found.until_day + 1)}:"
        f" r {found.r:.3f}, alpha {found.alpha_weeks:.2f} weeks, a {found.a:.3f}, b {found.b:.2f}"
    )
    if not found.weeks:
        page.print("No whole week follows: there is nothing to compare a forecast with.")
    else:
        page.print(
            f"{len(found.weeks)} weeks after it: {found.predicted:,.0f} purchases predicted, {found.actual:,} came"
            f" ({_off(found.predicted, found.actual)}); repeat purchases from the first day on"
            f" {found.cumulative_error:+.1%}"
        )
    if ahead:
        predicted, actual = sum(week.predicted for week in ahead), sum(week.actual for week in ahead)
        page.print(
            f"Each week foretold from all before it, parameters learned anew: {predicted:,.0f} predicted,"
            f" {actual:,} came ({_off(predicted, actual)})"
        )
    money = found.spending
    if money is not None:
        page.print(
            f"Gamma-Gamma of {money.customers:,} who bought more than once, in {money.cells:,} cells: p {money.p:.2f},"
            f" q {money.q:.2f}, gamma {money.gamma:.2f}; a purchase costs {money.mean:,.2f} on average"
        )
        if found.weeks:
            off = _off(money.predicted, money.actual)
            page.print(f"Revenue of these weeks: {money.predicted:,.0f} predicted, {money.actual:,.0f} came ({off})")
    head = ["repeats", "customers", "P(alive)", "predicted", "came", "P(back)", "came back"]
    table = Table(*head, *(["value", "came"] if money is not None else []), box=None, pad_edge=False)
    for one in found.classes:
        each = one.predicted / one.customers, one.actual / one.customers
        table.add_row(
            one.repeats,
            f"{one.customers:,}",
            f"{one.alive:.3f}",
            *(f"{purchases:.2f}" for purchases in each),
            f"{one.returns:.1%}",
            f"{one.came_back / one.customers:.1%}",
            *([_amount(one.order_value), _amount(one.order_value_came)] if money is not None else []),
        )
    page.print("\nPurchases of each customer in these weeks, by repeat purchases before:")
    page.print(table)
    if found.weeks:
        more = ("week ahead", "off") if ahead else ()
        table = Table("week from", "predicted", "came", "off", *more, box=None, pad_edge=False)
        for number, week in enumerate(found.weeks):
            cells = [_date(week.start_day), f"{week.predicted:,.0f}", f"{week.actual:,}"]
            cells.append(_off(week.predicted, week.actual))
            if ahead:
                cells += [f"{ahead[number].predicted:,.0f}", _off(ahead[number].predicted, ahead[number].actual)]
            table.add_row(*cells)
        page.print()
        page.print(table)


def _off(predicted: float, actual: float) -> str:
    """
    >>> _off(90.0, 100), _off(1.0, 0)
    ('-10.0%', '–')
    """
    return f"{predicted / actual - 1:+.1%}" if actual else "–"


def _amount(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _date(day: int) -> str:
    from models.duration import rfc3339
    from models.primitives import DAY_MS

    return rfc3339(day * DAY_MS)[:10]


def _check(path: Path) -> None:
    from streams.cli.plot import check_plot_path

    if path.suffix.lower() != ".png":
        raise ConfigurationError(f"--plot {path} must end in .png.")
    check_plot_path(path)


def _plot(found: Forecast, ahead: list[WeekAhead], path: Path) -> None:
    from streams.cli import plot

    with plot.style("purchases"):
        figure = plot.new_figure(9.0, 4.6)
        axes = figure.subplots()
        axes.set_title(f"Purchases a week, foretold on {_date(found.until_day + 1)} and as they came", loc="left")
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
