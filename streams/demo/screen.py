"""The demo's output: alerts above a line of figures on a terminal; plain lines when piped."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from streams.demo.alert_counts import AlertCounts, SelectedAlert
from streams.demo.feed import DemoFeed, Phase
from streams.demo.watch import Watch
from streams.rendering.alerts import LABEL_WIDTH, render_alert
from streams.rendering.terminal import print_indented, stdout_console

# An alert has six to ten lines, which take about four seconds to read.
ALERT_EVERY_S = 4.0
PIPED_FIGURES_EVERY_S = 5.0
_SEPARATOR = "   "


class Screen:
    """Standard output. On a terminal the figures stay at the bottom; piped, they are printed every five seconds.

    Args:
        console: Used instead of standard output by tests.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = stdout_console() if console is None else console
        self._console = console
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)
        self._alert_s = self._figures_s = float("-inf")

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def print(self, text: str) -> None:
        """Print one paragraph."""
        self._console.print(Text(text))

    def status(self, text: str) -> None:
        """Show what the demo waits for, in place of the figures."""
        if self._live is not None:
            self._live.update(Text(text, style="dim"), refresh=True)
        else:
            self.print(text)

    def refresh(self, feed: DemoFeed, watch: Watch, counts: AlertCounts, now_s: float | None = None) -> None:
        """Show the figures, and the next alert if there was time to read the last one."""
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._alert_s >= ALERT_EVERY_S and (selected := counts.select()) is not None:
            self._alert_s = now_s
            self._print_selected(selected)
        for alert in counts.pop_confirmed():
            self._print_block(render_alert(alert))
        segments = figures(feed, watch, counts)
        if self._live is not None:
            self._live.update(_bottom_lines([*segments, "Ctrl-C stops"], self._console.width), refresh=True)
        elif now_s - self._figures_s >= PIPED_FIGURES_EVERY_S:
            self._figures_s = now_s
            self.print(_SEPARATOR.join(segments))

    def _print_selected(self, selected: SelectedAlert) -> None:
        text = render_alert(selected.alert)
        if selected.others:
            text.append(f"\n(and {selected.others:,} other alert{'' if selected.others == 1 else 's'})", style="dim")
        self._print_block(text)

    def _print_block(self, text: Text) -> None:
        text.append("\n")
        print_indented(self._console, text, LABEL_WIDTH)


def figures(feed: DemoFeed, watch: Watch, counts: AlertCounts) -> list[str]:
    """The current figures, the most important first."""
    return [
        _event_time(feed),
        f"{watch.rate:,.0f} events/s",
        f"lag {watch.lag:,}",
        *_model_quality(watch.quality),
        f"{counts.opened:,} alerts ({counts.open:,} open; {counts.churned:,} of {counts.ended:,} ended with churn)",
    ]


def _event_time(feed: DemoFeed) -> str:
    if feed.time_ms is None:
        return "no events yet"
    day = datetime.fromtimestamp(feed.time_ms / 1000, UTC).date().isoformat()
    return {Phase.HISTORY: f"history {day}", Phase.PACED: day, Phase.ENDED: f"all events published, up to {day}"}[
        feed.phase
    ]


def _model_quality(quality: dict[str, Any] | None) -> list[str]:
    if quality is None or not quality["labels"]:
        return ["0 labels"]
    labels = f"{quality['labels']:,} labels ({quality['positives']:,} churned)"
    model, prior = quality["log_loss"]["answer"], quality["log_loss"]["prior"]
    if model is None or prior is None:
        return [labels]
    return [labels, f"log loss {model:.4f} (prior {prior:.4f})"]


def _bottom_lines(segments: list[str], columns: int) -> Text:
    """Put as many segments on each line as fit, below a blank line. A segment that is too long for a line is cut.

    >>> _bottom_lines(["2000-03-01", "1,900 events/s", "lag 12"], 30).plain
    '\\n2000-03-01   1,900 events/s\\nlag 12'
    """
    lines = [""]
    for segment in segments:
        if lines[-1] and len(lines[-1]) + len(_SEPARATOR) + len(segment) <= columns:
            lines[-1] += _SEPARATOR + segment
        else:
            lines.append(segment)
    return Text("\n".join(lines), style="bold", no_wrap=True, overflow="ellipsis")
