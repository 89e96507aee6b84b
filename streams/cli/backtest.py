"""`churn-signals backtest`: replays a file of events through the code of the workers and judges its probabilities."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from streams.cli.common import TIME, InputFile, ProgressBar, config_option, read_definition
from streams.errors import ChurnSignalsError, ConfigurationError

if TYPE_CHECKING:
    from models.backtesting.backtest import Backtest
    from models.backtesting.report import BacktestReport, FeatureWeight
    from models.events.event import Event
    from models.labels.training_example import TrainingExample
    from models.learning.model import Model

PARTITIONS = 4
SHOWN_FEATURES = 15
WIDTH_PIPED = 120


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@config_option
@click.option("--from", "start_ms", type=TIME, help="Judge snapshots from this time on.")
@click.option("--to", "to_ms", type=TIME, help="Judge snapshots before this time.")
@click.option(
    "--partitions",
    type=click.IntRange(1, 1024),
    default=PARTITIONS,
    show_default=True,
    help="Spread the customers as a topic of so many partitions would: the figures then equal the workers'.",
)
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as JSON.")
@click.option(
    "--examples",
    "examples_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write each matured example, one JSON object a line (.gz is compressed).",
)
@click.option(
    "--alerts",
    "alerts_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every change of an alert that would have been sent, one JSON object a line (.gz is compressed).",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw calibration and quality over time to a .png or .html file.",
)
def backtest(
    file: str,
    config: Path,
    start_ms: int | None,
    to_ms: int | None,
    partitions: int,
    json_path: Path | None,
    examples_path: Path | None,
    alerts_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Replay FILE (events, one JSON object a line, plain or gzipped; - is standard input) and judge the model.

    Every probability is as it was when it was made: features are frozen at the snapshot, a label is learned only when
    its horizon and the grace are over, and examples whose horizon reaches past the end of the file have none.
    Two runs over the same file give the same bytes.
    """
    from rich.console import Console

    from models.backtesting.alert_quality import evaluate_alerts
    from models.backtesting.cause_quality import evaluate_causes
    from models.backtesting.report import ExampleColumns, evaluate
    from streams.rendering import backtest as tables

    definition = read_definition(config)
    if start_ms is not None and to_ms is not None and start_ms >= to_ms:
        raise ConfigurationError("--from must be before --to.")
    if plot_path is not None:
        from streams.rendering.backtest_plot import check_plot_path

        check_plot_path(plot_path)
    run, model, rejected = replay(file, definition, partitions)
    if not run.events:
        raise ChurnSignalsError(f"{file} has no valid event{_first_reason(rejected)}.")
    result = evaluate(
        ExampleColumns.of(run.examples),
        start_ms,
        to_ms,
        features=telling_features(model)[:SHOWN_FEATURES],
        counts=_counts(run, rejected),
        definition=definition.hash,
        model_version=model.version,
        alerts=evaluate_alerts(run.alerts, run.examples, definition, start_ms, to_ms),
        causes=evaluate_causes(run.examples, definition, start_ms, to_ms),
    )
    if alerts_path is not None:
        with _output(alerts_path) as out:
            out.writelines(alert.value + b"\n" for alert in run.alerts)
    if examples_path is not None:
        write_examples(examples_path, run.examples)
    if json_path is not None:
        _write_json(json_path, result)
    if plot_path is not None:
        from streams.rendering.backtest_plot import write_plot

        write_plot(result, plot_path)
    # a file or a pipe has no width of its own: wide enough that no table is cut
    screen = Console()
    tables.print_backtest(result, screen if screen.is_terminal else Console(width=WIDTH_PIPED))


def replay(file: str, definition: Any, partitions: int) -> tuple[Backtest, Model, Counter[str]]:
    """Runs a file through the fold and the learner.

    Returns the finished backtest, its model, and how many lines were rejected for which reason.
    """
    from models.backtesting.backtest import Backtest
    from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
    from models.learning.feature_space import FeatureSpace
    from models.learning.model import Model
    from streams.kafka.partitioner import partition_of

    model = Model(FeatureSpace(NAMES, RELATIVE, CATALOGUE))
    run = Backtest(definition, model, partitions, partition_of)
    rejected: Counter[str] = Counter()
    with InputFile(file) as lines, ProgressBar("replaying", lines.size) as bar:
        for _ in run.run(_events(lines, rejected)):
            bar.advance_to(lines.position, f"{run.events:,} events, {len(run.examples):,} labels")
    return run, model, rejected


def _events(lines: InputFile, rejected: Counter[str]) -> Iterator[Event]:
    from models.events.event import Event, decode

    for line in lines:
        if not line:
            continue
        event = decode(line, (), None)
        if event.__class__ is Event:
            yield event
        else:
            rejected[event.reason] += 1  # type: ignore[union-attr]


def _first_reason(rejected: Counter[str]) -> str:
    return f" ({rejected.total():,} lines were rejected, most as {rejected.most_common(1)[0][0]})" if rejected else ""


def telling_features(model: Model) -> list[FeatureWeight]:
    """Features by the effect of one standard deviation more on the log-odds, the largest first."""
    import numpy as np

    from models.backtesting.report import FeatureWeight
    from models.features.catalogue import FEATURES

    size = len(FEATURES)
    scaler = model.champion.scaler
    usual, deviation = scaler.mean[:size], scaler.sd[:size]
    x = np.vstack([usual, usual + np.diag(deviation)])
    parts = model.score(x, np.tile(usual, (size + 1, 1))).contributions()
    effect = parts[1:].diagonal() - parts[0]
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
    )


def write_examples(path: Path, examples: list[TrainingExample]) -> None:
    """One JSON object a line: customer, snapshot_time, release_time, probability, label, features (null: missing)."""
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
            # no name and no time inside: the same examples give the same bytes
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=4) as packed:
                buffered = io.BufferedWriter(packed, 1 << 20)
                yield buffered
                buffered.flush()
    except OSError as error:
        raise ChurnSignalsError(f"{path} cannot be written: {error.strerror or error}.") from None


def _write_json(path: Path, result: BacktestReport) -> None:
    import orjson

    with _output(path) as out:
        out.write(orjson.dumps(result.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
