"""Where the checkout and the shared logs are, for tests in any folder."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
SHARED_DATA: Final = ROOT.parent / "shared" / "data"
"""Real logs, beside the checkout where they are at hand; tests that need one are skipped without."""
