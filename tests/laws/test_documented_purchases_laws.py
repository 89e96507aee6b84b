"""The documented purchase forecast on the whole CDNOW log; `test_purchases_command` uses simulated customers."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from streams.cli.main import main
from tests.paths import ROOT, SHARED_DATA

CDNOW = SHARED_DATA / "cdnow.jsonl.gz"


@pytest.mark.skipif(not CDNOW.exists(), reason="the CDNOW log is missing")
def test_documented_example_matches_the_output() -> None:
    """Rule: docs/metrics.md shows the exact output. Estimates are within 5% of the published ones, predicted purchases
    of the second half are within 10% of the observed ones, and calibration improves the log loss."""
    answer = CliRunner().invoke(main, ["purchases", str(CDNOW), "--until", "1997-10-01", "--refit"])
    example = (ROOT / "docs/metrics.md").read_text().split("## Purchases")[1].split("```text\n")[1].split("```")[0]
    shown = [line.rstrip() for line in answer.output.splitlines()]
    begin, end = (part.strip("\n").splitlines() for part in example.split("...\n"))
    assert begin == shown[: len(begin)]
    assert end == shown[-len(end) :]
    estimates = re.search(r"r ([\d.]+), alpha ([\d.]+) weeks, a ([\d.]+), b ([\d.]+)", answer.output)
    assert estimates is not None
    assert [float(value) for value in estimates.groups()] == pytest.approx([0.252, 4.81, 0.726, 2.18], rel=0.05)
    ahead = re.search(r"refitted each week: ([\d,]+) predicted, ([\d,]+) actual", answer.output)
    assert ahead is not None
    predicted, observed = (int(count.replace(",", "")) for count in ahead.groups())
    assert predicted == pytest.approx(observed, rel=0.1)
    losses = re.search(r"log loss ([\d.]+), calibrated on earlier outcomes ([\d.]+)", answer.output)
    assert losses is not None
    assert float(losses[2]) < float(losses[1])
    back = answer.output.split("calibration error")[1]
    rows = [row.split() for row in back.splitlines()[2:]]
    assert all(
        abs(float(row[3][:-1]) - float(row[4][:-1])) < 8 for row in rows
    )  # percentage points, calibrated versus observed
