"""Explain a customer's probability, as reasons in plain English.

codes              reason codes, playbooks, and the urgency of reasons
feature_wordings   the wording of every feature, from the three modules below
usage_wordings     features of activity and of the journey
commerce_wordings  features of orders, subscriptions and payments
feedback_wordings  features of support, satisfaction and messages
wording            the record behind one entry of `feature_wordings`
figures            numbers, durations and percentages as text
sides              whether each value raises the risk, lowers it, or neither
sentences          one feature as a sentence
reasons            contributions grouped into reasons that add up to the log-odds
silence            whether silence is the main reason: holds alerts in a feed outage
"""

from models.explanations.codes import CODES, PLAYBOOKS, RISKS, STRENGTHS
from models.explanations.feature_wordings import codes_of
from models.explanations.reasons import Explanation, Reason, evidence, explain, playbook, with_reason
from models.explanations.sentences import natural
from models.explanations.silence import silent

__all__ = [
    "CODES",
    "PLAYBOOKS",
    "RISKS",
    "STRENGTHS",
    "Explanation",
    "Reason",
    "codes_of",
    "evidence",
    "explain",
    "natural",
    "playbook",
    "silent",
    "with_reason",
]
