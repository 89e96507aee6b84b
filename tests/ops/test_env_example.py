"""`.env.example` is generated from the declarations of the settings."""

from __future__ import annotations

from streams.settings import Settings, env_example
from tests.paths import ROOT

EXAMPLE = ROOT / ".env.example"


def test_example_file_is_current() -> None:
    """To regenerate it: python -c 'from streams.settings import *; print(env_example(), end="")' > .env.example."""
    assert EXAMPLE.read_text(encoding="utf-8") == env_example()


def test_example_file_contains_the_defaults() -> None:
    """Rule: with every line of the file uncommented, the settings are the defaults."""
    lines = (line[1:].split("=", 1) for line in EXAMPLE.read_text().splitlines() if line.startswith("#CHURN_"))
    assert Settings.from_environment(dict(lines)) == Settings()
