"""Every metric, declared once: name, kind, labels with all the values that they can have, and what it says.

Names are a contract with dashboards and rules. No label holds a customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from models.alerts.policy import BANDS, TYPES
from models.events.rejection import REASONS
from models.features.scoring_point import DECISIVE, EVENT, SILENCE, SNAPSHOT
from streams.engine.batch_metrics import LOSSES, OUTCOMES, STAGES, Key
from streams.notify.outcomes import ATTEMPTS, ENDS
from streams.scoring.dead_letters import MISROUTED, PROCESSING_ERROR
from streams.scoring.fold_metrics import CENSORED, SUPPRESSED

PREFIX: Final = "churn_signals_"
_SUFFIX: Final = {"counter": "_total", "info": "_info"}

VALUES: Final[dict[str, tuple[str, ...]]] = {
    "outcome": OUTCOMES,
    "reason of dead_letters": (*REASONS, MISROUTED, PROCESSING_ERROR),
    "reason of alerts_suppressed": SUPPRESSED,
    "reason of transactions_aborted": LOSSES,
    "trigger": (EVENT, DECISIVE, SNAPSHOT, SILENCE),
    "type": TYPES,
    "band": BANDS[1:],
    "label": ("0", "1", CENSORED),
    "stage": STAGES,
    "member": ("answer", "champion", "challenger", "prior"),
    "role": ("worker", "trainer", "notify"),
    "outcome of notify_events": ENDS,
    "outcome of notify_attempts": ATTEMPTS,
}
"""What labels can be, where that is known beforehand: by the label or, where two metrics differ, label and metric."""


class Metric(NamedTuple):
    """A metric as dashboards and rules know it.

    Attributes:
        short: its name without prefix and suffix.
        kind: gauge, counter, histogram or info.
        role: which process has it: worker, trainer, notify or all.
        labels: beside those that Prometheus adds.
        sentence: what it says.
    """

    short: str
    kind: str
    role: str
    labels: tuple[str, ...]
    sentence: str

    @property
    def name(self) -> str:
        """Without the `_total` that a counter's series have."""
        return PREFIX + self.short

    @property
    def series(self) -> str:
        """The name of its series.

        >>> Metric("a", "counter", "worker", (), "x").series
        'churn_signals_a_total'
        """
        return self.name + _SUFFIX.get(self.kind, "")

    @property
    def all_series(self) -> tuple[str, ...]:
        """Every name that a query can use: a histogram has three."""
        parts = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return tuple(self.series + part for part in parts)

    def values_of(self, label: str) -> tuple[str, ...] | None:
        """What a label of it can be; None for a number, a version or a name of this program's own."""
        return VALUES.get(f"{label} of {self.short}", VALUES.get(label))


_P: Final = ("partition",)

PROCESS: Final = (
    Metric(
        "build",
        "info",
        "all",
        ("version", "python", "faust", "aiokafka", "river", "rocksdict"),
        "What runs: this program's version, and those of what it stands on.",
    ),
    Metric("ready", "gauge", "all", ("role",), "1 if /readyz says so, else 0."),
    Metric("check", "gauge", "all", ("role", "check"), "1 for each condition of /readyz that holds."),
    Metric("data_free_bytes", "gauge", "all", (), "Room on the disk of CHURN_DATA_DIR."),
    Metric("data_size_bytes", "gauge", "all", (), "Size of that disk."),
)

TOPIC: Final = (
    Metric("lag_records", "gauge", "worker", _P, "Offsets behind the last stable one, transaction markers included."),
    Metric("lag_seconds", "gauge", "worker", _P, "Age of the oldest record that is not applied yet; 0 if none waits."),
    Metric(
        "unstable_records",
        "gauge",
        "worker",
        _P,
        "High watermark less last stable offset: more than 0 for long is a transaction that hangs, anyone's.",
    ),
)

COUNTED: Final = (
    Metric("events", "counter", "worker", ("topic", *_P, "outcome"), "Input records, by what became of them."),
    Metric("events_clamped", "counter", "worker", _P, "Events that claimed to come from the future: held to now."),
    Metric("dead_letters", "counter", "worker", (*_P, "reason"), "Events refused, by the dead letter's reason."),
    Metric("scores", "counter", "worker", (*_P, "trigger"), "Scores made, by what asked for them."),
    Metric("scores_told", "counter", "worker", _P, "Scores written for readers."),
    Metric("alerts", "counter", "worker", (*_P, "type", "band"), "Alert events told, by type and band."),
    Metric(
        "alerts_suppressed",
        "counter",
        "worker",
        (*_P, "reason"),
        "Scores at or above `enter` that told nobody, by why: the alert dwells, is open already, or cools down.",
    ),
    Metric(
        "labels_matured",
        "counter",
        "worker",
        (*_P, "label"),
        "Labels released; censored ones were dropped, since the feed was silent.",
    ),
    Metric("stage_seconds", "counter", "worker", (*_P, "stage"), "Seconds spent on committed batches, by stage."),
)
"""Counted in a `Tally` under their short names."""

PARTITION: Final = (
    Metric("outputs", "counter", "worker", _P, "Records written for others."),
    Metric("transactions", "counter", "worker", _P, "Transactions committed."),
    Metric("position", "gauge", "worker", _P, "The next input offset to apply, as committed."),
    Metric("live", "gauge", "worker", _P, "1 if the newest event came within ten minutes."),
    Metric("event_clock_timestamp_seconds", "gauge", "worker", _P, "The newest event time applied."),
    Metric(
        "event_time_skew_seconds",
        "gauge",
        "worker",
        _P,
        "Timestamp of the last record applied less the newest event time: how late events come.",
    ),
    Metric(
        "event_to_score_seconds",
        "histogram",
        "worker",
        _P,
        "From an event's record to the committed score that it caused; the example is partition and offset.",
    ),
    Metric(
        "event_to_alert_seconds",
        "histogram",
        "worker",
        _P,
        "From when an alert was due (the event, or the end of its dwell) to its commit, while the input is live;"
        " the example is the alert's id.",
    ),
    Metric("profiles", "gauge", "worker", _P, "Customers."),
    Metric("labels_pending", "gauge", "worker", _P, "Snapshots whose label is not known yet."),
    Metric("label_delay_seconds", "gauge", "worker", _P, "Event time from snapshot to release of the newest label."),
    Metric("deadlines_due", "gauge", "worker", _P, "Deadlines that the last batch found due; 5,001 is that or more."),
    Metric(
        "deadline_delay_seconds",
        "gauge",
        "worker",
        _P,
        "Event time since when the first of these was due; more than a day while live is a backlog.",
    ),
    Metric(
        "feature_drift",
        "gauge",
        "worker",
        _P,
        "How far customers stand from those whose labels the model has learned: root mean square over features, in"
        " standard deviations.",
    ),
    Metric("recovery_seconds", "gauge", "worker", _P, "What the takeover took, or has taken while it lasts."),
    Metric("lost_input_records", "gauge", "worker", _P, "Offsets deleted before they were applied."),
)

WORKER: Final = (
    Metric("assigned_partitions", "gauge", "worker", (), "Partitions that the group assigns here."),
    Metric("input_partitions", "gauge", "worker", (), "Partitions of the events topic."),
    Metric("rebalances", "counter", "worker", (), "Assignments by the group."),
    Metric(
        "transactions_aborted",
        "counter",
        "worker",
        ("reason",),
        "Batches given up and applied again by the next takeover, by why.",
    ),
    Metric("recovery_records_left", "gauge", "worker", _P, "Changelog records still to be read by a takeover."),
    Metric("recovery_records", "gauge", "worker", _P, "Changelog records that the takeover has to read in all."),
    Metric("model", "info", "worker", ("version",), "The model that scores: one version at a time."),
    Metric(
        "model_snapshot_timestamp_seconds",
        "gauge",
        "worker",
        (),
        "When the model that scores was published; 0: none was.",
    ),
    Metric("model_labels_offset", "gauge", "worker", (), "The first label that the model that scores does not know."),
)

TRAINER: Final = (
    Metric("leading", "gauge", "trainer", (), "1 if this trainer leads, 0 if it stands by."),
    Metric("learned_offset", "gauge", "trainer", (), "The next offset of the labels to learn."),
    Metric("labels_learned", "gauge", "trainer", (), "Labels in the model, of all its life."),
    Metric("labels_lag_records", "gauge", "trainer", (), "Labels that are not learned yet."),
    Metric("labels_lag_seconds", "gauge", "trainer", (), "Age of the oldest of them; 0 if there is none."),
    Metric("labels_skipped", "gauge", "trainer", (), "Records of the labels topic that are none."),
    Metric("log_loss", "gauge", "trainer", ("member",), "Prequential log loss of the answer and of each member."),
    Metric("auc", "gauge", "trainer", (), "Prequential area under the ROC curve."),
    Metric("calibration_error", "gauge", "trainer", (), "Prequential expected calibration error."),
    Metric("churn_rate", "gauge", "trainer", (), "Rate of churn among the labels."),
    Metric("mean_probability", "gauge", "trainer", (), "What was answered to the same, on average."),
    Metric("model_published_timestamp_seconds", "gauge", "trainer", (), "When this trainer last published."),
)

NOTIFIER: Final = (
    Metric(
        "notify_events",
        "counter",
        "notify",
        ("route", "outcome"),
        "Alert events done with, since the start; skipped: the route does not want them.",
    ),
    Metric(
        "notify_attempts", "counter", "notify", ("route", "outcome"), "Requests, since the start; failed: tried again."
    ),
    Metric("notify_request_seconds", "counter", "notify", ("route",), "Seconds spent in requests."),
    Metric("notify_open_events", "gauge", "notify", ("route",), "Alert events taken and not done with."),
    Metric(
        "notify_oldest_open_seconds", "gauge", "notify", ("route",), "For how long the oldest of them has been open."
    ),
    Metric(
        "notify_lag_records",
        "gauge",
        "notify",
        ("route", "partition"),
        "Offsets between what is done with and the last stable one, transaction markers included.",
    ),
)

METRICS: Final = (*PROCESS, *TOPIC, *COUNTED, *PARTITION, *WORKER, *TRAINER, *NOTIFIER)


def zeros() -> Iterator[Key]:
    """Everything that a `Tally` can count: a series that begins with its first count has lost that to `increase`."""
    for metric in COUNTED:
        known = [values for label in metric.labels if (values := metric.values_of(label)) is not None]
        for values in product(*known):
            yield (metric.short, *values)
