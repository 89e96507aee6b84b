"""From an event to its score and its alert: histograms with an example in each bucket, observed a batch at a time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client.samples import Exemplar

from streams.engine.batch_metrics import BatchMetrics

# A transaction takes some 10 ms, a full batch some 0.5 s, an outage after a crash some 15 s; above an hour is a replay.
BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_NAMES: Final = (*map(str, BUCKETS_S), "+Inf")


class Histogram:
    """Counts by bucket, and the newest observation of each as its example.

    >>> histogram = Histogram()
    >>> histogram.observe([0.02, 0.02, 7000.0], lambda i: {"id": "abc"[i]}, at_s=1.0)
    >>> [(le, count, example.labels) for le, count, example in histogram.buckets() if example]
    [('0.025', 2, {'id': 'b'}), ('+Inf', 3, {'id': 'c'})]
    """

    __slots__ = ("_counts", "_examples", "sum_s")

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * len(_NAMES)
        self._examples: list[Exemplar | None] = [None] * len(_NAMES)

    def observe(self, seconds: Sequence[float], labels: Callable[[int], dict[str, str]], at_s: float) -> None:
        """Take in observations made at one time; `labels` gives those of one of them, for the few that are examples."""
        self.sum_s += sum(seconds)
        counts, newest = self._counts, dict[int, int]()
        for i, waited in enumerate(seconds):
            place = bisect_left(BUCKETS_S, waited)
            counts[place] += 1
            newest[place] = i
        for place, i in newest.items():
            self._examples[place] = Exemplar(labels(i), seconds[i], at_s)

    def buckets(self) -> list[tuple[str, int, Exemplar | None]]:
        """(upper bound, observations up to it, example of this bucket alone)."""
        total, found = 0, []
        for name, count, example in zip(_NAMES, self._counts, self._examples, strict=True):
            total += count
            found.append((name, total, example))
        return found


class Latency:
    """The two histograms of a partition.

    Attributes:
        to_score: from the record's timestamp until the score was committed, of events that caused a told score.
        to_alert: from the moment at which an alert was due, by the event's time or its dwell's end, until it was
            committed; only while the input is live, since a replay has no such moment.
    """

    __slots__ = ("to_alert", "to_score")

    def __init__(self) -> None:
        self.to_score = Histogram()
        self.to_alert = Histogram()

    def observe(self, tally: BatchMetrics, partition: int, visible_ms: float, live: bool) -> None:
        """A batch was committed."""
        at_s, causes, alerted = visible_ms / 1000, tally.causes, tally.alerted
        if causes:
            waited = [max(0.0, visible_ms - arrived_ms) / 1000 for arrived_ms in tally.arrived_ms]
            self.to_score.observe(waited, lambda i: {"partition": str(partition), "offset": str(causes[i])}, at_s)
        if live and alerted:
            waited = [max(0.0, visible_ms - due_ms) / 1000 for _, due_ms in alerted]
            self.to_alert.observe(waited, lambda i: {"alert_id": alerted[i][0]}, at_s)
