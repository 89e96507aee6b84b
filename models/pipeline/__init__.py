"""The fold of one partition: the order in which events, deadlines, scores, alerts and labels affect each other.

partition       the fold itself: its ten steps
effects         the input and all effects of a batch
batch           data that a batch has collected so far
batch_clock     the partition's clock within a batch
clock_guard     keeps events with a wrong clock from moving it
event_applier   applies one event to one customer
deadlines       due deadlines of one customer: snapshots, silence, release of labels, expiry
ranking         features, scores and comparison of a batch's points
alert_tracker   steps alerts through the policy
record_cache    encoded profiles between batches
score_history   the scores to publish
metric_records  the sums to publish
unreadable_record  counts of properties that are present and cannot be used
"""

from models.pipeline.alert_tracker import AlertOutput, AlertTracker
from models.pipeline.effects import FoldEffects, OffsetEvent
from models.pipeline.metric_records import metric_records
from models.pipeline.partition import PartitionFold
from models.pipeline.ranking import RiskScorer
from models.pipeline.score_history import ScoreHistory, to_records

__all__ = [
    "AlertOutput",
    "AlertTracker",
    "FoldEffects",
    "OffsetEvent",
    "PartitionFold",
    "RiskScorer",
    "ScoreHistory",
    "metric_records",
    "to_records",
]
