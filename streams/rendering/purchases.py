"""What `churn-signals purchases` prints: parameters, what was foretold and what came, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.value.holdout import Forecast, WeekAhead
    from models.value.purchase_aggregates import PurchaseSummary
    from models.value.repurchase_backtest import ReturnReport


def print_standing(found: PurchaseSummary) -> None:
    """What is expected of a running system's customers."""
    from rich.table import Table

    from streams.cli.ask import console

    page = console()
    page.print(
        f"BG/NBD of {found.customers:,} customers in {found.cells:,} cells, days up to {date_of(found.day)}:"
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


def print_returns(found: ReturnReport) -> None:
    """Who came back, as BG/NBD foretold it and calibrated."""
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


def print_forecast(found: Forecast, ahead: list[WeekAhead]) -> None:
    """Parameters, and week by week what they foretold; `ahead` is empty unless each week was foretold anew."""
    from rich.table import Table

    from streams.cli.ask import console

    page = console()
    page.print(
        f"BG/NBD of {found.customers:,} customers in {found.cells:,} cells, days before {date_of(found.until_day + 1)}:"
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
            cells = [date_of(week.start_day), f"{week.predicted:,.0f}", f"{week.actual:,}"]
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


def date_of(day: int) -> str:
    """A day since 1970 as a date."""
    from models.duration import rfc3339
    from models.profile.mergeable import DAY_MS

    return rfc3339(day * DAY_MS)[:10]
