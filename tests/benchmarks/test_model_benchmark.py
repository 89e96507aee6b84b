"""The benchmark of the model's cost runs where no log is at hand, and prints what it promises."""

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


def test_simulated_customers_stand_in_for_an_absent_log() -> None:
    """Every stage has a figure, the sum is their sum, and labels were learned on the way."""
    lines, source = lines_of("absent.jsonl.gz", 30_000)
    result = measure(lines, ChurnDefinition.parse(CHURN))
    assert source == "simulated customers"
    assert result["events"] == len(lines) == 30_000
    assert result["labels"] > 500
    assert all(us > 0 for us in result["us_per_event"].values())
    assert abs(sum(result["us_per_event"].values()) - result["total_us_per_event"]) < 1e-6
    shown = table(result, source)
    for figure in ("decode", "apply", "features", "score", "learn", "profile", "peak memory", "orjson.loads"):
        assert figure in shown
