"""Plot predicted and actual purchases per week."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.rendering.formats import date_text
from streams.rendering.plotting import INK, MODEL, date_axis, figure_bytes, new_figure, plot_style

if TYPE_CHECKING:
    from models.value.holdout import Forecast, WeekAhead


def purchases_png(forecast: Forecast, ahead: list[WeekAhead]) -> bytes:
    """Draw the weeks of a forecast, and with `ahead` the forecasts of one week ahead; same data, same bytes."""
    with plot_style("purchases"):
        figure = new_figure(9.0, 4.6)
        axes = figure.subplots()
        title = f"Purchases per week: forecast of {date_text(forecast.until_day + 1)} vs. actual"
        axes.set_title(title, loc="left")
        at = [week.start_day + 3.5 for week in forecast.weeks]
        actual, predicted = [week.actual for week in forecast.weeks], [week.predicted for week in forecast.weeks]
        axes.plot(at, actual, color=INK, marker="D", markersize=4, label="actual")
        axes.plot(at, predicted, color=MODEL, marker="o", markersize=4, label="predicted")
        if ahead:
            one_week_ahead = [week.predicted for week in ahead]
            axes.plot(at, one_week_ahead, color=MODEL, linestyle="--", linewidth=1.2, label="predicted one week ahead")
        axes.set_ylim(0, None)
        axes.set_ylabel("purchases of known customers")
        axes.set_xlabel("week (UTC)")
        axes.legend(loc="lower left")
        date_axis(axes)
        return figure_bytes(figure, "png")
