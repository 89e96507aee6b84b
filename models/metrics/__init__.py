"""Metrics of predicted probabilities: ranking, calibration and early warning.

classification    metrics over arrays: AUC, log loss, Brier score, average precision, ECE, reliability, lift
prequential       the same metrics of a running model, with a fading factor and mergeable state
"""

from __future__ import annotations

from models.metrics.classification import (
    AtThreshold,
    EarlyWarning,
    ReliabilityBin,
    at_threshold,
    auc,
    auc_within_week,
    average_precision,
    brier,
    constant_log_loss,
    early_warning,
    ece,
    lift,
    log_loss,
    reliability,
    wilson,
)
from models.metrics.prequential import Prequential

__all__ = [
    "AtThreshold",
    "EarlyWarning",
    "Prequential",
    "ReliabilityBin",
    "at_threshold",
    "auc",
    "auc_within_week",
    "average_precision",
    "brier",
    "constant_log_loss",
    "early_warning",
    "ece",
    "lift",
    "log_loss",
    "reliability",
    "wilson",
]
