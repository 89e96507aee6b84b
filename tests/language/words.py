"""Discouraged words and phrases, each with what to write instead. CONTRIBUTING.md says how this project writes."""

from __future__ import annotations

import re
from typing import Final

DISCOURAGED: Final = {
    # verbs of saying that stand for technical verbs
    r"told|tells?|telling": "published, reports, rendered, shows",
    r"said|say|saying": "published, reported, states, shows",
    # pronouns and adverbs that technical English does without
    r"whoever|whosoever": "anyone who",
    r"of whom|to whom|for whom|whose sake": "whose, for which customers",
    r"somebody|someone's|nobody(?:'s)?|everybody(?:'s)?|anybody": "a client, an operator; unowned; all customers",
    r"anew|afresh": "again",
    r"seldom": "rarely",
    r"thereby|therein|thereof|hereby": "this, so",
    r"dear|dearer|dearest|dearly": "expensive",
    r"whilst|amongst|ere": "while, among, before",
    r"foretold|foretells?|foresaw": "predicted",
    # phrases that read like a translation
    r"what (?:came|became) of|what came": "observed outcome, actual",
    r"who answers|the one that answers": "the active model",
    r"lets? (?:us|you|me|in)\b": "accepts our credentials, is reachable",
    r"how sure the model is": "90% interval",
    r"was heard of|were heard of": "was last seen",
    r"most telling": "most influential",
    r"the first guess": "the prior",
    r"what a rate takes": "sizing",
    r"what breaks first": "scaling limits",
    r"explained elsewhere": "rendered in a separate process",
    r"silent for everybody": "feed outage",
    r"by what they do": "voluntary churn",
    r"by a payment that fails": "involuntary churn (payment failure)",
    r"it is full\.": "Reject further appends.",
    # a percent sign stands without a space
    r"\d+ %(?!\})": "37%",
}

_ANY: Final = "|".join(f"(?P<w{i}>{words})" for i, words in enumerate(DISCOURAGED))
# Cheap: the first letter rules out most places before any alternative is tried.
_FIRST: Final = "".join(sorted({part[0] for words in DISCOURAGED for part in words.split("|")} - {"\\"}))
PATTERN: Final = re.compile(rf"(?<![\w-])(?=[{_FIRST}\d])(?:{_ANY})(?![\w-])", re.IGNORECASE)
INSTEAD: Final = list(DISCOURAGED.values())


def findings(text: str) -> list[tuple[int, str, str]]:
    r"""Line number, discouraged words and what to write instead, for each occurrence in a text.

    >>> findings("Whoever reads this\nhas 37 % of it")
    [(1, 'Whoever', 'anyone who'), (2, '37 %', '37%')]
    """
    found = []
    for match in PATTERN.finditer(text):
        assert match.lastgroup is not None
        number = text.count("\n", 0, match.start()) + 1
        found.append((number, match[0], INSTEAD[int(match.lastgroup[1:])]))
    return found
