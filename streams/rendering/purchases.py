"""Print purchase forecasts: parameters, predicted and actual purchases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.rendering.formats import MISSING, amount_text, date_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from models.value.holdout import Forecast, RepeatClass, WeekAhead
    from models.value.purchase_aggregates import PurchaseSummary
    from models.value.repurchase_backtest import ReturnReport


def print_purchase_summary(page: Console, summary: PurchaseSummary) -> None:
    """Print the forecast for the customers of a running system."""
    page.print(
        f"BG/NBD of {summary.customers:,} customers in {summary.cells:,} cells, days up to {date_text(summary.day)}:"
        f" r {summary.r:.3f}, alpha {summary.alpha_weeks:.2f} weeks, a {summary.a:.3f}, b {summary.b:.2f}"
    )
    if (value := summary.order_value) is not None:
        page.print(
            f"Gamma-Gamma: p {value['p']:.2f}, q {value['q']:.2f}, gamma {value['gamma']:.2f}; mean order value"
            f" {amount_text(value['mean'], summary.currency)}"
        )
    page.print(f"{summary.predicted:,.0f} purchases expected in the {summary.ahead_weeks} weeks after that day")
    table = _table("repeats", "customers", "P(alive)", "expected", "P(return)")
    for row in summary.classes:
        figures = f"{row.alive:.3f}", f"{row.predicted:.2f}", f"{row.returns:.1%}"
        table.add_row(row.repeats, f"{row.customers:,}", *figures)
    page.print(table)


def print_returns(page: Console, report: ReturnReport) -> None:
    """Print predicted, calibrated and actual shares of customers who bought again."""
    page.print(
        f"\nRepeat purchase within {report.ahead_weeks} weeks, predicted each week from the data before it"
        f" ({report.forecasts:,} predictions):"
        f"\nlog loss {report.log_loss:.4f}, calibrated on earlier outcomes {report.log_loss_calibrated:.4f};"
        f" calibration error {report.ece:.4f}, calibrated {report.ece_calibrated:.4f}"
    )
    table = _table("repeats", "predictions", "predicted", "calibrated", "observed")
    for row in report.classes:
        shares = (f"{share:.1%}" for share in (row.foretold, row.calibrated, row.came))
        table.add_row(row.repeats, f"{row.forecasts:,}", *shares)
    page.print(table)


def print_forecast(page: Console, forecast: Forecast, ahead: list[WeekAhead]) -> None:
    """Print the parameters, and predicted and actual purchases by class and week.

    Args:
        ahead: Forecasts of each week from the data before it; empty without --refit.
    """
    _print_parameters(page, forecast)
    if ahead:
        predicted, actual = sum(week.predicted for week in ahead), sum(week.actual for week in ahead)
        page.print(
            f"One week ahead, parameters refitted each week: {predicted:,.0f} predicted, {actual:,} actual"
            f" ({_error(predicted, actual)})"
        )
    _print_spending(page, forecast)
    page.print("\nPurchases per customer in these weeks, by earlier repeat purchases:")
    _print_classes(page, forecast.classes, with_value=forecast.spending is not None)
    if forecast.weeks:
        page.print()
        _print_weeks(page, forecast, ahead)


def _print_parameters(page: Console, forecast: Forecast) -> None:
    page.print(
        f"BG/NBD of {forecast.customers:,} customers in {forecast.cells:,} cells, days before"
        f" {date_text(forecast.until_day + 1)}: r {forecast.r:.3f}, alpha {forecast.alpha_weeks:.2f} weeks,"
        f" a {forecast.a:.3f}, b {forecast.b:.2f}"
    )
    if not forecast.weeks:
        page.print("No complete week follows, so there is nothing to compare the forecast with.")
        return
    page.print(
        f"{len(forecast.weeks)} weeks after it: {forecast.predicted:,.0f} purchases predicted,"
        f" {forecast.actual:,} actual ({_error(forecast.predicted, forecast.actual)});"
        f" repeat purchases since the first day {forecast.cumulative_error:+.1%}"
    )


def _print_spending(page: Console, forecast: Forecast) -> None:
    spending = forecast.spending
    if spending is None:
        return
    page.print(
        f"Gamma-Gamma of {spending.customers:,} customers with more than one purchase, in {spending.cells:,} cells:"
        f" p {spending.p:.2f}, q {spending.q:.2f}, gamma {spending.gamma:.2f}; mean order value"
        f" {amount_text(spending.mean, spending.currency)}"
    )
    if forecast.weeks:
        error = _error(spending.predicted, spending.actual)
        page.print(
            f"Revenue of these weeks: {amount_text(spending.predicted, spending.currency, 0)} predicted,"
            f" {amount_text(spending.actual, spending.currency, 0)} actual ({error})"
        )


def _print_classes(page: Console, classes: list[RepeatClass], *, with_value: bool) -> None:
    head = ["repeats", "customers", "P(alive)", "predicted", "actual", "P(return)", "returned"]
    table = _table(*head, *(["order value", "actual"] if with_value else []))
    for row in classes:
        each = row.predicted / row.customers, row.actual / row.customers
        table.add_row(
            row.repeats,
            f"{row.customers:,}",
            f"{row.alive:.3f}",
            *(f"{purchases:.2f}" for purchases in each),
            f"{row.returns:.1%}",
            f"{row.came_back / row.customers:.1%}",
            *([amount_text(row.order_value), amount_text(row.order_value_came)] if with_value else []),
        )
    page.print(table)


def _print_weeks(page: Console, forecast: Forecast, ahead: list[WeekAhead]) -> None:
    more = ("one week ahead", "error") if ahead else ()
    table = _table("week from", "predicted", "actual", "error", *more)
    for number, week in enumerate(forecast.weeks):
        cells = [date_text(week.start_day), f"{week.predicted:,.0f}", f"{week.actual:,}"]
        cells.append(_error(week.predicted, week.actual))
        if ahead:
            cells += [f"{ahead[number].predicted:,.0f}", _error(ahead[number].predicted, ahead[number].actual)]
        table.add_row(*cells)
    page.print(table)


def _table(first: str, *numbers: str) -> Table:
    """Create a table with right-aligned columns after the first."""
    from rich.table import Table

    table = Table(first, box=None, pad_edge=False)
    for title in numbers:
        table.add_column(title, justify="right")
    return table


def _error(predicted: float, actual: float) -> str:
    """Format the relative error of a prediction.

    >>> _error(90.0, 100), _error(1.0, 0)
    ('-10.0%', '–')
    """
    return f"{predicted / actual - 1:+.1%}" if actual else MISSING
