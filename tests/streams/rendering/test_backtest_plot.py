"""What a person sees of a report: tables on a terminal, a picture, and a page that stands on its own."""

from __future__ import annotations

import builtins
import io
import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from models.backtesting.report import BacktestReport, ExampleColumns, FeatureWeight, InputCounts, evaluate
from models.duration import DAY_MS
from streams.errors import ConfigurationError
from streams.rendering import backtest_plot as plot
from streams.rendering.backtest import footnotes, headline, print_backtest, tables

BEGIN_MS = 1_390_694_400_000


def report(n: int = 4_000, base: float = -3.5, seed: int = 1) -> BacktestReport:
    """A calibrated model and a dull prior over 24 weeks, 12 of them judged."""
    rng = np.random.default_rng(seed)
    log_odds = base + rng.standard_normal(n)
    probability = 1 / (1 + np.exp(-log_odds))
    label = (rng.random(n) < probability).astype(np.int64)
    at = BEGIN_MS + rng.integers(-12, 12, n) * 7 * DAY_MS
    rows = ExampleColumns(
        np.array([f"c{i % 400}" for i in range(n)], dtype=object),
        at,
        at + 16 * DAY_MS,
        probability,
        1 / (1 + np.exp(-(base + 0.2 * (log_odds - base)))),
        label,
        np.where(label == 1, at + 9 * DAY_MS, 0),
    )
    return evaluate(
        rows,
        BEGIN_MS,
        features=[FeatureWeight("recency_days", 0.41, "time since <they> did something"), FeatureWeight("n", -0.3, "")],
        counts=InputCounts(events=9_000, rejected={"no_customer": 2}, customers=400, examples=n, pending=17),
        definition="3623d8a8f06c",
        model_version="v42",
    )


EMPTY = evaluate(ExampleColumns.of([]))
FOUND = report()


@cache
def found_page() -> str:
    return plot.page(FOUND)


def shown(found: BacktestReport) -> str:
    console = Console(width=160, file=io.StringIO())
    print_backtest(found, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_the_model_beside_prior_and_constant() -> None:
    found = report()
    text = shown(found)
    assert found.constant is not None
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("log loss "))
    assert row[2:5] == [f"{one.log_loss:.4f}" for one in (found.model, found.prior, found.constant)]
    for words in ("Reliability", "Quality over time", "Most telling features", "17 snapshots", "no_customer 2", "v42"):
        assert words in text
    assert re.search(r"recency_days +\+0\.410 +raises +time since <they>", text)
    assert re.search(r"n +-0\.300 +lowers", text)


def test_nothing_to_judge_is_said_in_one_sentence() -> None:
    assert headline(EMPTY).startswith("No matured example")
    assert tables(EMPTY) == ()
    assert "0 matured examples" in shown(EMPTY)


def test_an_undefined_figure_is_a_dash_never_a_number() -> None:
    one = np.array([1])
    rows = ExampleColumns(np.array(["a"], dtype=object), one, one + 1, one * 0.5, one * 0.5, one * 0, one * 0)
    quality = tables(evaluate(rows))[0]
    assert [row[1:4] for row in quality.rows if row[0] == "ROC AUC"] == [("–", "–", "–")]
    assert "no constant" in quality.note


def test_a_share_is_never_rounded_to_certainty() -> None:
    from streams.rendering.backtest import _percent

    assert [_percent(s) for s in (0.0, 0.0001, 0.0123, 0.5, 0.9995, 1.0)] == [
        "0 %", "0.01 %", "1.23 %", "50.0 %", "99.95 %", "100 %",
    ]  # fmt: skip


def test_the_same_report_gives_the_same_bytes_whatever_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    picture = plot.png(FOUND)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "other", "savefig.dpi": 30}):
        assert plot.png(FOUND) == picture
        assert plot.page(FOUND) == found_page()
        assert matplotlib.rcParams["font.size"] == 20, "and leaves them alone"


def test_the_picture_is_a_png_without_a_date_or_a_programs_name(tmp_path: Path) -> None:
    plot.write_plot(EMPTY, tmp_path / "plot.png")
    picture = (tmp_path / "plot.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    for chunk in (b"tIME", b"Software", b"Creation"):
        assert chunk not in picture


class Outline(HTMLParser):
    """Checks nesting, and collects tags and attributes."""

    VOID = ("meta", "br", "!doctype")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    assert parser.open == []
    return parser


def test_the_page_stands_on_its_own() -> None:
    page, parsed = found_page(), outline(found_page())
    assert "http" not in page
    assert "@import" not in page
    assert not {"script", "link", "img", "iframe", "image"} & set(parsed.tags)
    for name, value in parsed.attributes:
        if name in ("href", "xlink:href", "src"):
            assert value.startswith("#")
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]*)\)", page)) | {v[1:] for n, v in parsed.attributes if n == "xlink:href"}
    assert used <= set(ids)


def test_the_page_has_both_pictures_with_a_description_and_every_table() -> None:
    parsed = outline(found_page())
    assert parsed.tags.count("svg") == 2
    assert sum(name == "aria-label" for name, _ in parsed.attributes) == 2
    assert parsed.tags.count("table") == len(tables(FOUND)) == 4
    page = found_page()
    assert "time since &lt;they&gt; did something" in page
    for note in footnotes(FOUND):
        assert note in page


def test_every_colour_of_the_page_follows_light_and_dark() -> None:
    page = found_page()
    body = page[page.index("</style>") :]
    assert re.findall(r"#[0-9a-fA-F]{6}\b", body) == []
    assert "prefers-color-scheme:dark" in page
    for role in plot.COLOURS:
        assert page.count(f"--{role}:") == 2
        assert f"var(--{role})" in page


def contrast(one: str, other: str) -> float:
    """Contrast ratio by WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("which", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(which: int) -> None:
    paper = plot.COLOURS["paper"][which]
    for role in ("ink", "faint", "model", "prior"):
        assert contrast(plot.COLOURS[role][which], paper) >= 4.5


@pytest.mark.parametrize(
    "found",
    [EMPTY, report(n=30), report(n=60, base=9.0), report(n=60, base=-12.0)],
    ids=["nothing", "few", "all churn", "none churn"],
)
def test_every_report_can_be_drawn(found: BacktestReport, tmp_path: Path) -> None:
    plot.write_plot(found, tmp_path / "plot.html")
    outline((tmp_path / "plot.html").read_text())


def test_without_matplotlib_or_with_another_ending_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"must end in \.png or \.html"):
        plot.check_plot_path(Path("plot.pdf"))
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'churn-signals\[plot\]'"):
        plot.write_plot(EMPTY, Path("plot.png"))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"plot\.png cannot be written: No such file"):
        plot.write_plot(EMPTY, tmp_path / "nowhere" / "plot.png")
