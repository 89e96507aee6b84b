"""The fold of one partition: the order in which events, deadlines, scores, alerts and labels affect each other.

partition       the fold itself: its ten steps
effects         what a batch takes in and what it causes
batch           what a batch has collected so far
batch_clock     the partition's clock within a batch
event_applier   one event on one customer
deadlines       snapshots, silence, maturing labels, expiry of one customer
ranking         features, scores and comparison of a batch's points
alert_tracker   steps alerts through the policy
record_cache    encoded profiles between batches
score_history   the scores to publish
metric_records  the sums to publish
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
