"""A backtest report as tables on a terminal, as a picture, and as a self-contained page."""

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
from streams.rendering import plotting
from streams.rendering.backtest import footnotes, headline, print_backtest, tables
from streams.rendering.backtest_plot import SUFFIXES, backtest_page, backtest_png, write_backtest_plot

BEGIN_MS = 1_390_694_400_000


def report(n: int = 4_000, base: float = -3.5, seed: int = 1) -> BacktestReport:
    """A calibrated model and a weak prior over 24 weeks, of which 12 are evaluated."""
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
REPORT = report()


@cache
def report_page() -> str:
    return backtest_page(REPORT)


def printed(backtest: BacktestReport) -> str:
    console = Console(width=160, file=io.StringIO())
    print_backtest(backtest, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_terminal_compares_the_model_with_prior_and_constant() -> None:
    backtest = report()
    text = printed(backtest)
    assert backtest.constant is not None
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("log loss "))
    assert row[2:5] == [f"{q.log_loss:.4f}" for q in (backtest.model, backtest.prior, backtest.constant)]
    for words in (
        "Reliability",
        "Quality over time",
        "Most influential features",
        "17 snapshots",
        "no_customer 2",
        "v42",
    ):
        assert words in text
    assert re.search(r"recency_days +\+0\.410 +raises +time since <they>", text)
    assert re.search(r"n +-0\.300 +lowers", text)


def test_report_without_examples_is_one_sentence() -> None:
    assert headline(EMPTY).startswith("No matured example")
    assert tables(EMPTY) == ()
    assert "0 matured examples" in printed(EMPTY)


def test_undefined_figure_is_a_dash() -> None:
    one = np.array([1])
    rows = ExampleColumns(np.array(["a"], dtype=object), one, one + 1, one * 0.5, one * 0.5, one * 0, one * 0)
    quality = tables(evaluate(rows))[0]
    assert [row[1:4] for row in quality.rows if row[0] == "ROC AUC"] == [("–", "–", "–")]
    assert "no constant baseline" in quality.note


def test_share_is_never_rounded_to_0_or_100_percent() -> None:
    from streams.rendering.backtest import _percent

    assert [_percent(s) for s in (0.0, 0.0001, 0.0123, 0.5, 0.9995, 1.0)] == [
        "0%", "0.01%", "1.23%", "50.0%", "99.95%", "100%",
    ]  # fmt: skip


def test_same_report_gives_the_same_bytes_with_any_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib

    picture = backtest_png(REPORT)
    with matplotlib.rc_context({"font.size": 20, "axes.grid": False, "svg.hashsalt": "other", "savefig.dpi": 30}):
        assert backtest_png(REPORT) == picture
        assert backtest_page(REPORT) == report_page()
        assert matplotlib.rcParams["font.size"] == 20, "the user's settings are restored"


def test_png_has_no_date_and_no_program_name(tmp_path: Path) -> None:
    write_backtest_plot(EMPTY, tmp_path / "plot.png")
    picture = (tmp_path / "plot.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    for chunk in (b"tIME", b"Software", b"Creation"):
        assert chunk not in picture


class Outline(HTMLParser):
    """Checks the nesting of tags and collects tags and attributes."""

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


def test_page_is_self_contained() -> None:
    page, parsed = report_page(), outline(report_page())
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


def test_page_has_both_pictures_with_descriptions_and_all_tables() -> None:
    parsed = outline(report_page())
    assert parsed.tags.count("svg") == 2
    assert sum(name == "aria-label" for name, _ in parsed.attributes) == 2
    assert parsed.tags.count("table") == len(tables(REPORT)) == 4
    page = report_page()
    assert "time since &lt;they&gt; did something" in page
    for note in footnotes(REPORT):
        assert note in page


def test_every_colour_follows_light_and_dark_mode() -> None:
    page = report_page()
    body = page[page.index("</style>") :]
    assert re.findall(r"#[0-9a-fA-F]{6}\b", body) == []
    assert "prefers-color-scheme:dark" in page
    for role in plotting.COLOURS:
        assert page.count(f"--{role}:") == 2
        assert f"var(--{role})" in page


def contrast(first: str, second: str) -> float:
    """Contrast ratio by WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("which", [0, 1], ids=["light", "dark"])
def test_text_and_lines_contrast_with_the_paper(which: int) -> None:
    paper = plotting.COLOURS["paper"][which]
    for role in ("ink", "faint", "model", "prior"):
        assert contrast(plotting.COLOURS[role][which], paper) >= 4.5


@pytest.mark.parametrize(
    "backtest",
    [EMPTY, report(n=30), report(n=60, base=9.0), report(n=60, base=-12.0)],
    ids=["nothing", "few", "all churn", "none churn"],
)
def test_every_report_can_be_drawn(backtest: BacktestReport, tmp_path: Path) -> None:
    write_backtest_plot(backtest, tmp_path / "plot.html")
    outline((tmp_path / "plot.html").read_text())


def test_missing_matplotlib_or_wrong_suffix_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"must end in \.png or \.html"):
        plotting.check_plot_path(Path("plot.pdf"), SUFFIXES)
    real: Callable[..., Any] = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"pip install 'churn-signals\[plot\]'"):
        write_backtest_plot(EMPTY, Path("plot.png"))


def test_unwritable_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write .*plot\.png: No such file"):
        write_backtest_plot(EMPTY, tmp_path / "nowhere" / "plot.png")
