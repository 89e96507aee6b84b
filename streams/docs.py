"""Writes the tables of the documentation that the program knows best: features, and what events mean.

`python -m streams.docs` rewrites the blocks between ``<!-- generated: NAME -->`` and ``<!-- end: NAME -->``; the tests
fail while a page is not what this would write.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from models.families import COUNTERS, MEANINGS
from models.features import FEATURES

DOCS: Final = Path(__file__).parents[1] / "docs"

_TRANSFORMS: Final = {"log": "log(1 + x), x to 10,000", "share": "0 to 1", "flag": "0 or 1"}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown.

    >>> print(table(("a", "b"), [("1", "x | y")]))
    | a | b |
    |---|---|
    | 1 | x \\| y |
    """
    lines = [head, *rows]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(head), *text[1:]])


def features() -> str:
    """The catalogue, in its order."""
    rows = [
        (
            f"`{f.name}`",
            f.sentence,
            f.unit,
            _TRANSFORMS.get(f.transform) or f"{f.transform.removeprefix('clip:').replace(',', ' to ')}",
            f.missing,
            "yes" if f.relative else "",
            f"`{f.reason}`",
        )
        for f in FEATURES
    ]
    return table(("feature", "what it says", "unit", "as the model sees it", "missing", "relative", "reason"), rows)


def families() -> str:
    """The table of event names, by family."""
    rows = [
        (
            row.family,
            f"`{name}`",
            "yes" if row.engaged else "",
            "yes" if row.decisive else "",
            f"`{COUNTERS[row.counter]}`" if row.counter >= 0 else "",
        )
        for name, row in sorted(MEANINGS.items(), key=lambda item: item[1].family)
    ]
    return table(("family", "event", "engagement", "scored at once", "counted as"), rows)


PAGES: Final[dict[str, dict[str, Callable[[], str]]]] = {
    "features.md": {"features": features},
    "events.md": {"families": families},
}


def rewritten(text: str, blocks: dict[str, Callable[[], str]]) -> str:
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


def main(docs: Path = DOCS) -> int:
    """Rewrites the pages that are stale and names them."""
    for name, blocks in PAGES.items():
        page = docs / name
        old = page.read_text(encoding="utf-8")
        if (new := rewritten(old, blocks)) != old:
            page.write_text(new, encoding="utf-8")
            print(f"{page}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
