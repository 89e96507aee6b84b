"""The model cost benchmark runs without a log and prints every figure."""

from __future__ import annotations

from benchmarks.model import lines_of, measure, table
from models.definition.churn_definition import ChurnDefinition

CHURN = """
[churn.definitions.cancelled]
event = "Subscription Cancelled"
[label]
horizon = "3d"
grace = "0d"
[snapshot]
every = "2d"
"""


def test_simulated_customers_replace_a_missing_log() -> None:
    """Rule: every stage has a figure, the total is their sum, and labels are learned during the run."""
    lines, source = lines_of("absent.jsonl.gz", 20_000)
    result = measure(lines, ChurnDefinition.parse(CHURN))
    assert source == "simulated customers"
    assert result["events"] == len(lines) == 20_000
    assert result["labels"] > 100
    assert all(us > 0 for us in result["us_per_event"].values())
    assert abs(sum(result["us_per_event"].values()) - result["total_us_per_event"]) < 1e-6
    shown = table(result, source)
    for figure in ("decode", "apply", "features", "score", "learn", "profile", "peak memory", "orjson.loads"):
        assert figure in shown
