"""Safe text and a console for standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Fits the longest topic and group names that are common in practice.
PIPED_COLUMNS = 200


def printable(text: str) -> str:
    """Replace every character that could control a terminal with a period. Use it for all text from outside.

    >>> printable("caf\u00e9 \x1b[2J\u202e")
    'café .[2J.'
    """
    return "".join(c if c.isprintable() else "." for c in text)


def stdout_console(piped_columns: int = PIPED_COLUMNS) -> Console:
    """Open a console on standard output that prints text literally, without markup.

    Args:
        piped_columns: Width where standard output is not a terminal.
    """
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else piped_columns, highlight=False, markup=False)


def print_indented(console: Console, text: Text, indent: int) -> None:
    """Print text whose long lines continue on indented lines."""
    from rich.text import Text

    for line in text.split(allow_blank=True):
        first, *rest = line.wrap(console, console.width) or [line]
        first.rstrip()
        console.print(first)
        if rest:
            for continued in Text(" ").join(rest).wrap(console, max(console.width - indent, 1)):
                continued.rstrip()
                console.print(Text(" " * indent) + continued)
