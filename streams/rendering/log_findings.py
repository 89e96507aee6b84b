"""The report that `churn-signals check` prints: findings by topic, errors in red, with line numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from models.backtesting.log_findings import ERROR, OK, WARNING, LogFinding
from streams.rendering.terminal import print_indented, printable

if TYPE_CHECKING:
    from rich.console import Console

_STYLES: Final = {ERROR: "bold red", WARNING: "yellow", OK: "green"}
_LABEL_WIDTH: Final = 9
_TOPIC_WIDTH: Final = 11


def print_findings(findings: Sequence[LogFinding], page: Console) -> None:
    """Print one finding after the other, and how many would make results wrong."""
    from rich.text import Text

    topic = ""
    for each in findings:
        line = f" Line {each.line:,}." if each.line else ""
        shown = "" if each.topic == topic else each.topic
        topic = each.topic
        text = Text(each.level.ljust(_LABEL_WIDTH), style=_STYLES[each.level])
        text.append(f"{shown:<{_TOPIC_WIDTH}}{printable(each.text)}{line}", style="default")
        print_indented(page, text, _LABEL_WIDTH + _TOPIC_WIDTH)
    errors = sum(each.level == ERROR for each in findings)
    warnings = sum(each.level == WARNING for each in findings)
    page.print(f"\nerrors {errors:,}, warnings {warnings:,}")
