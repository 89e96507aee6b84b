"""Why a customer's probability is what it is, as reasons in plain English.

codes              reason codes, playbooks, and what a person can act on first
feature_wordings   the words and the sides of every feature, from the three modules below
usage_wordings     features of activity and of the journey
commerce_wordings  features of orders, subscriptions and payments
feedback_wordings  features of support, satisfaction and messages
wording            the record behind one entry of `feature_wordings`
figures            numbers as a person would write them
sides              which side of its code each value lies on
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
