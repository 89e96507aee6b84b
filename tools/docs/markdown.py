"""Markdown tables, code spans, and generated blocks between markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    r"""Format a Markdown table.

    >>> print(table(("a", "b"), [("1", "x | y")]))
    | a | b |
    |---|---|
    | 1 | x \| y |
    """
    lines = [head, *rows]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(head), *text[1:]])


def code(text: object) -> str:
    """Format as a code span; an empty text stays empty.

    >>> code("a"), code("")
    ('`a`', '')
    """
    return f"`{text}`" if str(text) else ""


def rewritten(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """Return the page with its generated blocks up to date.

    Raises:
        ValueError: the markers of a block do not occur exactly once.
    """
    for name, write in blocks.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"the page needs the markers {begin} and {end} exactly once")
        block = f"{begin}\n{write()}\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)  # type: ignore[misc]
    return text
