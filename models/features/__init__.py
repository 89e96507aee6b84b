"""Features: the inputs of the models, computed for a batch of profiles.

catalogue         the ordered catalogue of features, and their computation
scoring_point     one customer at one time for which the log triggers a score
row_buffer        the rows of a batch, copied from profiles
columns           a batch as arrays: counts, active days, sections
section_values    the values read per profile section
ring_bins         sums over time bins
active_days       active days, weeks, streaks and gaps
engagement        features of activity, goals, onboarding and messages
commerce          features of orders, the subscription and payments
feedback          features of tickets, surveys and reviews
peer_means        current mean of every feature over the customers of a partition
"""

from models.features.catalogue import CATALOGUE, FEATURES, NAMES, RELATIVE, Feature, compute, features
from models.features.columns import ProfileColumns
from models.features.peer_means import PeerMeans
from models.features.row_buffer import RowBuffer
from models.features.scoring_point import LogPosition, ScoringPoint

__all__ = [
    "CATALOGUE",
    "FEATURES",
    "NAMES",
    "RELATIVE",
    "Feature",
    "LogPosition",
    "PeerMeans",
    "ProfileColumns",
    "RowBuffer",
    "ScoringPoint",
    "compute",
    "features",
]
