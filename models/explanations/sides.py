"""Decide for each value whether it raises the risk, lowers it, or neither, and which baseline it is compared with.

A value is compared with the customer's own baseline first. Only where that is unknown, or the value is as usual, the
level of other customers decides. Computed for a batch at once; a row's result does not depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.explanations.feature_wordings import RENDERED_AS, WORDINGS
from models.explanations.wording import Constant, Derived, Pace, SameAs, Wording
from models.features.catalogue import NAMES

Floats = NDArray[np.float64]
Signs = NDArray[np.int8]
Indices = NDArray[np.intp]

RISK, HEALTHY = 1, -1
OWN, PEERS, NO_BASELINE = 2, 1, 0
AS_USUAL: Final = 0.1  # within 10% of the baseline
LEAST_USUAL: Final = 3.0  # events: if fewer are usual, a count of 0 is not evidence

_INDEX: Final = {name: i for i, name in enumerate(NAMES)}
_NOTHING: Final = Wording()
RENDERED_INDEX: Final = tuple(_INDEX.get(RENDERED_AS.get(name, name), i) for i, name in enumerate(NAMES))
"""By feature: the one that it is rendered as."""
BY_INDEX: Final = tuple(WORDINGS.get(name, _NOTHING) for name in NAMES)

_SAME_GROUP: Final = {
    "LOW_USAGE": "USAGE_DROP",
    "LOW_DEPTH": "DEPTH_DROP",
}  # one topic, compared with other customers or with the customer's past
GROUPS: Final = tuple(
    _SAME_GROUP.get(code, code)
    for code in (BY_INDEX[index].code or BY_INDEX[index].strength or "LOW_EVIDENCE" for index in RENDERED_INDEX)
)
"""By feature: the group whose reason its contribution counts for, named by a code."""


def _column(values: Sequence[Any]) -> Floats:
    return np.array(values, np.float64)


def _of_kind(kind: type) -> list[tuple[int, Any]]:
    """(feature, own baseline) of the features that have one of this kind."""
    return [(i, w.own) for i, w in enumerate(BY_INDEX) if isinstance(w.own, kind)]


# Columns of comparisons: first those with the customer's own baseline, by kind, then those with other customers.
_PACES, _SAMES, _CONSTANTS = _of_kind(Pace), _of_kind(SameAs), _of_kind(Constant)
_DERIVED: Final = tuple((own.function, tuple(_INDEX[name] for name in own.reads)) for _, own in _of_kind(Derived))
_WITH_OWN: Final = np.array([i for kind in (Pace, SameAs, Constant, Derived) for i, _ in _of_kind(kind)])
_WITH_PEERS: Final = np.array([i for i, w in enumerate(BY_INDEX) if w.peer_words is not None])
_COMPARED: Final = np.concatenate([_WITH_OWN, _WITH_PEERS])
_OWN_COLUMNS: Final = len(_WITH_OWN)
_COLUMN_OF: Final = np.full((OWN + 1, len(NAMES)), len(_COMPARED))  # by basis and feature; the last column is NaN
_COLUMN_OF[OWN, _WITH_OWN] = np.arange(_OWN_COLUMNS)
_COLUMN_OF[PEERS, _WITH_PEERS] = np.arange(_OWN_COLUMNS, len(_COMPARED))

_PACE_TOTAL: Final = np.array([_INDEX[own.total] for _, own in _PACES])
_PACE_DAYS: Final = _column([own.days for _, own in _PACES])
_PACE_MOST: Final = _column([own.most for _, own in _PACES])
_SAME_AS: Final = np.array([_INDEX[own.name] for _, own in _SAMES])
_CONSTANT: Final = _column([own.value for _, own in _CONSTANTS])
_PACE_END: Final = len(_PACES)
_SAME_END: Final = _PACE_END + len(_SAMES)
_CONSTANT_END: Final = _SAME_END + len(_CONSTANTS)

# An empty range (inf, -inf) if a feature has no reason of this kind
_RISKS: Final = _column([w.at_risk if w.code else (inf, -inf) for w in BY_INDEX]).T
_SAFE: Final = _column([w.safe if w.strength else (inf, -inf) for w in BY_INDEX]).T
_RISK_LOW, _RISK_HIGH, _SAFE_LOW, _SAFE_HIGH = (*_RISKS[:, _COMPARED], *_SAFE[:, _COMPARED])
_WORSE: Final = _column([w.worse for w in BY_INDEX])[_COMPARED]
_MARGIN: Final = _column([w.margin for w in BY_INDEX])[_COMPARED]
_EVENTS: Final = np.array([w.events for w in BY_INDEX])[_COMPARED]

_ALONE: Final = np.array([i for i, w in enumerate(BY_INDEX) if w.alone])
_ALONE_RISK, _ALONE_SAFE = _RISKS[:, _ALONE], _SAFE[:, _ALONE]


class _Condition(NamedTuple):
    """A feature keeps a side only while another feature of the customer lies in the range."""

    feature: int
    side: int
    needs: int
    low: float
    high: float


_CONDITIONS: Final = tuple(
    _Condition(i, side, _INDEX[need.name], need.low, need.high)
    for i, w in enumerate(BY_INDEX)
    for side, need in ((RISK, w.risk_needs), (HEALTHY, w.safe_needs))
    if need is not None
)
_CONDITIONAL: Final = np.array([condition.feature for condition in _CONDITIONS])
_CONDITIONAL_SIDE: Final = np.array([condition.side for condition in _CONDITIONS])
_NEEDED: Final = np.array([condition.needs for condition in _CONDITIONS])
_NEEDED_LOW: Final = _column([condition.low for condition in _CONDITIONS])
_NEEDED_HIGH: Final = _column([condition.high for condition in _CONDITIONS])
assert len(set(_CONDITIONAL.tolist())) == len(_CONDITIONS), "one condition per feature: all are applied at once"

# an approaching date is a reason only with low usage
_NEAR: Final = np.array([_INDEX["renewal_in_days"], _INDEX["trial_left_days"]])
_USE: Final = np.array([_INDEX["active_days_30"], _INDEX["active_days_7"]])
_ALIASES: Final = np.array([_INDEX[name] for name in RENDERED_AS])
_ALIAS_TARGETS: Final = np.array([_INDEX[name] for name in RENDERED_AS.values()])
_TENURE: Final = _INDEX["tenure_days"]


class Sides(NamedTuple):
    """Which side the features of n customers lie on, and what decided it."""

    decided: Signs
    """(n, d): positive on the risk side, negative on the healthy side, 0 on neither; the size is the basis + 1."""
    baselines: Floats
    """(n, comparisons + 1): what values were compared with; see `baseline`."""

    def basis(self, rows: Indices, features: Indices) -> Indices:
        """`OWN`, `PEERS` or `NO_BASELINE`, of features that lie on a side."""
        return np.abs(self.decided[rows, features]).astype(np.intp) - 1

    def baseline(self, rows: Indices, features: Indices, basis: Indices) -> Floats:
        """What each value was compared with; NaN without a baseline."""
        found: Floats = self.baselines[rows, _COLUMN_OF[basis, features]]
        return found


def sides(values: Floats, peers: Floats) -> Sides:
    """The side of each value.

    Args:
        values: Features in natural units (n, d), NaN for missing.
        peers: The level of other customers (n, d), natural units, NaN for unknown.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return _sides(values, peers)


def _sides(values: Floats, peers: Floats) -> Sides:
    baselines = np.full((len(values), len(_COMPARED) + 1), np.nan)
    _own_baselines(values, baselines)
    baselines[:, _OWN_COLUMNS:-1] = peers[:, _WITH_PEERS]
    by_baseline = _compared(values[:, _COMPARED], baselines[:, :-1])

    decided = np.zeros(values.shape, np.int8)
    alone = values[:, _ALONE]
    decided[:, _ALONE] = _within(alone, *_ALONE_RISK).astype(np.int8) - _within(alone, *_ALONE_SAFE)
    for basis, features, found in (
        (PEERS, _WITH_PEERS, by_baseline[:, _OWN_COLUMNS:]),
        (OWN, _WITH_OWN, by_baseline[:, :_OWN_COLUMNS]),
    ):
        decided[:, features] = np.where(found, np.int8(basis + 1) * found, decided[:, features])

    conditional, needed = decided[:, _CONDITIONAL], values[:, _NEEDED]
    conditional[(conditional * _CONDITIONAL_SIDE > 0) & ~_within(needed, _NEEDED_LOW, _NEEDED_HIGH)] = 0
    decided[:, _CONDITIONAL] = conditional
    near = decided[:, _NEAR]
    near[(near > 0) & (decided[:, _USE] <= 0)] = 0
    decided[:, _NEAR] = near
    decided[:, _ALIASES] = decided[:, _ALIAS_TARGETS]
    return Sides(decided, baselines)


def _own_baselines(values: Floats, baselines: Floats) -> None:
    """Write the customer's own baselines into their columns."""
    life = np.minimum(90.0, values[:, [_TENURE]])
    pace = np.minimum(values[:, _PACE_TOTAL] * _PACE_DAYS / life, _PACE_MOST)
    pace[life < 2 * _PACE_DAYS] = np.nan  # too short for a habit
    baselines[:, :_PACE_END] = pace
    baselines[:, _PACE_END:_SAME_END] = values[:, _SAME_AS]
    baselines[:, _SAME_END:_CONSTANT_END] = _CONSTANT
    for column, (function, reads) in enumerate(_DERIVED, _CONSTANT_END):
        baselines[:, column] = function(*[values[:, i] for i in reads])


def _compared(values: Floats, baselines: Floats) -> Signs:
    """The side that each comparison gives a value, (n, comparisons)."""
    worse = (values - baselines) * _WORSE
    tolerance = np.maximum(AS_USUAL * np.abs(baselines), _MARGIN)
    better = (worse <= -tolerance) & _within(values, _SAFE_LOW, _SAFE_HIGH)
    np.maximum(tolerance, LEAST_USUAL, out=tolerance, where=_EVENTS & (values == 0.0))
    return ((worse >= tolerance) & _within(values, _RISK_LOW, _RISK_HIGH)).astype(np.int8) - better


def _within(values: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (values >= low) & (values <= high)
    return inside
