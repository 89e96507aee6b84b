"""Whether silence is the main reason of a score: what holds an alert while a feed delivers nothing.

A feed that stops delivering makes all its customers look silent. The hold goes by the catalogue's topics
(`Feature.reason`) and by contributions alone, so that neither words nor baselines decide whether an alert opens.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.explanations.codes import LOW_EVIDENCE
from models.explanations.reasons import LEAST, LOW_DAYS
from models.explanations.sentences import natural
from models.features.catalogue import FEATURES, NAMES

Floats = NDArray[np.float64]

SILENT_TOPICS: Final = frozenset(("SILENCE", "RHYTHM_BROKEN", "USAGE_DROP", "DEPTH_DROP", "FEATURE_ABANDONED"))
"""Topics whose contributions rise for every customer when a feed stops delivering."""
TOPICS: Final[tuple[str, ...]] = tuple(dict.fromkeys([*(f.reason for f in FEATURES), LOW_EVIDENCE]))

_TOPIC: Final = np.array([TOPICS.index(f.reason) for f in FEATURES])
_ORDER: Final = np.argsort(_TOPIC, kind="stable")
_PRESENT: Final = np.unique(_TOPIC)
_STARTS: Final = np.searchsorted(_TOPIC[_ORDER], _PRESENT)
_LOW: Final = TOPICS.index(LOW_EVIDENCE)
_SILENT: Final = np.array([topic in SILENT_TOPICS for topic in TOPICS])
_TENURE, _NO_RHYTHM = (NAMES.index(name) for name in ("tenure_days", "no_rhythm"))


def by_topic(contributions: Floats, x: Floats) -> Floats:
    """Contributions (n, d) summed per topic, (n, len(TOPICS)); a missing value's contribution is LOW_EVIDENCE.

    A row's bits do not depend on the other rows.
    """
    missing = np.isnan(x) & (contributions != 0.0)
    unknown = None
    if missing.any():
        unknown = np.add.reduce(np.where(missing, contributions, 0.0), axis=1)
        contributions = np.where(missing, 0.0, contributions)
    totals = np.zeros((len(contributions), len(TOPICS)))
    if len(contributions):
        ordered = np.ascontiguousarray(contributions[:, _ORDER])
        totals[:, _PRESENT] = np.add.reduceat(ordered, _STARTS, axis=1)
    if unknown is not None:
        totals[:, _LOW] += unknown
    return totals


def silent(contributions: Floats, x: Floats) -> list[bool]:
    """Whether the topic that raises each of n scores most is one of `SILENT_TOPICS`.

    Args:
        contributions: Of each feature to the log-odds, (n, d).
        x: Features as scored, (n, d), NaN for missing.
    """
    if not len(x):
        return []
    totals = by_topic(contributions, x)
    totals[~_little_known(natural(x), contributions), _LOW] = -np.inf
    main = len(TOPICS) - 1 - np.argmax(totals[:, ::-1], axis=1)  # the last of equals
    large = totals[np.arange(len(x)), main] >= LEAST
    return (large & _SILENT[main]).tolist()


def _little_known(values: Floats, contributions: Floats) -> NDArray[np.bool_]:
    """Whether LOW_EVIDENCE may be the main topic: little is known of the customer, or a missing value contributes."""
    low = ~(values[:, _TENURE] >= LOW_DAYS) | (values[:, _NO_RHYTHM] > 0.5)
    missing: NDArray[np.bool_] = (np.isnan(values) & (contributions != 0.0)).any(axis=1)
    return low | missing
