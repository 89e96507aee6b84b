"""What `/metrics` shows, each metric declared once: figures are read from the partitions when somebody asks.

Nothing is counted per event: partitions count per batch anyway, and a partition that is revoked has no series any more.
No label holds a customer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from streams.broker_watch import BrokerWatch
from streams.health import Health

if TYPE_CHECKING:
    from streams.learner import ModelLearner
    from streams.trainer_loop import TrainerLoop
    from streams.worker import Worker


class Metric(NamedTuple):
    """A metric as dashboards and rules know it.

    Attributes:
        name: without the `_total` that a counter's series have.
        kind: gauge, counter or info.
        role: which process has it: worker, trainer or both.
        labels: beside those that Prometheus adds.
        sentence: what it says.
    """

    name: str
    kind: str
    role: str
    labels: tuple[str, ...]
    sentence: str

    @property
    def series(self) -> str:
        """The name of its series.

        >>> Metric("a", "counter", "worker", (), "x").series
        'a_total'
        """
        return self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")


_PARTITION: Final = ("partition",)

METRICS: Final = (
    Metric("churn_signals_build", "info", "both", ("version",), "The version that runs."),
    Metric("churn_signals_ready", "gauge", "both", ("role",), "1 if /readyz says so, else 0."),
    Metric("churn_signals_check", "gauge", "both", ("role", "check"), "1 for each condition of /readyz that holds."),
    Metric("churn_signals_assigned_partitions", "gauge", "worker", (), "Partitions that the group assigns here."),
    Metric(
        "churn_signals_records",
        "counter",
        "worker",
        _PARTITION,
        "Input records applied, refused or forwarded, since the takeover.",
    ),
    Metric("churn_signals_outputs", "counter", "worker", _PARTITION, "Records written for others, since the takeover."),
    Metric(
        "churn_signals_transactions", "counter", "worker", _PARTITION, "Transactions committed, since the takeover."
    ),
    Metric("churn_signals_processing_seconds", "counter", "worker", _PARTITION, "Seconds spent in computing batches."),
    Metric(
        "churn_signals_commit_seconds", "counter", "worker", _PARTITION, "Seconds spent in waiting for transactions."
    ),
    Metric("churn_signals_position", "gauge", "worker", _PARTITION, "The next input offset to apply, as committed."),
    Metric(
        "churn_signals_lag_records",
        "gauge",
        "worker",
        _PARTITION,
        "Offsets behind the last stable one, transaction markers included.",
    ),
    Metric(
        "churn_signals_unstable_records",
        "gauge",
        "worker",
        _PARTITION,
        "High watermark less last stable offset: more than 0 for long is a transaction that hangs, anyone's.",
    ),
    Metric("churn_signals_live", "gauge", "worker", _PARTITION, "1 if the newest event came within ten minutes."),
    Metric(
        "churn_signals_event_clock_timestamp_seconds", "gauge", "worker", _PARTITION, "The newest event time applied."
    ),
    Metric("churn_signals_recovery_records_left", "gauge", "worker", _PARTITION, "Changelog records still to be read."),
    Metric(
        "churn_signals_lost_input_records", "gauge", "worker", _PARTITION, "Offsets deleted before they were applied."
    ),
    Metric("churn_signals_leading", "gauge", "trainer", (), "1 if this trainer leads, 0 if it stands by."),
    Metric("churn_signals_learned_offset", "gauge", "trainer", (), "The next offset of the labels to learn."),
    Metric("churn_signals_labels_learned", "gauge", "trainer", (), "Labels in the model, of all its life."),
    Metric("churn_signals_labels_lag_records", "gauge", "trainer", (), "Labels that are not learned yet."),
    Metric("churn_signals_labels_skipped", "gauge", "trainer", (), "Records of the labels topic that are none."),
    Metric(
        "churn_signals_log_loss",
        "gauge",
        "trainer",
        ("member",),
        "Prequential log loss of the answer and of each member.",
    ),
    Metric("churn_signals_auc", "gauge", "trainer", (), "Prequential area under the ROC curve."),
    Metric("churn_signals_calibration_error", "gauge", "trainer", (), "Prequential expected calibration error."),
    Metric("churn_signals_churn_rate", "gauge", "trainer", (), "Rate of churn among the labels."),
    Metric("churn_signals_mean_probability", "gauge", "trainer", (), "What was answered to the same, on average."),
    Metric(
        "churn_signals_model_published_timestamp_seconds", "gauge", "trainer", (), "When this trainer last published."
    ),
)
_BY_NAME: Final = {metric.name: metric for metric in METRICS}

Samples = Iterator[tuple[str, tuple[str, ...], float]]
"""(name, values of the labels, value)."""


class Metrics(Collector):
    """Collects from sources; each yields samples of declared metrics."""

    def __init__(self, sources: list[Callable[[], Samples]]) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Any]:
        """One family for each metric that has a sample now."""
        families: dict[str, Any] = {}
        for source in self._sources:
            for name, labels, value in source():
                if name not in families:
                    families[name] = _family(_BY_NAME[name])
                if _BY_NAME[name].kind == "info":
                    families[name].add_metric([], {"version": labels[0]})
                else:
                    families[name].add_metric(labels, value)
        yield from families.values()

    def describe(self) -> list[Any]:
        """Nothing is collected at registration."""
        return []


def _family(metric: Metric) -> Any:
    if metric.kind == "info":
        return InfoMetricFamily(metric.name, metric.sentence)
    made = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return made(metric.name, metric.sentence, labels=metric.labels)


def of_process(health: Health, version: str) -> Samples:
    """What every process has."""
    yield "churn_signals_build", (version,), 1.0
    checks = health.ready()
    yield "churn_signals_ready", (health.role,), float(all(check.ok for check in checks))
    for check in checks:
        yield "churn_signals_check", (health.role, check.name), float(check.ok)


def of_worker(worker: Worker, watch: BrokerWatch) -> Samples:
    """Of the partitions that are assigned now, and of no other."""
    ownership = worker.ownership
    status = ownership.status()
    yield "churn_signals_assigned_partitions", (), len(status)
    for number, (left, _total) in dict(ownership.recovering).items():
        yield "churn_signals_recovery_records_left", (str(number),), left
    for number, progress in status.items():
        label = (str(number),)
        yield "churn_signals_records", label, progress.records
        yield "churn_signals_outputs", label, progress.outputs
        yield "churn_signals_transactions", label, progress.transactions
        yield "churn_signals_processing_seconds", label, progress.busy_s
        yield "churn_signals_commit_seconds", label, progress.commit_s
        yield "churn_signals_live", label, float(progress.live)
        yield "churn_signals_lost_input_records", label, progress.lost_input
        if progress.newest_event_ms is not None:
            yield "churn_signals_event_clock_timestamp_seconds", label, progress.newest_event_ms / 1000
        if number not in ownership.owned:
            continue  # a position that is not known is not 0
        yield "churn_signals_position", label, progress.position
        if number in watch.ends:
            stable, newest = watch.ends[number]
            yield "churn_signals_lag_records", label, max(0, stable - progress.position)
            yield "churn_signals_unstable_records", label, max(0, newest - stable)


def of_trainer(loop: TrainerLoop, learner: ModelLearner, watch: BrokerWatch) -> Samples:
    """How much was learned, and how good the answers were; a trainer that stands by knows neither."""
    yield "churn_signals_leading", (), float(loop.leading)
    if not loop.leading:
        return
    yield "churn_signals_learned_offset", (), loop.learned_offset
    yield "churn_signals_labels_skipped", (), learner.skipped
    if 0 in watch.ends:
        yield "churn_signals_labels_lag_records", (), max(0, watch.ends[0][0] - loop.learned_offset)
    if (age_s := loop.published_age_s) is not None:
        yield "churn_signals_model_published_timestamp_seconds", (), time.time() - age_s
    quality, seen = learner.model.quality, learner.model.journal.quality
    yield "churn_signals_labels_learned", (), quality.labels
    if not quality.labels:
        return
    losses = (("answer", quality.answer), ("champion", quality.champion), ("challenger", quality.challenger))
    for member, loss in (*losses, ("prior", quality.prior)):
        yield "churn_signals_log_loss", (member,), loss
    for name, value in (
        ("churn_signals_auc", seen.auc),
        ("churn_signals_calibration_error", seen.ece),
        ("churn_signals_churn_rate", seen.rate),
        ("churn_signals_mean_probability", seen.mean_probability),
    ):
        if value is not None:
            yield name, (), value
