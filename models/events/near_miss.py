"""Find event names that are probably a misspelled decisive event, such as `Subscripton Cancelled`.

Such an event is accepted as an ordinary one, so a typo in one name can silently turn every label into 0. Three forms
are near: the same words with typos, the same words in another order, and other forms of the same words
(`Payment Failure`, `Cancel Subscription`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from models.events.spelling import fold, name_words

MAX_CHARS: Final = 48
"""The longest listed name has 31 characters. A longer name cannot be near one."""

_TYPOS_MAX: Final = 2
_CHARS_PER_TYPO: Final = 4  # shorter words with a typo are mostly other words: "rated" is not "created"
_SUFFIX: Final = re.compile(r"(?:ation|ion|ment|ures?|als?|ed|ing|s|e)$")
_STEM_MIN: Final = 4


class NearMiss:
    """Finds near misses of these names.

    >>> finder = NearMiss({"Subscription Cancelled", "Payment Failed"})
    >>> finder.find("Subscripton Canceld"), finder.find("failed_payment"), finder.find("Payment Sent")
    ('Subscription Cancelled', 'Payment Failed', None)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known = [(name, fold(name), name_words(name)) for name in sorted(names)]
        self._stems = {_stems(parts): name for name, _, parts in self._known}

    def find(self, name: str) -> str | None:
        """Return the name that `name` nearly is, or None. Equal names are not near."""
        if len(name) > MAX_CHARS:
            return None
        folded, parts = fold(name), name_words(name)
        if any(folded == known for _, known, _ in self._known):
            return None
        same_words = self._stems.get(_stems(parts))
        if same_words is not None:
            return same_words
        best = min(
            ((typos, known) for known, text, listed in self._known if (typos := _typos(folded, parts, text, listed))),
            default=None,
        )
        return None if best is None else best[1]


def _typos(folded: str, parts: list[str], known: str, listed: list[str]) -> int:
    """Count the typos that separate two names; 0 if they are different names."""
    if abs(len(folded) - len(known)) > _TYPOS_MAX:
        return 0
    if len(parts) != len(listed):  # a lost separator shows no words: compare as one word
        return _distance(folded, known) if len(parts) == 1 else 0
    total = 0
    for left, right in zip(parts, listed, strict=True):
        if left != right:
            typos = _distance(left, right)
            if not typos or typos > len(right) // _CHARS_PER_TYPO:
                return 0
            total += typos
    return total if total <= _TYPOS_MAX else 0


def _distance(left: str, right: str) -> int:
    """Return the edit distance (swaps of neighbours count once), or 0 if it is above `_TYPOS_MAX`."""
    if abs(len(left) - len(right)) > _TYPOS_MAX:
        return 0
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, char in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(right, 1):
            cost = min(row[-1] + 1, before[j] + 1, before[j - 1] + (char != other))
            if i > 1 and j > 1 and char == right[j - 2] and left[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > _TYPOS_MAX:
            return 0
    return row[-1] if row[-1] <= _TYPOS_MAX else 0


def _stems(parts: list[str]) -> tuple[str, ...]:
    """Reduce words to their stems, sorted: the same for every order and form."""
    return tuple(sorted(map(_stem, parts)))


def _stem(word: str) -> str:
    while (match := _SUFFIX.search(word)) and match.start() >= _STEM_MIN:
        word = word[: match.start()]
    return word[:-1] if len(word) > _STEM_MIN and word[-1] == word[-2] else word
