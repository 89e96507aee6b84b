"""Latency from an event to its score and alert: histograms with an exemplar in each bucket, observed per batch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client.samples import Exemplar

from streams.engine.batch_metrics import BatchMetrics

# A transaction takes some 10 ms, a full batch 0.5 s, an outage after a crash 15 s; above an hour is a replay.
BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_NAMES: Final = (*map(str, BUCKETS_S), "+Inf")


class Histogram:
    """Counts by bucket, with the newest observation of each as its exemplar.

    >>> histogram = Histogram()
    >>> histogram.observe([0.02, 0.02, 7000.0], lambda i: {"id": "abc"[i]}, at_s=1.0)
    >>> [(le, count, example.labels) for le, count, example in histogram.buckets() if example]
    [('0.025', 2, {'id': 'b'}), ('+Inf', 3, {'id': 'c'})]
    """

    __slots__ = ("_counts", "_exemplars", "sum_s")

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * len(_NAMES)
        self._exemplars: list[Exemplar | None] = [None] * len(_NAMES)

    def observe(self, seconds: Sequence[float], labels: Callable[[int], dict[str, str]], at_s: float) -> None:
        """Add observations made at one time.

        Args:
            seconds: the observations.
            labels: returns the exemplar labels of an observation by its index; called for exemplars only.
            at_s: the time, epoch seconds.
        """
        self.sum_s += sum(seconds)
        counts, newest = self._counts, dict[int, int]()
        for i, waited_s in enumerate(seconds):
            bucket = bisect_left(BUCKETS_S, waited_s)
            counts[bucket] += 1
            newest[bucket] = i
        for bucket, i in newest.items():
            self._exemplars[bucket] = Exemplar(labels(i), seconds[i], at_s)

    def buckets(self) -> list[tuple[str, int, Exemplar | None]]:
        """Return (upper bound, observations up to it, exemplar of this bucket)."""
        total, buckets = 0, []
        for name, count, exemplar in zip(_NAMES, self._counts, self._exemplars, strict=True):
            total += count
            buckets.append((name, total, exemplar))
        return buckets


class Latency:
    """The two histograms of a partition.

    Attributes:
        to_score: from the record's timestamp to the commit of the score, of events that caused a published score.
        to_alert: from the time at which an alert was due, by the event's time or the end of its dwell, to its commit;
            only while the input is live, because a replay has no such time.
    """

    __slots__ = ("to_alert", "to_score")

    def __init__(self) -> None:
        self.to_score = Histogram()
        self.to_alert = Histogram()

    def observe(self, tally: BatchMetrics, partition: int, visible_ms: float, live: bool) -> None:
        """Add a committed batch, visible to consumers since `visible_ms`."""
        at_s, causes, alerted = visible_ms / 1000, tally.causes, tally.alerted
        if causes:
            waits_s = [max(0.0, visible_ms - arrived_ms) / 1000 for arrived_ms in tally.arrived_ms]
            self.to_score.observe(waits_s, lambda i: {"partition": str(partition), "offset": str(causes[i])}, at_s)
        if live and alerted:
            waits_s = [max(0.0, visible_ms - due_ms) / 1000 for _, due_ms in alerted]
            self.to_alert.observe(waits_s, lambda i: {"alert_id": alerted[i][0]}, at_s)
