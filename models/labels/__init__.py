"""Labels: which snapshots churned, and the training examples that they become.

labeller            match events with churn definitions, and build matured labels
training_example    freeze features and probability with a snapshot, join them with its matured label
codec               training examples as JSON on `churn-labels`
feed_outages        gaps in a partition's feed, which censor labels and silence
"""

from models.labels.codec import LabelError, label_value, read_label
from models.labels.feed_outages import FeedOutages
from models.labels.labeller import Labeller, MaturedLabel
from models.labels.training_example import InvoluntaryLabel, TrainingExample, build_examples, freeze

__all__ = [
    "FeedOutages",
    "InvoluntaryLabel",
    "LabelError",
    "Labeller",
    "MaturedLabel",
    "TrainingExample",
    "build_examples",
    "freeze",
    "label_value",
    "read_label",
]
