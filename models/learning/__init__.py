"""Online learning: train champion and challenger on matured labels, and score customers.

model                  the whole model: learn, score, snapshot
champion               Bayesian logistic regression on scaled values
bayesian_logistic      its classifier: full covariance, drift and forgetting
challenger             River's StandardScaler | LogisticRegression
prior                  score before labels have matured, and its weight
champion_challenger    which of champion and challenger is active, by decayed log loss
involuntary_model      separate model of involuntary churn
combined_scores        scores of both causes together
scorer                 immutable view of a model for batch scoring: probability, interval, contributions
linear_predictor       weights on scaled values, the common form of all members
feature_space          values and inputs of a model, from features and peer means
scaler                 running mean and variance of each value
percentile_rank        rank of a probability among a partition's customers
quality_log            prequential quality by day of release
model_snapshot         a model as JSON
"""

from models.learning.bayesian_logistic import BayesianLogisticRegression
from models.learning.challenger import Challenger
from models.learning.champion import Champion
from models.learning.champion_challenger import ChampionSelector, ChampionSwitch
from models.learning.combined_scores import CombinedScores, score_both
from models.learning.feature_space import FeatureSpace
from models.learning.involuntary_model import InvoluntaryModel
from models.learning.model import Model, ModelScorer, PrequentialQuality
from models.learning.model_snapshot import ModelSnapshotError
from models.learning.percentile_rank import PercentileRanks
from models.learning.prior import Prior, trust
from models.learning.quality_log import QualityDay, QualityLog
from models.learning.scorer import Scorer, Scores

__all__ = [
    "BayesianLogisticRegression",
    "Challenger",
    "Champion",
    "ChampionSelector",
    "ChampionSwitch",
    "CombinedScores",
    "FeatureSpace",
    "InvoluntaryModel",
    "Model",
    "ModelScorer",
    "ModelSnapshotError",
    "PercentileRanks",
    "PrequentialQuality",
    "Prior",
    "QualityDay",
    "QualityLog",
    "Scorer",
    "Scores",
    "score_both",
    "trust",
]
