"""Findings of a log on its churn definitions: events that never occur, that do not count, or that have another name."""

from __future__ import annotations

from models.backtesting.log_census import LogCensus
from models.backtesting.log_findings import ERROR, WARNING, LogFinding
from models.definition.churn_definition import ChurnDefinition
from models.definition.churn_evidence import ChurnEvidence


def find_gaps(evidence: ChurnEvidence, census: LogCensus, definition: ChurnDefinition) -> list[LogFinding]:
    """Return the findings, those that make a label wrong as errors."""
    if not evidence.events:
        return []
    labelled = {*definition.primary, *(definition.involuntary.definitions if definition.involuntary else ())}
    found = [
        LogFinding(ERROR if name in labelled else WARNING, "definition", sentence)
        for name, sentence in evidence.absent().items()
    ]
    found += [LogFinding(ERROR, "definition", sentence) for sentence in evidence.unmet(with_values=True)]
    for name, sentence in evidence.resembling().items():
        level = ERROR if evidence.resembles(name) in definition.by_event else WARNING
        seen = census.unknown.get(name) or census.passive.get(name)
        found.append(LogFinding(level, "names", sentence, seen.line if seen else 0))
    return found
