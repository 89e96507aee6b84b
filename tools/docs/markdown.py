"""Markdown as the generated parts of the documentation use it: tables, and blocks between markers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    r"""A table in Markdown.

    >>> print(table(("a", "b"), [("1", "x | y")]))
    | a | b |
    |---|---|
    | 1 | x \| y |
    """
    lines = [head, *rows]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(head), *text[1:]])


def code(text: object) -> str:
    """As code, and nothing for nothing.

    >>> code("a"), code("")
    ('`a`', '')
    """
    return f"`{text}`" if str(text) else ""


def rewritten(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """A page with its generated blocks as they should be.

    Raises:
        ValueError: a block's markers are not there exactly once.
    """
    for name, write in blocks.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise ValueError(f"the page needs the markers {begin} and {end} exactly once")
        block = f"{begin}\n{write()}\n{end}"
        text = pattern.sub(lambda _, block=block: block, text)  # type: ignore[misc]
    return text
