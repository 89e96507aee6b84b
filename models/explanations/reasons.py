"""Explain a customer's probability: contributions to the log-odds, grouped into reasons.

A reason sums the contributions of the features of one group whose values lie on its side: on the risk side for a
reason that raises the risk, on the healthy side for a protective one. It is rendered as the feature that shows it
best. All other contributions are "other signals" and count in `rest`: values that lie on neither side, groups whose
sum points the other way, and groups too small to list. Listed reasons, `rest` and `bias` add up to the log-odds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.explanations.codes import LEAST_URGENT, LOW_EVIDENCE, PLAYBOOKS, URGENCY
from models.explanations.sentences import natural, natural_levels, render
from models.explanations.sides import BY_INDEX, GROUPS, RENDERED_INDEX, Sides, sides
from models.explanations.wording import NAN
from models.features.catalogue import NAMES

Floats = NDArray[np.float64]

RAISING_MAX: Final = 5  # more than a person reads
PROTECTIVE_MAX: Final = 3
LEAST: Final = 0.02  # log-odds: 2% in the odds, below which a contribution is no reason
NEARLY_LARGEST: Final = 0.7  # of the largest contribution: among these, urgency decides which comes first
POINT_DIGITS: Final = 2

LOW_DAYS: Final = 7.0  # with a shorter history, the customer's weekly pattern is unknown

_GROUPS: Final = (LOW_EVIDENCE, *sorted({*GROUPS} - {LOW_EVIDENCE}))
_GROUP_COUNT: Final = len(_GROUPS)
_SIZE: Final = len(NAMES)
# columns are those of the risk side, then those of the healthy side
_GROUP: Final = np.array([_GROUPS.index(group) + side for side in (0, _GROUP_COUNT) for group in GROUPS])
_ORDER: Final = np.argsort(_GROUP, kind="stable")
_STARTS: Final = np.searchsorted(_GROUP[_ORDER], np.arange(2 * _GROUP_COUNT))
_LOW: Final = _GROUPS.index(LOW_EVIDENCE)  # also of features that are never a reason: they lie on neither side


def _members() -> NDArray[np.intp]:
    """By group, its columns; shorter groups repeat their last one."""
    members = [np.flatnonzero(group == _GROUP) for group in range(2 * _GROUP_COUNT)]
    most = max(len(columns) for columns in members)
    return np.stack([np.pad(columns, (0, most - len(columns)), mode="edge") for columns in members])


_MEMBERS: Final = _members()
_RENDERED_INDEX: Final = np.array(RENDERED_INDEX)
_HEADLINE: Final = np.array([BY_INDEX[index].headline for index in RENDERED_INDEX])
_TENURE, _NO_RHYTHM, _ACTIVE = (NAMES.index(name) for name in ("tenure_days", "no_rhythm", "active_days_90"))
_PREFERENCE: Final = np.array([0.0, 2.0, 1.5, 2.0])
"""By basis + 1: how much a contribution weighs when a group's sentence is chosen.

The own baseline comes before the level of other customers; what needs no baseline is a fact of its own."""


class Reason(msgspec.Struct, gc=False, frozen=True):
    """One reason; contributions are log-odds, positive raises the risk.

    >>> sentence = "No activity for 11 days; normally active every 2.1 days"
    >>> reason = Reason("SILENCE", sentence, "recency_days", 11.0, 2.1, 0.8, 12.3)
    >>> msgspec.json.decode(msgspec.json.encode(reason))["code"]
    'SILENCE'
    """

    code: str
    sentence: str
    feature: str
    value: float | None
    baseline: float | None
    contribution: float
    points: float


class Explanation(msgspec.Struct, gc=False):
    """All of one score's log-odds: sum of `raising` + sum of `protective` + rest + bias = log_odds."""

    raising: list[Reason]
    protective: list[Reason]
    rest: float
    bias: float
    log_odds: float


def _per_group(contributions: Floats) -> Floats:
    """Contributions (n, d) summed per group; a row's bits do not depend on the other rows."""
    return np.add.reduceat(np.ascontiguousarray(contributions[:, _ORDER]), _STARTS, axis=1)


def explain(
    contributions: Floats,
    bias: Floats,
    log_odds: Floats,
    x: Floats,
    m: Floats,
    values: Floats | None = None,
    listed: list[list[float]] | None = None,
    unpaid_days: Sequence[float] | None = None,
) -> list[Explanation]:
    """The reasons of n scores.

    Args:
        contributions: Of each feature to the log-odds, (n, d).
        bias: Log-odds of an average customer, (n,).
        log_odds: (n,).
        x: Features as scored, (n, d), NaN for missing.
        m: The level of all customers at the time, (n, d), NaN for unknown.
        values, listed: `natural(x)`, and the same as lists, if the caller has them.
        unpaid_days: Days since the first failure of each customer's unpaid payment, (n,); NaN for unknown.
    """
    known = natural(x) if values is None else values
    judged = sides(known, natural_levels(m))
    sided = np.concatenate(
        [np.where(judged.decided > 0, contributions, 0.0), np.where(judged.decided < 0, -contributions, 0.0)], axis=1
    )
    amounts = _per_group(sided)  # positive where a group's sum points the way of its side
    missing = np.isnan(x) & (contributions != 0.0)
    if missing.any():
        amounts[:, _LOW] += np.add.reduce(np.where(missing, contributions, 0.0), axis=1)
    groups = np.concatenate(
        [
            np.argsort(-amounts[:, :_GROUP_COUNT], axis=1, kind="stable")[:, :RAISING_MAX],
            np.argsort(-amounts[:, _GROUP_COUNT:], axis=1, kind="stable")[:, :PROTECTIVE_MAX] + _GROUP_COUNT,
        ],
        axis=1,
    )
    found = _found(judged, sided, amounts, groups, log_odds)
    lists = known.tolist() if listed is None else listed
    unpaid = [NAN] * len(lists) if unpaid_days is None else unpaid_days
    raising: list[list[Reason]] = [[] for _ in lists]
    protective: list[list[Reason]] = [[] for _ in lists]
    for row, raises, rendered_index, basis, baseline, amount, change in zip(
        *[each.tolist() for each in found], strict=True
    ):
        rendered = render(rendered_index, lists[row], basis, baseline, raises, unpaid[row])
        (raising if raises else protective)[row].append(Reason(*rendered, amount, change))
    rows = zip(raising, protective, lists, bias.tolist(), log_odds.tolist(), strict=True)
    return [_explanation(*row) for row in rows]


def points(log_odds: Floats, contributions: Floats) -> Floats:
    """Percentage points by which each reason alone changes the probability.

    The probability minus the probability without the reason, with everything else unchanged. Log-odds add up; points of
    several reasons do not.

    >>> points(np.array([0.0]), np.array([1.0])), points(np.array([0.0]), np.array([-1.0]))
    (array([23.11]), array([-23.11]))
    """
    without = 1.0 / (1.0 + np.exp(contributions - log_odds))
    return np.round(100.0 * (1.0 / (1.0 + np.exp(-log_odds)) - without), POINT_DIGITS) + 0.0


class _Found(NamedTuple):
    """The reasons of a batch in order, an array of each field."""

    row: NDArray[np.intp]
    raises: NDArray[np.bool_]
    rendered_index: NDArray[np.intp]
    """The feature that it is rendered as, -1 where only missing values contribute."""
    basis: NDArray[np.intp]
    baseline: Floats
    contribution: Floats
    points: Floats


def _found(judged: Sides, sided: Floats, amounts: Floats, groups: NDArray[np.intp], log_odds: Floats) -> _Found:
    """The listed groups that are large enough, each with the feature that shows it best.

    That is the largest contribution that points the reason's way; `_PREFERENCE` weighs in the baseline.

    Args:
        sided: Contributions (n, 2 d): of values on the risk side, and negated of those on the healthy side.
        amounts: Their sums per group, (n, 2 groups).
        groups: Candidates of each row among the groups, largest first.
    """
    row, slot = np.nonzero(np.take_along_axis(amounts, groups, 1) >= LEAST)
    group = groups[row, slot]
    members = _MEMBERS[group]
    features = members % _SIZE
    preference = _PREFERENCE[np.abs(judged.decided[row[:, None], features])] * _HEADLINE[features]
    weights = sided[row[:, None], members] * preference
    best = weights.argmax(axis=1)
    rows = np.arange(len(row))
    feature = features[rows, best]
    basis = judged.basis(row, feature)
    rendered_index = np.where(weights[rows, best] > 0.0, _RENDERED_INDEX[feature], -1)
    raises = slot < RAISING_MAX
    contribution = np.where(raises, 1.0, -1.0) * amounts[row, group]
    return _Found(
        row,
        raises,
        rendered_index,
        basis,
        judged.baseline(row, _RENDERED_INDEX[feature], basis),
        contribution,
        points(log_odds[row], contribution),
    )


def _explanation(
    raising: list[Reason], protective: list[Reason], values: list[float], bias: float, log_odds: float
) -> Explanation:
    listed = sum([reason.contribution for reason in protective])
    listed += sum([reason.contribution for reason in raising])
    if not raising:
        raising.append(_nothing_stands_out(values))
    return Explanation(_urgent_first(raising), protective, log_odds - bias - listed, bias, log_odds)


def _urgent_first(raising: list[Reason]) -> list[Reason]:
    """Reasons by contribution, except that the most urgent of those near the largest comes first."""
    near = [reason for reason in raising if reason.contribution >= NEARLY_LARGEST * raising[0].contribution]
    if len(near) == 1:
        return raising
    first = min(near, key=lambda reason: URGENCY.get(reason.code, LEAST_URGENT))
    return [first, *(reason for reason in raising if reason is not first)]


def _nothing_stands_out(values: list[float]) -> Reason:
    """The reason if no behavior explains the probability: it equals that of comparable customers."""
    known = values[_TENURE]
    sentence = "Nothing in this customer's behavior stands out"
    return Reason(LOW_EVIDENCE, sentence, "tenure_days", None if known != known else known, None, 0.0, 0.0)


def with_reason(
    explanation: Explanation, code: str, index: int, values: Floats, levels: Floats, first: bool
) -> Explanation:
    """An explanation that lists a rule's reason, whatever the model's contribution.

    Args:
        code: The reason.
        index: The feature that it is rendered as; its value lies on the risk side.
        values, levels: The customer's features and the level of other customers, natural units (1, d).
        first: It comes before all others.
    """
    others = [reason for reason in explanation.raising if reason.code != code and reason.contribution]
    same = [reason for reason in explanation.raising if reason.code == code]
    if not same:  # the model's contribution is part of the rest
        judged = sides(values, levels)
        row, features = np.zeros(1, np.intp), np.array([index])
        basis = judged.basis(row, features)
        compared = float(judged.baseline(row, features, basis)[0])
        rendered = render(index, values[0].tolist(), int(basis[0]), compared, raising=True)
        _, sentence, feature, value, baseline = rendered
        same = [Reason(code, sentence, feature, value, baseline, 0.0, 0.0)]
    elif not first:
        return explanation
    return msgspec.structs.replace(explanation, raising=same + others if first else others + same)


def evidence(values: Floats, trust: float) -> list[str]:
    """How much is known behind each of n scores, from `natural` features (n, d): "low", "medium" or "high".

    Low: no rhythm is known, or the customer for less than a week. High: known for 90 days with 8 active ones among
    them, and the model's learned part outweighs the prior (`trust` is w of w = n / (n + k)).
    """
    known = values[:, _TENURE]
    low = ~(known >= LOW_DAYS) | (values[:, _NO_RHYTHM] > 0.5)
    high = (known >= 90.0) & (values[:, _ACTIVE] >= 8.0) & (trust >= 0.5)
    return np.where(low, "low", np.where(high, "high", "medium")).tolist()


def playbook(explanation: Explanation) -> str:
    """The procedure that the main reason calls for."""
    return PLAYBOOKS.get(explanation.raising[0].code, "learn_more")
