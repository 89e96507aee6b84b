"""Style and file output that all plots share.

The same data gives the same bytes: no time, no random identifier, none of the user's matplotlib settings.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streams.errors import ConfigurationError

DOTS_PER_INCH = 150  # sharp on a screen with two pixels per point, shown at half size

# Role: colour on white, colour on dark (Okabe and Ito's palette, safe for colour-blind readers). The light colours mark
# the roles in an SVG, where the page's style replaces them.
COLOURS = {
    "ink": ("#1b1f24", "#e6e8eb"),
    "faint": ("#6a717a", "#9aa2ab"),
    "grid": ("#e3e6ea", "#343a42"),
    "paper": ("#ffffff", "#16191d"),
    "model": ("#0072b2", "#56b4e9"),
    "prior": ("#c44e00", "#f0a040"),
    "bar": ("#c9d6e2", "#3d5266"),
}
INK, FAINT, GRID, PAPER, MODEL, PRIOR, BAR = (light for light, _ in COLOURS.values())


def check_plot_path(path: Path, suffixes: tuple[str, ...]) -> None:
    """Check the file name and that matplotlib is installed, before any work is done.

    Raises:
        ConfigurationError: the name has another suffix, or matplotlib is missing.
    """
    if path.suffix.lower() not in suffixes:
        raise ConfigurationError(f"--plot {path} must end in {' or '.join(suffixes)}.")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            "--plot needs matplotlib, which is not installed: pip install 'churn-signals[plot]'."
        ) from None


def write_bytes(path: Path, content: bytes) -> None:
    """Write a plot. Raises ConfigurationError if the file cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"--plot cannot write {path}: {error.strerror or error}.") from None


@contextmanager
def plot_style(salt: str) -> Iterator[None]:
    """Use matplotlib's defaults and this project's style inside a `with` block; restore the user's settings after it.

    Args:
        salt: Makes the identifiers in an SVG reproducible.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 10,
                "axes.titlesize": 12,
                "axes.titleweight": "bold",
                "axes.titlepad": 10,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.grid": True,
                "axes.axisbelow": True,
                "axes.edgecolor": FAINT,
                "axes.labelcolor": INK,
                "axes.titlecolor": INK,
                "axes.facecolor": PAPER,
                "figure.facecolor": PAPER,
                "text.color": INK,
                "xtick.color": FAINT,
                "ytick.color": FAINT,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
                "grid.color": GRID,
                "grid.linewidth": 0.8,
                "legend.frameon": False,
                "legend.fontsize": 9,
                "timezone": "UTC",
                "svg.hashsalt": salt,
                "svg.fonttype": "none",
            }
        )
        yield


def new_figure(width: float, height: float) -> Any:
    """Create an empty figure of a size in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    padding = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)  # inches around axes
    return Figure(figsize=(width, height), layout=padding)


def figure_bytes(figure: Any, kind: str) -> bytes:
    """Render a figure to bytes without the date and program name that would make two runs differ."""
    no_metadata = {"Software": None} if kind == "png" else dict.fromkeys(("Date", "Creator", "Format", "Type"))
    out = io.BytesIO()
    figure.savefig(out, format=kind, dpi=DOTS_PER_INCH, metadata=no_metadata)
    return out.getvalue()


def date_axis(axes: Any) -> None:
    """Label the x axis with dates."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
