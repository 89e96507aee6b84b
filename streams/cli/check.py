"""`churn-signals check`: report what a file of events contains, and what would make results wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli.options import config_option, read_definition
from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError
from streams.input_file import InputFile, LineNumbers

if TYPE_CHECKING:
    from models.backtesting.log_census import LogCensus
    from models.backtesting.log_findings import LabelCounts, LogFinding
    from models.definition.churn_definition import ChurnDefinition
    from models.events.event import Event
    from models.events.event_names import EventNames
    from models.events.log_order import LogOrder


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object per line.")
def check(file: str, config: Path, as_json: bool) -> None:
    """Report what FILE contains, and what would make results wrong.

    FILE has one JSON object per line, plain or gzipped; - reads standard input. The report covers order, time span,
    wrong clocks, pauses, rejected lines, ids, event names, properties that cannot be read, currencies, customers, and
    the labels that a replay would learn from. The exit code is 1 if results would be wrong.
    """
    from models.backtesting.log_findings import has_errors

    findings = find(file, read_definition(config))
    if as_json:
        _print_json(findings)
    else:
        from streams.rendering.log_findings import print_findings
        from streams.rendering.terminal import stdout_console

        print_findings(findings, stdout_console())
    if has_errors(findings):
        raise ChurnSignalsError(f"{file} would give wrong results.")


def find(file: str, definition: ChurnDefinition) -> list[LogFinding]:
    """Read a file and return all findings.

    Raises:
        ChurnSignalsError: the file cannot be read.
    """
    from models.backtesting.backtest import Backtest
    from models.backtesting.definition_gaps import find_gaps
    from models.backtesting.log_census import LogCensus
    from models.backtesting.log_findings import find_problems, find_time_problems
    from models.events.log_order import LogOrder
    from streams.kafka.partitioner import partition_of

    census, order, numbers = LogCensus(), LogOrder(), LineNumbers()
    run = Backtest(definition, _untrained(), 1, partition_of)
    with InputFile(file) as lines, ProgressBar("checking", lines.size) as bar:
        for _ in run.run(_events(lines, census, order, definition.names, numbers)):
            bar.advance_to(lines.position, f"{census.events:,} events")
    unreadable = run.unreadable.moved(numbers.line_of)
    problems = find_problems(census, order, _label_counts(run), definition, unreadable)
    return [*problems, *find_time_problems(run.plausible), *find_gaps(run.evidence, census, definition)]


def _events(
    lines: InputFile, census: LogCensus, order: LogOrder, names: EventNames, numbers: LineNumbers
) -> Iterator[Event]:
    from models.events.event import Event, decode

    for number, line in enumerate(lines, 1):
        if not line:
            continue
        found = decode(line, (), None, None, names)
        census.add(number, found)
        if isinstance(found, Event):
            numbers.add(number)
            order.add(number, found.time_ms)
            yield found


def _untrained() -> Any:
    """A learner that learns nothing: labels depend on events only, not on scores."""
    from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
    from models.learning.feature_space import FeatureSpace
    from models.learning.model import Model

    class Untrained:
        scorer_ = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE)).scorer()

        def learn(self, *_: object) -> None: ...

        def scorer(self) -> Any:
            return self.scorer_

    return Untrained()


def _label_counts(run: Any) -> LabelCounts:
    from models.backtesting.log_findings import LabelCounts

    examples = run.examples
    return LabelCounts(
        matured=len(examples),
        positive=sum(example.label for example in examples),
        first_release_ms=min((example.release_ms for example in examples), default=0),
        pending=sum(key[:1] == b"s" for store in run.stores for key in store.records),
        censored=run.censored,
    )


def _print_json(findings: list[LogFinding]) -> None:
    import msgspec

    for finding in findings:
        click.echo(msgspec.json.encode(finding))
