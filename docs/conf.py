"""The documentation site, built offline by `make site` into .data/site from the pages of this folder."""

import re
from typing import Any

from pygments.lexers.data import JsonLexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "churn-signals"
extensions = ["myst_parser"]
exclude_patterns = ["schemas", "images"]
html_theme = "furo"
html_title = "churn-signals"
html_copy_source = False
html_show_copyright = False
myst_heading_anchors = 4  # the anchors that repository hosts give to headings


def toctree(pages: list[str], caption: str = "") -> str:
    """A table of contents that only the site's navigation shows."""
    return "\n".join(["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages, "```"])


def listed(text: str, row: str) -> list[str]:
    """The pages that the lines with this beginning link to, without their suffix."""
    return re.findall(rf"^{re.escape(row)}\[.+?\]\((.+?)\.md\)", text, re.MULTILINE)


def add_navigation(_app: Sphinx, name: str, source: list[str]) -> None:
    """Make the navigation of the lists that a reader sees, so that repository hosts show plain Markdown."""
    if name == "index":
        heading, *sections = re.split(r"^## ", source[0], flags=re.MULTILINE)
        tables = [toctree(listed(section, "- "), section.partition("\n")[0]) for section in sections]
        source[0] = "## ".join([heading, *(f"{s}\n{t}\n\n" for s, t in zip(sections, tables, strict=True))])
    elif name in ("decisions/README", "migrate/index"):
        source[0] += "\n" + toctree(listed(source[0], "| "))


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the languages of code blocks that Pygments does not know, and the navigation."""
    app.add_lexer("jsonl", JsonLexer)
    app.add_lexer("mermaid", TextLexer)  # repository hosts draw it; the site shows its text
    app.connect("source-read", add_navigation)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
