"""The retention report as a picture: how long subscriptions last, and the triangle of cohorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from models.retention.report import RetentionReport, month_name
from streams.errors import ConfigurationError
from streams.rendering import backtest_plot as plot

COHORTS_SHOWN: Final = 18
_CAUSES: Final = (
    ("lost voluntarily", plot.PRIOR, "-"),
    ("lost involuntarily", plot.INK, "--"),
    ("lost, unstated", plot.FAINT, ":"),
)


def check_retention_plot(path: Path) -> None:
    """Raises ConfigurationError, before any work is done, if the name or the installation allows no picture."""
    if path.suffix.lower() != ".png":
        raise ConfigurationError(f"--plot {path} must end in .png.")
    plot.check_plot_path(path)


def png(report: RetentionReport) -> bytes:
    """Survival on the left, cohorts on the right; the same report gives the same bytes."""
    with plot.style("retention"):
        figure = plot.new_figure(13.0, 5.4)
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15), wspace=0.02)
        _survival(report, left.subplots())
        _cohorts(report, right.subplots())
        return plot.saved(figure, "png")


def _survival(report: RetentionReport, axes: Any) -> None:
    rows = report.whole.survival
    axes.set_title("How long subscriptions last, with 95 % confidence", loc="left")
    axes.set_xlabel("days since the start")
    axes.set_ylabel("share (%)")
    axes.set_ylim(0, 100)
    if not rows:
        axes.text(0.5, 0.5, "no subscription has ended", transform=axes.transAxes, ha="center", color=plot.FAINT)
        return
    days = [0, *(row.days for row in rows)]
    low, high = ([100.0, *(100 * getattr(row, end) for row in rows)] for end in ("low", "high"))
    axes.fill_between(days, low, high, step="post", color=plot.BAR, alpha=0.7, linewidth=0)
    axes.step(days, [100.0, *(100 * row.survival for row in rows)], where="post", color=plot.MODEL, label="still there")
    styles = (
        ("lost voluntarily", plot.PRIOR, "-"),
        ("lost involuntarily", plot.INK, "--"),
        ("unstated", plot.FAINT, ":"),
    )
    for cause, (label, colour, line) in enumerate(styles):
        if rows[-1].lost[cause]:
            shares = [0.0, *(100 * row.lost[cause] for row in rows)]
            axes.step(days, shares, where="post", color=colour, linestyle=line, linewidth=1.4, label=label)
    axes.legend(loc="center right")


def _cohorts(report: RetentionReport, axes: Any) -> None:
    """Each cell: the share of those first active in a month who were active so many months later."""
    rows = [row for row in report.cohorts if row.first_active][-COHORTS_SHOWN:]
    axes.set_title("Active in a month, of those first active in another (%)", loc="left")
    axes.set_xlabel("months later")
    if not rows:
        axes.text(0.5, 0.5, "nobody was active", transform=axes.transAxes, ha="center", color=plot.FAINT)
        return
    width = min(max(len(row.active) for row in rows), COHORTS_SHOWN)
    for place, row in enumerate(rows):
        for later, count in enumerate(row.active[:width]):
            share = count / row.first_active
            axes.add_patch(_cell(later, place, share))
            axes.text(
                later, place, f"{100 * share:.0f}", ha="center", va="center", fontsize=8,
                color=plot.PAPER if share > 0.55 else plot.INK,
            )  # fmt: skip
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(width))
    axes.set_yticks(range(len(rows)), [f"{month_name(row.month)}  {row.first_active:,}" for row in rows])
    axes.grid(visible=False)


def _cell(x: int, y: int, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=plot.MODEL, alpha=0.06 + 0.94 * share, linewidth=0)
