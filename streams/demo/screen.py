"""What a person sees: alerts as they come above a line of figures; without a terminal, plain lines."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from streams.cli.ask import console as standard_output
from streams.demo.alert_counts import AlertCounts, Shown
from streams.demo.feed import DemoFeed, Phase
from streams.demo.watch import Watch
from streams.rendering.alerts import render_alert

# An alert is six to ten lines, which are read in four seconds.
ALERT_EVERY_S = 4.0
PLAIN_FIGURES_EVERY_S = 5.0
_BETWEEN = "   "


class Screen:
    """Standard output. On a terminal the figures stay at the bottom; piped, they are a line every five seconds.

    Args:
        console: instead of standard output; for tests.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = standard_output() if console is None else console
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

    def say(self, text: str) -> None:
        """One paragraph, which stays."""
        self._console.print(Text(text))

    def status(self, text: str) -> None:
        """What is being waited for, in place of the figures."""
        if self._live is not None:
            self._live.update(Text(text, style="dim"), refresh=True)
        else:
            self.say(text)

    def refresh(self, feed: DemoFeed, watch: Watch, tally: AlertCounts, now_s: float | None = None) -> None:
        """Show the figures, and the next alert when there was time to read the last one."""
        now_s = time.monotonic() if now_s is None else now_s
        if now_s - self._alert_s >= ALERT_EVERY_S and (shown := tally.take()) is not None:
            self._alert_s = now_s
            self._show(shown)
        for ended in tally.take_came_true():
            self._print(render_alert(ended))
        segments = figures(feed, watch, tally)
        if self._live is not None:
            self._live.update(_bottom([*segments, "Ctrl-C ends"], self._console.width), refresh=True)
        elif now_s - self._figures_s >= PLAIN_FIGURES_EVERY_S:
            self._figures_s = now_s
            self.say(_BETWEEN.join(segments))

    def _show(self, shown: Shown) -> None:
        text = render_alert(shown.alert)
        if shown.others:
            text.append(f"\n(and {shown.others:,} more meanwhile)", style="dim")
        self._print(text)

    def _print(self, text: Text) -> None:
        text.append("\n")
        self._console.print(text)


def figures(feed: DemoFeed, watch: Watch, tally: AlertCounts) -> list[str]:
    """The state of affairs, most important first."""
    return [
        _when(feed),
        f"{watch.rate:,.0f} events/s",
        f"lag {watch.lag:,}",
        *_learned(watch.quality),
        f"alerts {tally.opened:,}: {tally.open:,} open, {tally.churned:,} of {tally.ended:,} ended came true",
    ]


def _when(feed: DemoFeed) -> str:
    if feed.time_ms is None:
        return "no events yet"
    day = datetime.fromtimestamp(feed.time_ms / 1000, UTC).date().isoformat()
    return {Phase.HISTORY: f"history {day}", Phase.PACED: day, Phase.ENDED: f"all sent, up to {day}"}[feed.phase]


def _learned(quality: dict[str, Any] | None) -> list[str]:
    if quality is None or not quality["labels"]:
        return ["labels 0"]
    labels = f"labels {quality['labels']:,} ({quality['positives']:,} churned)"
    answer, prior = quality["log_loss"]["answer"], quality["log_loss"]["prior"]
    if answer is None or prior is None:
        return [labels]
    return [labels, f"log loss {answer:.4f}, the prior's {prior:.4f}"]


def _bottom(segments: list[str], columns: int) -> Text:
    """As many segments on a line as fit, under a blank line; whatever is too long for a line is cut.

    >>> _bottom(["2000-03-01", "1,900 events/s", "lag 12"], 30).plain
    '\\n2000-03-01   1,900 events/s\\nlag 12'
    """
    lines = [""]
    for segment in segments:
        if lines[-1] and len(lines[-1]) + len(_BETWEEN) + len(segment) <= columns:
            lines[-1] += _BETWEEN + segment
        else:
            lines.append(segment)
    return Text("\n".join(lines), style="bold", no_wrap=True, overflow="ellipsis")
