"""`.env.example` is what the settings' declarations say today."""

from __future__ import annotations

from streams.settings import Settings, env_example
from tests.paths import ROOT

EXAMPLE = ROOT / ".env.example"


def test_the_example_file_is_current() -> None:
    """If this fails: python -c 'from streams.settings import *; print(env_example(), end="")' > .env.example."""
    assert EXAMPLE.read_text(encoding="utf-8") == env_example()


def test_the_example_file_says_the_defaults() -> None:
    """Rule: taking every line of the file for what it is changes nothing."""
    lines = (line[1:].split("=", 1) for line in EXAMPLE.read_text().splitlines() if line.startswith("#CHURN_"))
    assert Settings.from_environment(dict(lines)) == Settings()
