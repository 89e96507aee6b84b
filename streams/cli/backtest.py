"""`churn-signals backtest`: replay a file of events through the workers' code and evaluate predictions and alerts."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from streams.cli.options import TIME, config_option, read_definition, sort_option
from streams.cli.progress import ProgressBar
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.event_order import OrderGuard, numbered_lines
from streams.input_file import InputFile, LineNumbers

if TYPE_CHECKING:
    from models.backtesting.backtest import Backtest
    from models.backtesting.report import BacktestReport, FeatureWeight
    from models.events.event import Event
    from models.events.event_names import EventNames
    from models.labels.training_example import TrainingExample
    from models.learning.model import Model

PARTITIONS = 4
REPORTED_FEATURES = 15
PIPED_COLUMNS = 120


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@config_option
@sort_option
@click.option("--from", "start_ms", type=TIME, metavar="TIME", help="Evaluate snapshots from this time on.")
@click.option("--to", "to_ms", type=TIME, metavar="TIME", help="Evaluate snapshots before this time.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    default=PARTITIONS,
    show_default=True,
    help="Number of partitions to spread customers over. Use that of the events topic to get its workers' figures.",
)
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to a JSON file."
)
@click.option(
    "--examples",
    "examples_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every matured example to a file, one JSON object per line; .gz is compressed.",
)
@click.option(
    "--alerts",
    "alerts_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every alert change that workers would publish to a file, one JSON object per line; .gz is compressed.",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Plot calibration and quality over time to a .png or .html file.",
)
def backtest(
    file: str,
    config: Path,
    sort: bool,
    start_ms: int | None,
    to_ms: int | None,
    partitions: int,
    json_path: Path | None,
    examples_path: Path | None,
    alerts_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Replay FILE and evaluate the model's predictions and alerts.

    FILE has one JSON object per line, plain or gzipped; - reads standard input. Every probability is evaluated as it
    was predicted: features are frozen at the snapshot, and a label is learned only after its horizon and grace.
    Examples whose horizon ends after the file have no label. Two runs over the same file print the same bytes.
    """
    from models.backtesting.alert_quality import evaluate_alerts
    from models.backtesting.cause_quality import evaluate_causes
    from models.backtesting.report import ExampleColumns, evaluate

    definition = read_definition(config)
    if start_ms is not None and to_ms is not None and start_ms >= to_ms:
        raise ConfigurationError("--from must be before --to.")
    if plot_path is not None:
        from streams.rendering.backtest_plot import SUFFIXES
        from streams.rendering.plotting import check_plot_path

        check_plot_path(plot_path, SUFFIXES)
    run, model, rejected = run_backtest(file, definition, partitions, sort=sort)
    if not run.events:
        raise ChurnSignalsError(f"{file} has no valid event{_most_frequent_rejection(rejected)}.")
    report = evaluate(
        ExampleColumns.of(run.examples),
        start_ms,
        to_ms,
        features=influential_features(model)[:REPORTED_FEATURES],
        counts=_counts(run, rejected),
        definition=definition.hash,
        model_version=model.version,
        alerts=evaluate_alerts(run.alerts, run.examples, definition, start_ms, to_ms),
        causes=evaluate_causes(run.examples, definition, start_ms, to_ms),
        findings=run.evidence.findings(),
    )
    _write_files(
        run,
        report,
        alerts_path=alerts_path,
        examples_path=examples_path,
        json_path=json_path,
        plot_path=plot_path,
    )
    from streams.rendering.backtest import print_backtest
    from streams.rendering.terminal import stdout_console

    print_backtest(report, stdout_console(PIPED_COLUMNS))


def _write_files(
    run: Backtest,
    report: BacktestReport,
    *,
    alerts_path: Path | None,
    examples_path: Path | None,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    if alerts_path is not None:
        with _output(alerts_path) as out:
            out.writelines(alert.value + b"\n" for alert in run.alerts)
    if examples_path is not None:
        write_examples(examples_path, run.examples)
    if json_path is not None:
        _write_json(json_path, report)
    if plot_path is not None:
        from streams.rendering.backtest_plot import write_backtest_plot

        write_backtest_plot(report, plot_path)


def run_backtest(
    file: str,
    definition: Any,
    partitions: int = PARTITIONS,
    prepare: Callable[[Backtest], object] = lambda run: None,
    *,
    sort: bool = False,
) -> tuple[Backtest, Model, Counter[str]]:
    """Run a file through the fold and the learner.

    Args:
        file: A path, or "-" for standard input.
        definition: The churn definition.
        partitions: Number of partitions to spread customers over.
        prepare: Called with the backtest before it begins.
        sort: Sort the file by event time first; without it, an unsorted file raises ChurnSignalsError.

    Returns:
        The finished backtest, its model, and the number of rejected lines by reason.
    """
    from models.backtesting.backtest import Backtest
    from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
    from models.learning.feature_space import FeatureSpace
    from models.learning.model import Model
    from streams.kafka.partitioner import partition_of

    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    run = Backtest(definition, model, partitions, partition_of)
    prepare(run)
    rejected: Counter[str] = Counter()
    numbers = LineNumbers()
    with InputFile(file) as lines, ProgressBar("replaying", lines.size) as bar:
        guarded = _in_order(file, _events(numbered_lines(lines, sort=sort), rejected, definition.names, numbers))
        for _ in run.run(guarded):
            bar.advance_to(lines.position, f"{run.events:,} events, {len(run.examples):,} labels")
    run.unreadable = run.unreadable.moved(numbers.line_of)
    return run, model, rejected


def _events(
    lines: Iterator[tuple[int, bytes]], rejected: Counter[str], names: EventNames, numbers: LineNumbers
) -> Iterator[tuple[int, Event]]:
    from models.events.event import Event, decode

    for number, line in lines:
        event = decode(line, (), None, None, names) if line else None
        if isinstance(event, Event):
            numbers.add(number)
            yield number, event
        elif event is not None:
            rejected[event.reason] += 1


def _in_order(file: str, events: Iterator[tuple[int, Event]]) -> Iterator[Event]:
    guard = OrderGuard(file)
    for number, event in events:
        guard.add(number, event)
        yield event


def _most_frequent_rejection(rejected: Counter[str]) -> str:
    return f" ({rejected.total():,} lines were rejected, most as {rejected.most_common(1)[0][0]})" if rejected else ""


def influential_features(model: Model) -> list[FeatureWeight]:
    """Features by the change in log-odds when they rise by one standard deviation, the largest first."""
    import numpy as np

    from models.backtesting.report import FeatureWeight
    from models.features.catalogue import FEATURES

    size = len(FEATURES)
    scaler = model.champion.scaler
    mean, deviation = scaler.mean[:size], scaler.sd[:size]
    x = np.vstack([mean, mean + np.diag(deviation)])
    contributions = model.score(x, np.tile(mean, (size + 1, 1))).contributions()
    effect = contributions[1:].diagonal() - contributions[0]
    order = sorted(range(size), key=lambda i: -abs(effect[i]))
    return [FeatureWeight(FEATURES[i].name, float(effect[i]), FEATURES[i].sentence) for i in order if effect[i]]


def _counts(run: Backtest, rejected: Counter[str]) -> Any:
    from models.backtesting.report import InputCounts

    records = [key for store in run.stores for key in store.records]
    return InputCounts(
        events=run.events,
        duplicates=run.duplicates,
        rejected=dict(sorted(rejected.items())),
        customers=sum(key[:1] == b"c" for key in records),
        examples=len(run.examples),
        censored=run.censored,
        pending=sum(key[:1] == b"s" for key in records),
        implausible=run.plausible.implausible,
        unreadable=run.unreadable,
    )


def write_examples(path: Path, examples: list[TrainingExample]) -> None:
    """Write one JSON object per line: customer, snapshot_time, release_time, probability, label, features.

    A missing feature is null.
    """
    import numpy as np
    import orjson

    from models.duration import rfc3339
    from models.features.catalogue import NAMES

    with _output(path) as out:
        for example in examples:
            values = np.frombuffer(example.features).tolist()
            row = {
                "customer": example.customer,
                "snapshot_time": rfc3339(example.snapshot_ms),
                "release_time": rfc3339(example.release_ms),
                "probability": example.probability,
                "label": example.label,
                "features": {name: None if v != v else v for name, v in zip(NAMES, values, strict=True)},
            }
            out.write(orjson.dumps(row) + b"\n")


@contextmanager
def _output(path: Path) -> Iterator[IO[bytes]]:
    try:
        with open(path, "wb") as raw:
            if path.suffix != ".gz":
                yield raw
                return
            # no name and no time in the header: the same examples give the same bytes
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=4) as compressed:
                buffered = io.BufferedWriter(compressed, 1 << 20)
                yield buffered
                buffered.flush()
    except OSError as error:
        raise ChurnSignalsError(f"cannot write {path}: {error.strerror or error}.") from None


def _write_json(path: Path, report: BacktestReport) -> None:
    import orjson

    with _output(path) as out:
        out.write(orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
