"""When an alert opens, escalates, repeats and ends.

settings         default thresholds, `[alerts]` of churn.toml, and the bands of scores
alert_state      one customer's alert as it is stored
alert_action     what a person does to an alert
policy           the alert policy: a pure function over a customer's alert state
detractor_rule   survey responses that open an alert at once
"""

from models.alerts.alert_action import AlertAction
from models.alerts.alert_state import AlertState
from models.alerts.detractor_rule import DetractorResponse, detractor_response
from models.alerts.policy import AlertEvent, AlertScore, step
from models.alerts.settings import AlertSettings

__all__ = [
    "AlertAction",
    "AlertEvent",
    "AlertScore",
    "AlertSettings",
    "AlertState",
    "DetractorResponse",
    "detractor_response",
    "step",
]
