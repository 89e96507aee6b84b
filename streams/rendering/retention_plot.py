"""Plot the retention report: subscription survival, and the cohort triangle."""

from __future__ import annotations

from typing import Any, Final

from models.retention.report import RetentionReport, month_name
from streams.rendering.plotting import BAR, FAINT, INK, MODEL, PAPER, PRIOR, figure_bytes, new_figure, plot_style

COHORTS_SHOWN: Final = 18
_CAUSE_STYLES: Final = (
    ("voluntary churn", PRIOR, "-"),
    ("involuntary churn", INK, "--"),
    ("unstated cause", FAINT, ":"),
)


def retention_png(report: RetentionReport) -> bytes:
    """Draw survival on the left and cohorts on the right; the same report gives the same bytes."""
    with plot_style("retention"):
        figure = new_figure(13.0, 5.4)
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15), wspace=0.02)
        _survival(report, left.subplots())
        _cohorts(report, right.subplots())
        return figure_bytes(figure, "png")


def _survival(report: RetentionReport, axes: Any) -> None:
    rows = report.whole.survival
    axes.set_title("Subscription survival with 95% interval", loc="left")
    axes.set_xlabel("days since the start")
    axes.set_ylabel("share (%)")
    axes.set_ylim(0, 100)
    if not rows:
        axes.text(0.5, 0.5, "no subscription has ended", transform=axes.transAxes, ha="center", color=FAINT)
        return
    days = [0, *(row.days for row in rows)]
    low, high = ([100.0, *(100 * getattr(row, end) for row in rows)] for end in ("low", "high"))
    axes.fill_between(days, low, high, step="post", color=BAR, alpha=0.7, linewidth=0)
    axes.step(days, [100.0, *(100 * row.survival for row in rows)], where="post", color=MODEL, label="active")
    for cause, (label, colour, line) in enumerate(_CAUSE_STYLES):
        if rows[-1].lost[cause]:
            shares = [0.0, *(100 * row.lost[cause] for row in rows)]
            axes.step(days, shares, where="post", color=colour, linestyle=line, linewidth=1.4, label=label)
    axes.legend(loc="center right")


def _cohorts(report: RetentionReport, axes: Any) -> None:
    """Each cell is the share of a month's new customers who were active that many months later."""
    rows = [row for row in report.cohorts if row.first_active][-COHORTS_SHOWN:]
    axes.set_title("Active customers by month of first activity (%)", loc="left")
    axes.set_xlabel("months later")
    if not rows:
        axes.text(0.5, 0.5, "no active customer", transform=axes.transAxes, ha="center", color=FAINT)
        return
    width = min(max(len(row.active) for row in rows), COHORTS_SHOWN)
    for number, row in enumerate(rows):
        for later, count in enumerate(row.active[:width]):
            share = count / row.first_active
            axes.add_patch(_cell(later, number, share))
            axes.text(
                later, number, f"{100 * share:.0f}", ha="center", va="center", fontsize=8,
                color=PAPER if share > 0.55 else INK,
            )  # fmt: skip
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(width))
    axes.set_yticks(range(len(rows)), [f"{month_name(row.month)}  {row.first_active:,}" for row in rows])
    axes.grid(visible=False)


def _cell(x: int, y: int, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=MODEL, alpha=0.06 + 0.94 * share, linewidth=0)
