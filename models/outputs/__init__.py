"""The records that workers publish: scores and alerts, each readable on its own.

customer_facts   who the customer is, their stage, and 90 days of activity
score_history    the newest scores of a customer, as bytes and as JSON
score_record     the values of `churn-scores`
alert_record     the values and headers of `churn-alerts`
records          scores of a batch, explained together
score_batch      scores of a batch as data, rendered in another process
"""

from models.outputs.alert_record import alert_headers, alert_value
from models.outputs.customer_facts import CustomerFacts
from models.outputs.records import ScoredBatch
from models.outputs.score_batch import ScorePayload
from models.outputs.score_record import OutputContext

__all__ = [
    "CustomerFacts",
    "OutputContext",
    "ScorePayload",
    "ScoredBatch",
    "alert_headers",
    "alert_value",
]
