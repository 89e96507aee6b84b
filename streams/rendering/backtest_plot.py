"""Plot a backtest report, calibration and quality over time, to a PNG or to a self-contained HTML page.

Series differ by line style and marker as well as by colour.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.backtesting.report import BacktestReport
from models.duration import DAY_MS
from streams.rendering.backtest import TableText, footnotes, headline, tables
from streams.rendering.plotting import (
    BAR,
    COLOURS,
    FAINT,
    INK,
    MODEL,
    PAPER,
    PRIOR,
    check_plot_path,
    date_axis,
    figure_bytes,
    new_figure,
    plot_style,
    write_bytes,
)

SUFFIXES = (".png", ".html")

# Round probabilities as ticks of an axis that is linear in log-odds.
TICKS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
TICKS = (*TICKS, *(1 - tick for tick in reversed(TICKS[:-1])))
CLOSEST_TICKS = 0.38  # in log-odds, for a span of 6, so that labels do not touch


def write_backtest_plot(report: BacktestReport, path: Path) -> None:
    """Write the plot as a picture (.png) or a page (.html). Raises ConfigurationError as `check_plot_path` does."""
    check_plot_path(path, SUFFIXES)
    content = backtest_png(report) if path.suffix.lower() == ".png" else backtest_page(report).encode()
    write_bytes(path, content)


def backtest_png(report: BacktestReport) -> bytes:
    """Draw calibration on the left and quality over time on the right."""
    with plot_style("png"):
        figure = new_figure(13.0, 7.4)
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.08), wspace=0.02)
        _calibration(report, left)
        _quality_over_time(report, right)
        return figure_bytes(figure, "png")


def backtest_page(report: BacktestReport) -> str:
    """Build a page with both pictures and all tables, without scripts or external resources, for light and dark."""
    pictures = (
        (
            "calibration",
            _calibration,
            7.0,
            7.2,
            "Reliability diagram: observed churn rate vs. predicted probability",
        ),
        ("quality", _quality_over_time, 7.6, 7.2, "AUC, log loss and churn rate by snapshot time"),
    )
    figures = "".join(_svg(report, *picture) for picture in pictures) if report.model.n else ""
    body = "".join(_table(table) for table in tables(report))
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in footnotes(report))
    findings = "".join(f"<p><strong>{html.escape(finding)}</strong></p>" for finding in report.findings)
    light, dark = ("".join(f"--{name}:{pair[which]};" for name, pair in COLOURS.items()) for which in (0, 1))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>churn-signals backtest</title>\n'
        f"<style>:root{{color-scheme:light dark;{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"{_STYLESHEET}</style>\n</head>\n<body>\n<main>\n<h1>Backtest</h1>\n{findings}<p>{html.escape(headline(report))}</p>\n"
        f'<div class="pictures">\n{figures}</div>\n{body}{notes}</main>\n</body>\n</html>\n'
    )


# --- the pictures -------------------------------------------------------------------------------------------------


def _calibration(report: BacktestReport, figure: Any) -> None:
    """Predicted vs. observed churn on log-odds axes; below, a histogram of the predictions."""
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1), gridspec_kw={"hspace": 0.08})
    top.set_title(f"Reliability: {report.model.n:,} examples, {report.model.positives:,} churned", loc="left")
    if not report.reliability:
        top.text(0.5, 0.5, "no examples", transform=top.transAxes, ha="center", color=FAINT)
        return
    low, high = _limits(report)
    top.plot((low, high), (low, high), color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    rotated = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True}
    edge = low + 0.86 * (high - low)
    top.text(edge, edge + 0.015 * (high - low), "calibrated", color=FAINT, ha="center", va="bottom", **rotated)
    for b in report.reliability:
        x, floor, ceiling = (_log_odds(share, low, high) for share in (b.mean_probability, b.rate_low, b.rate_high))
        top.plot((x, x), (floor, ceiling), color=MODEL, linewidth=1.4, alpha=0.55, zorder=2)
        # A bin with a rate of 0 or 1 is outside this axis: an open triangle at the edge marks it.
        on_axis = 0 < b.rate < 1
        marker, face = ("o", MODEL) if on_axis else ("v" if b.rate == 0 else "^", PAPER)
        y = _log_odds(b.rate, low + 0.02 * (high - low), high - 0.02 * (high - low))
        top.plot((x,), (y,), marker=marker, markersize=6.5, color=MODEL, markerfacecolor=face, zorder=3)
    caption = f"ECE {report.model.ece:.4f}\nlines: 95% intervals"
    top.text(0.03, 0.96, caption, transform=top.transAxes, va="top", color=INK, linespacing=1.5)
    top.set_ylabel("observed churn (%)")
    for cell in report.histogram:
        left, right = (_log_odds(share, -math.inf, math.inf) for share in (cell.lowest, cell.highest))
        below.bar(left, cell.n, right - left, align="edge", color=BAR, edgecolor=PAPER, linewidth=0.6)
    below.set_ylabel("examples")
    below.set_xlabel("predicted churn probability (%), log-odds axis")
    below.yaxis.set_major_formatter(_thousands)
    below.locator_params(axis="y", nbins=3)
    ticks = _ticks(low, high)
    for axis in (top.xaxis, top.yaxis):
        axis.set_ticks([_log_odds(tick, low, high) for tick in ticks], [_percent_tick(tick) for tick in ticks])
    top.tick_params(labelbottom=False)
    top.set(xlim=(low, high), ylim=(low, high))
    below.grid(visible=False, axis="x")


def _quality_over_time(report: BacktestReport, figure: Any) -> None:
    """AUC, log loss and churn rate by snapshot time, compared with the prior and a constant."""
    ranking, loss, rates = figure.subplots(3, 1, sharex=True, gridspec_kw={"hspace": 0.16})
    days = report.period_ms // DAY_MS
    ranking.set_title(f"Quality over time, {days} days of snapshots per point", loc="left")
    # Matplotlib dates are epoch days; a point is in the middle of its period.
    at = [(p.start_ms + report.period_ms / 2) / DAY_MS for p in report.periods]
    periods = report.periods
    model: dict[str, Any] = {"color": MODEL, "marker": "o", "markersize": 4.5, "linewidth": 1.8, "zorder": 3}
    prior: dict[str, Any] = {"color": PRIOR, "marker": "s", "markersize": 3.8, "linewidth": 1.3, "zorder": 2}
    baseline: dict[str, Any] = {"color": FAINT, "linewidth": 1.2, "linestyle": (0, (4, 3)), "zorder": 1}
    _line(ranking, at, [p.auc for p in periods], "model", model)
    _line(ranking, at, [p.prior_auc for p in periods], "prior", prior)
    ranking.axhline(0.5, label="chance", **baseline)
    ranking.set_ylabel("ROC AUC")
    lowest = min((auc for p in periods for auc in (p.auc, p.prior_auc) if auc is not None), default=0.5)
    ranking.set_ylim(min(0.48, lowest - 0.03), 1.0)
    _line(loss, at, [p.log_loss for p in periods], "model", model)
    _line(loss, at, [p.prior_log_loss for p in periods], "prior", prior)
    _line(loss, at, [p.constant_log_loss for p in periods], "constant", baseline)
    loss.set_ylabel("log loss (nats)")
    _line(rates, at, [100 * p.mean_probability for p in periods], "predicted", model)
    observed: dict[str, Any] = {
        "color": INK,
        "marker": "D",
        "markersize": 4,
        "linewidth": 1.2,
        "linestyle": (0, (1, 1.5)),
    }
    _line(rates, at, [100 * p.rate for p in periods], "observed", observed)
    rates.set_ylabel("churn rate (%)")
    rates.set_ylim(0, 1.3 * max([100 * max(p.rate, p.mean_probability) for p in periods], default=1.0) or 1.0)
    for axes in (ranking, loss, rates):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right", ncols=3)
    loss.margins(y=0.25)
    date_axis(rates)
    rates.set_xlabel("snapshot time (UTC)")


def _line(axes: Any, at: list[float], values: list[float | None], label: str, style: dict[str, Any]) -> None:
    """Draw a line with gaps where a figure is undefined."""
    if any(value is not None for value in values):
        axes.plot(at, [math.nan if value is None else value for value in values], label=label, **style)


# --- the log-odds axis --------------------------------------------------------------------------------------------


def _log_odds(share: float, low: float, high: float) -> float:
    """Log-odds of a share, clamped to the ends of the axis."""
    if share <= 0 or share >= 1:
        return low if share <= 0 else high
    return min(max(math.log(share / (1 - share)), low), high)


def _limits(report: BacktestReport) -> tuple[float, float]:
    """Ends of both axes in log-odds: they include nearly all probabilities and all rates between 0 and 1."""
    total, counted, core = report.model.n, 0, []
    for cell in report.histogram:  # the cells between the 0.1% and 99.9% quantiles of all examples
        if counted + cell.n >= 0.001 * total and counted <= 0.999 * total:
            core += [cell.lowest, cell.highest]
        counted += cell.n
    core += [b.rate for b in report.reliability if 0 < b.rate < 1]
    core += [b.mean_probability for b in report.reliability]
    low, high = (_log_odds(share, -9.0, 9.0) for share in (min(core), max(core)))
    margin = max(0.04 * (high - low), (1.0 - (high - low)) / 2)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Choose ticks inside the axis whose labels do not touch."""
    chosen: list[float] = []
    closest = CLOSEST_TICKS * (high - low) / 6
    for tick in TICKS:
        position = math.log(tick / (1 - tick))
        if low <= position <= high and (not chosen or position - math.log(chosen[-1] / (1 - chosen[-1])) >= closest):
            chosen.append(tick)
    return chosen


def _percent_tick(share: float) -> str:
    return f"{100 * share:.4f}".rstrip("0").rstrip(".")


def _thousands(value: float, _position: int) -> str:
    return f"{value:,.0f}"


# --- drawing ------------------------------------------------------------------------------------------------------


def _svg(
    report: BacktestReport,
    name: str,
    draw: Callable[[BacktestReport, Any], None],
    width: float,
    height: float,
    description: str,
) -> str:
    """Draw a picture as an SVG element that uses the page's colour variables and fonts."""
    with plot_style(name):
        figure = new_figure(width, height)
        draw(report, figure)
        text = figure_bytes(figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1))
    text = re.sub(r'font-family: [^;"]*', "font-family: system-ui, sans-serif", text)
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # ids must be unique on the page
    for role, (light, _) in COLOURS.items():
        text = text.replace(light, f"var(--{role})")
    text = text.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1)
    return f"<figure>\n{text}<figcaption>{html.escape(description)}.</figcaption>\n</figure>\n"


def _table(table: TableText) -> str:
    kinds = [' class="n"' if column.number else "" for column in table.columns]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(column.title)}</th>'
        for kind, column in zip(kinds, table.columns, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{html.escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>\n"
        for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>\n' if table.note else ""
    return (
        f'<section>\n<h2>{html.escape(table.title)}</h2>\n<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}</tbody>\n</table></div>\n{note}</section>\n"
    )


_STYLESHEET = """
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:2.5rem 0 .5rem}
p{max-width:70ch}.note,figcaption{color:var(--faint);font-size:.9rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1.5rem}
figure{margin:1rem 0 0}svg{width:100%;height:auto;display:block}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .8rem;text-align:left;border-bottom:1px solid var(--grid);white-space:nowrap}
th{color:var(--faint);font-weight:600}.n{text-align:right}td:last-child:not(.n){white-space:normal}
"""
