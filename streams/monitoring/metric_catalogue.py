"""Catalogue of metrics, each declared once: name, kind, labels with their possible values, and description.

Metric names are a contract with dashboards and alert rules. No label contains a customer. Tested by
tests/streams/monitoring/test_collector.py and tests/ops/test_prometheus_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from models.alerts.policy import TYPES
from models.alerts.settings import BANDS
from models.events.rejection import REASONS
from models.events.taxonomy import MEANINGS
from models.events.unreadable import OTHER
from models.features.scoring_point import DECISIVE, EVENT, SILENCE, SNAPSHOT
from streams.engine.batch_metrics import LOSSES, OUTCOMES, STAGES, Key
from streams.monitoring.http_limits import CLOSED
from streams.notify.outcomes import ATTEMPT_OUTCOMES, EVENT_OUTCOMES
from streams.scoring.dead_letters import ROUTING_REASONS
from streams.scoring.fold_metrics import CENSORED, SUPPRESSED

LOGIN_OUTCOMES: Final = ("accepted", "wrong", "limited")
PREFIX: Final = "churn_signals_"
_SUFFIX: Final = {"counter": "_total", "info": "_info"}

VALUES: Final[dict[str, tuple[str, ...]]] = {
    "outcome": OUTCOMES,
    "reason of dead_letters": (*REASONS, *ROUTING_REASONS),
    "reason of alerts_suppressed": SUPPRESSED,
    "reason of transactions_aborted": LOSSES,
    "event": (*MEANINGS, OTHER),
    "trigger": (EVENT, DECISIVE, SNAPSHOT, SILENCE),
    "type": TYPES,
    "band": BANDS[1:],
    "label": ("0", "1", CENSORED),
    "stage": STAGES,
    "member": ("answer", "champion", "challenger", "prior"),
    "role": ("worker", "trainer", "notify", "console"),
    "server": ("health", "console"),
    "reason of http_connections_closed": CLOSED,
    "outcome of console_logins": LOGIN_OUTCOMES,
    "outcome of notify_events": EVENT_OUTCOMES,
    "outcome of notify_attempts": ATTEMPT_OUTCOMES,
}
"""Possible values of labels with a fixed set of values, by label or, where metrics differ, by label and metric."""


class Metric(NamedTuple):
    """Declaration of one metric.

    Attributes:
        short: its name without prefix and suffix.
        kind: gauge, counter, histogram or info.
        role: the process that exports it: worker, trainer, notify, console or all.
        labels: in addition to those that Prometheus adds.
        sentence: description for `/metrics` and docs/operating.md.
    """

    short: str
    kind: str
    role: str
    labels: tuple[str, ...]
    sentence: str

    @property
    def name(self) -> str:
        """Name without the suffix `_total` of counter series."""
        return PREFIX + self.short

    @property
    def series(self) -> str:
        """Name of its series.

        >>> Metric("a", "counter", "worker", (), "x").series
        'churn_signals_a_total'
        """
        return self.name + _SUFFIX.get(self.kind, "")

    @property
    def all_series(self) -> tuple[str, ...]:
        """All series names that a query can use: a histogram has three."""
        parts = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return tuple(self.series + part for part in parts)

    def values_of(self, label: str) -> tuple[str, ...] | None:
        """Return the possible values of a label; None for partition numbers, versions and names."""
        return VALUES.get(f"{label} of {self.short}", VALUES.get(label))


_P: Final = ("partition",)

PROCESS: Final = (
    Metric(
        "build",
        "info",
        "all",
        ("version", "python", "faust", "aiokafka", "river", "rocksdict"),
        "Versions of this program, Python and the main libraries.",
    ),
    Metric("ready", "gauge", "all", ("role",), "1 if /readyz returns 200, else 0."),
    Metric("check", "gauge", "all", ("role", "check"), "1 if this condition of /readyz holds, else 0."),
    Metric("data_free_bytes", "gauge", "all", (), "Free space on the disk of CHURN_DATA_DIR."),
    Metric("data_size_bytes", "gauge", "all", (), "Size of the disk of CHURN_DATA_DIR."),
    Metric("records_skipped", "counter", "all", ("topic",), "Records that a reader skipped because they are unusable."),
    Metric("task_failures", "counter", "all", ("task",), "Unexpected failures of background tasks, which are retried."),
    Metric("http_connections", "gauge", "all", ("server",), "Open connections of an HTTP server."),
    Metric(
        "http_connections_closed",
        "counter",
        "all",
        ("server", "reason"),
        "Connections that an HTTP server closed because too many were open, or because the client was too slow.",
    ),
)

TOPIC: Final = (
    Metric(
        "lag_records",
        "gauge",
        "worker",
        _P,
        "Offsets between the position and the last stable offset, including transaction markers.",
    ),
    Metric("lag_seconds", "gauge", "worker", _P, "Age of the oldest record that is not applied yet; 0 if none waits."),
    Metric(
        "unstable_records",
        "gauge",
        "worker",
        _P,
        "High watermark minus last stable offset. If it stays above 0, a transaction of some producer hangs.",
    ),
)

COUNTED: Final = (
    Metric("events", "counter", "worker", ("topic", *_P, "outcome"), "Input records by outcome."),
    Metric(
        "events_clamped",
        "counter",
        "worker",
        _P,
        "Events with a future event time, which was clamped to the record timestamp.",
    ),
    Metric(
        "events_near_miss",
        "counter",
        "worker",
        _P,
        "Events of an unlisted name that resembles the name of a decisive event. The log contains the names.",
    ),
    Metric(
        "churn_events_unmatched",
        "counter",
        "worker",
        _P,
        "Events that a churn definition names, but that match no `where`, so that they do not count as churn.",
    ),
    Metric(
        "events_implausible",
        "counter",
        "worker",
        _P,
        "Events far ahead of the partition's clock that no other customer confirmed; applied at the clock.",
    ),
    Metric(
        "events_late",
        "counter",
        "worker",
        _P,
        "Events more than `label.grace` behind the partition's clock: they change profiles, but no label.",
    ),
    Metric("dead_letters", "counter", "worker", (*_P, "reason"), "Dead-lettered events by reason."),
    Metric(
        "properties_unreadable",
        "counter",
        "worker",
        (*_P, "event", "property"),
        "Properties of applied events that are present and cannot be used: of a wrong type or outside their scale. "
        "A series begins with its first count.",
    ),
    Metric("scores", "counter", "worker", (*_P, "trigger"), "Computed scores by trigger."),
    Metric("scores_told", "counter", "worker", _P, "Scores published to the scores topic."),
    Metric("alerts", "counter", "worker", (*_P, "type", "band"), "Published alert events by type and band."),
    Metric(
        "alerts_suppressed",
        "counter",
        "worker",
        (*_P, "reason"),
        "Scores at or above `enter` without an alert event, by reason: dwell, an alert that is already open, "
        "or cooldown.",
    ),
    Metric(
        "labels_matured",
        "counter",
        "worker",
        (*_P, "label"),
        "Matured labels. Those labelled censored were discarded because of a feed outage.",
    ),
    Metric("stage_seconds", "counter", "worker", (*_P, "stage"), "Time spent on committed batches, by stage."),
)
"""Counted in `BatchMetrics` under their short names."""

PARTITION: Final = (
    Metric("outputs", "counter", "worker", _P, "Records published to output topics."),
    Metric("transactions", "counter", "worker", _P, "Committed transactions."),
    Metric("position", "gauge", "worker", _P, "Next input offset to apply, as committed."),
    Metric(
        "live", "gauge", "worker", _P, "1 if the newest event arrived within ten minutes of its event time, else 0."
    ),
    Metric("event_clock_timestamp_seconds", "gauge", "worker", _P, "Newest applied event time."),
    Metric(
        "event_time_skew_seconds",
        "gauge",
        "worker",
        _P,
        "Record timestamp of the last applied record minus the newest event time: how late events arrive.",
    ),
    Metric(
        "event_to_score_seconds",
        "histogram",
        "worker",
        _P,
        "Time from an event's record timestamp to the commit of its score. The exemplar is partition and offset.",
    ),
    Metric(
        "event_to_alert_seconds",
        "histogram",
        "worker",
        _P,
        "Time from when an alert was due (its event, or the end of its dwell) to its commit, while the input "
        "is live. The exemplar is the alert id.",
    ),
    Metric("profiles", "gauge", "worker", _P, "Customers with a profile."),
    Metric("labels_pending", "gauge", "worker", _P, "Snapshots whose label has not matured yet."),
    Metric("label_delay_seconds", "gauge", "worker", _P, "Event time from snapshot to maturity of the newest label."),
    Metric("deadlines_due", "gauge", "worker", _P, "Deadlines due in the last batch, counted up to 5,001."),
    Metric(
        "deadline_delay_seconds",
        "gauge",
        "worker",
        _P,
        "Event time since the oldest of these deadlines was due. More than a day on live input means a backlog.",
    ),
    Metric(
        "feature_drift",
        "gauge",
        "worker",
        _P,
        "Distance between current customers and the labelled customers that the model has learned: root mean "
        "square over features, in standard deviations.",
    ),
    Metric("recovery_seconds", "gauge", "worker", _P, "Duration of the takeover, or its duration so far."),
    Metric("lost_input_records", "gauge", "worker", _P, "Offsets deleted before they were applied."),
)

WORKER: Final = (
    Metric("assigned_partitions", "gauge", "worker", (), "Partitions that the group assigns to this worker."),
    Metric("input_partitions", "gauge", "worker", (), "Partitions of the events topic."),
    Metric("rebalances", "counter", "worker", (), "Assignments received from the group."),
    Metric(
        "transactions_aborted",
        "counter",
        "worker",
        ("reason",),
        "Batches that were abandoned, by reason. The next takeover applies them again.",
    ),
    Metric("recovery_records_left", "gauge", "worker", _P, "Changelog records that the takeover still has to read."),
    Metric("recovery_records", "gauge", "worker", _P, "Changelog records that the takeover reads in total."),
    Metric("model", "info", "worker", ("version",), "Version of the active model."),
    Metric(
        "model_snapshot_timestamp_seconds",
        "gauge",
        "worker",
        (),
        "When the active model was published; 0 if none was.",
    ),
    Metric(
        "model_labels_offset", "gauge", "worker", (), "Offset of the first label that the active model has not learned."
    ),
    Metric("model_snapshots_skipped", "counter", "worker", (), "Model snapshots that could not be used."),
)

TRAINER: Final = (
    Metric("leading", "gauge", "trainer", (), "1 if this trainer is the leader, 0 if it is on standby."),
    Metric("learned_offset", "gauge", "trainer", (), "Offset of the next label to learn."),
    Metric("labels_learned", "gauge", "trainer", (), "Labels that the model has learned in total."),
    Metric("labels_lag_records", "gauge", "trainer", (), "Labels that are not learned yet."),
    Metric("labels_lag_seconds", "gauge", "trainer", (), "Age of the oldest of these labels; 0 if there is none."),
    Metric("labels_skipped", "gauge", "trainer", (), "Records of the labels topic that are not valid labels."),
    Metric("start_snapshots_skipped", "counter", "trainer", (), "Model snapshots that it could not start from."),
    Metric(
        "log_loss",
        "gauge",
        "trainer",
        ("member",),
        "Prequential log loss of the published probability (`answer`) and of each member.",
    ),
    Metric("auc", "gauge", "trainer", (), "Prequential area under the ROC curve."),
    Metric("calibration_error", "gauge", "trainer", (), "Prequential expected calibration error."),
    Metric("churn_rate", "gauge", "trainer", (), "Share of churned customers among the labels."),
    Metric("mean_probability", "gauge", "trainer", (), "Mean predicted probability for the same labels."),
    Metric("model_published_timestamp_seconds", "gauge", "trainer", (), "When this trainer last published a snapshot."),
)

NOTIFIER: Final = (
    Metric(
        "notify_events",
        "counter",
        "notify",
        ("route", "outcome"),
        "Alert events since the start, by outcome; skipped: the filter of the route does not match.",
    ),
    Metric(
        "notify_attempts",
        "counter",
        "notify",
        ("route", "outcome"),
        "Requests since the start, by outcome; failed: will be retried.",
    ),
    Metric("notify_request_seconds", "counter", "notify", ("route",), "Time spent in requests."),
    Metric("notify_open_events", "gauge", "notify", ("route",), "In-flight alert events."),
    Metric("notify_oldest_open_seconds", "gauge", "notify", ("route",), "Age of the oldest in-flight alert event."),
    Metric(
        "notify_lag_records",
        "gauge",
        "notify",
        ("route", "partition"),
        "Offsets between the oldest unfinished event and the last stable offset, including transaction markers.",
    ),
)

CONSOLE: Final = (
    Metric("console_scores_read", "gauge", "console", (), "Score records read at the start, so far."),
    Metric("console_scores_at_start", "gauge", "console", (), "Score records to read at the start."),
    Metric("console_logins", "counter", "console", ("outcome",), "Logins since the start, by outcome."),
    Metric("console_sessions", "gauge", "console", (), "Sessions that are logged in."),
    Metric("console_streams", "gauge", "console", (), "Open pages that listen for changes."),
)

METRICS: Final = (*PROCESS, *TOPIC, *COUNTED, *PARTITION, *WORKER, *TRAINER, *NOTIFIER, *CONSOLE)


def counter_series() -> Iterator[Key]:
    """Yield every key of `BatchMetrics.counts`.

    These series start at 0: `increase` ignores the first count of a series that appears with it.
    """
    for metric in COUNTED:
        if metric.short == "properties_unreadable":
            continue  # some hundred pairs, most of which never occur
        known = [values for label in metric.labels if (values := metric.values_of(label)) is not None]
        for values in product(*known):
            yield (metric.short, *values)
