"""When an alert opens, escalates, repeats and ends.

policy           the alert policy: a pure function over a customer's alert state
detractor_rule   survey responses that open an alert at once
"""

from models.alerts.detractor_rule import DetractorResponse, detraction
from models.alerts.policy import AlertAction, AlertEvent, AlertScore, AlertSettings, AlertState, step

__all__ = [
    "AlertAction",
    "AlertEvent",
    "AlertScore",
    "AlertSettings",
    "AlertState",
    "DetractorResponse",
    "detraction",
    "step",
]
