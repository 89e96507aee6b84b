"""Replay a finite log through the same code as the workers and the trainer, and evaluate the predictions.

backtest          `Backtest`: fold, labels and learner in one process, without a broker
report            `evaluate`: the report of a window, compared with the prior and a constant
alert_quality     precision, recall and lead time of alerts
cause_quality     prediction quality by cause of churn
retention_log     the retention accounting of a file
experience_log    the experience sums of a file
log_census        `LogCensus`: counts of what a log contains
log_findings      what these counts mean for results
definition_gaps   findings on the churn definitions: events that never occur, or do not count
definition_proposal  a churn.toml proposed from these counts
final_scores      `FinalScores`: what is known of every customer at the end of a file
"""

from __future__ import annotations

from models.backtesting.alert_quality import AlertQuality, RouteQuality, evaluate_alerts
from models.backtesting.backtest import Backtest, MemoryStore, OnlineLearner
from models.backtesting.cause_quality import evaluate_causes
from models.backtesting.experience_log import ExperienceLog
from models.backtesting.final_scores import FinalScores
from models.backtesting.report import BacktestReport, CauseQuality, ExampleColumns, PredictionQuality, evaluate
from models.backtesting.retention_log import RetentionLog

__all__ = [
    "AlertQuality",
    "Backtest",
    "BacktestReport",
    "CauseQuality",
    "ExampleColumns",
    "ExperienceLog",
    "FinalScores",
    "MemoryStore",
    "OnlineLearner",
    "PredictionQuality",
    "RetentionLog",
    "RouteQuality",
    "evaluate",
    "evaluate_alerts",
    "evaluate_causes",
]
