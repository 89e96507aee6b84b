"""A log that cannot meet its churn definitions is reported as an error, with a line where there is one."""

from __future__ import annotations

from models.backtesting.definition_gaps import find_gaps
from models.backtesting.log_census import LogCensus
from models.backtesting.log_findings import ERROR, WARNING
from models.definition.churn_definition import ChurnDefinition
from models.definition.churn_evidence import ChurnEvidence
from models.events.taxonomy import meaning
from tests.models.histories import event

CHURN = """[churn.definitions.left]
event = "Subscription Cancelled"
where = { reason = "left" }
[churn.definitions.other]
event = "Plan Ended"
[label]
primary = ["left"]
"""


def gaps(*names: str) -> list[tuple[str, str, int]]:
    definition, census = ChurnDefinition.parse(CHURN), LogCensus()
    evidence = ChurnEvidence(definition)
    for line, name in enumerate(names, 1):
        each = event(name)
        each.meaning = meaning(name)
        census.add(line, each)
        evidence.add(each)
    return [
        (each.level, each.text.split(",")[0].split(".")[0], each.line)
        for each in find_gaps(evidence, census, definition)
    ]


def test_labels_that_are_wrong_are_errors_and_other_gaps_warnings() -> None:
    assert gaps("page", "Subscripton Cancelled", "Failed Payment") == [
        (ERROR, 'No "Subscription Cancelled" event occurs', 0),
        (WARNING, 'No "Plan Ended" event occurs', 0),
        (WARNING, 'Events "Failed Payment": 1', 3),
        (ERROR, 'Events "Subscripton Cancelled": 1', 2),
    ]
    assert gaps("Plan Ended", "Subscription Cancelled") == [
        (ERROR, '"Subscription Cancelled" events without reason: 1 of 1', 0)
    ]
    assert gaps() == []
