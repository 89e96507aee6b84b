"""Why a customer's probability is what it is: contributions to the log-odds, grouped into reasons in plain words.

Contributions of features with the same reason code are one reason, told by the feature that speaks loudest in it. What
is listed, the rest and the bias add up to the log-odds. What raises the risk and what protects stand apart.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.explanations.sentences import natural, render
from models.features.catalogue import FEATURES, NAMES

Floats = NDArray[np.float64]

RAISING_MAX: Final = 5  # more than a person reads
PROTECTIVE_MAX: Final = 3
CANDIDATES: Final = 3  # features of a code that are tried for its sentence
LEAST: Final = 0.02  # log-odds: 2 % in the odds, below which a contribution is no reason

LOW_EVIDENCE: Final = "LOW_EVIDENCE"
LOW_DAYS: Final = 7.0  # known for less, a customer has shown no week
CODES: Final[tuple[str, ...]] = tuple(dict.fromkeys([*(f.reason for f in FEATURES), LOW_EVIDENCE]))
SILENT_CODES: Final = frozenset(("SILENCE", "RHYTHM_BROKEN", "USAGE_DROP", "DEPTH_DROP", "FEATURE_ABANDONED"))
"""Reasons that a feed which stopped delivering would produce for everybody."""

PLAYBOOKS: Final[dict[str, str]] = {
    "SILENCE": "reengage", "USAGE_DROP": "reengage", "RHYTHM_BROKEN": "reengage", "EMAIL_DISENGAGED": "reengage",
    "UNSUBSCRIBED": "reengage", "REFERRALS_STOPPED": "reengage", "DEPTH_DROP": "show_value",
    "FEATURE_ABANDONED": "show_value", "ONBOARDING_STALLED": "onboarding_help", "TRIAL_ENDING_INACTIVE": "trial_help",
    "PAYMENT_FAILED": "recover_payment", "CARD_EXPIRING": "recover_payment", "DOWNGRADE": "plan_review",
    "CANCEL_INTENT": "save_offer", "RENEWAL_NEAR_LOW_USE": "renewal_review", "TICKET_SURGE": "support_review",
    "TICKET_REOPENED": "support_review", "SLOW_SUPPORT": "support_review", "CSAT_DETRACTOR": "listen",
    "NPS_DETRACTOR": "listen", "NEGATIVE_REVIEW": "listen", "BARRIER_REPEATED": "listen", "REFUND": "listen",
    "SEATS_SHRINKING": "account_review", "CHAMPION_LEFT": "account_review", "LOW_EVIDENCE": "learn_more",
}  # fmt: skip
"""What a team would do first about each reason: a name for their own procedure."""

_CODE: Final = np.array([CODES.index(f.reason) for f in FEATURES])
_ORDER: Final = np.argsort(_CODE, kind="stable")
_PRESENT: Final = np.unique(_CODE)
_STARTS: Final = np.searchsorted(_CODE[_ORDER], _PRESENT)
_MEMBERS: Final = tuple([i for i, f in enumerate(FEATURES) if f.reason == code] for code in CODES)
_MEMBERS_BACK: Final = tuple(members[::-1] for members in _MEMBERS)  # of equals the last one protects
_LISTED: Final = [*range(PROTECTIVE_MAX), *range(-1, -RAISING_MAX - 1, -1)]  # places among codes in order
_LOW: Final = CODES.index(LOW_EVIDENCE)
_SILENT: Final = np.array([code in SILENT_CODES for code in CODES])
_TENURE, _NO_RHYTHM, _ACTIVE = (NAMES.index(name) for name in ("tenure_days", "no_rhythm", "active_days_90"))


class Reason(msgspec.Struct, gc=False, frozen=True):
    """One reason; contributions are log-odds, positive raises the risk.

    >>> reason = Reason("SILENCE", "quiet for 11 days; usual gap 2.1", "recency_days", 11.0, 2.1, 0.8)
    >>> msgspec.json.decode(msgspec.json.encode(reason))["code"]
    'SILENCE'
    """

    code: str
    sentence: str
    feature: str
    value: float | None
    baseline: float | None
    contribution: float


class Explanation(msgspec.Struct, gc=False):
    """All of one score's log-odds: sum of `raising` + sum of `protective` + rest + bias = log_odds."""

    raising: list[Reason]
    protective: list[Reason]
    rest: float
    bias: float
    log_odds: float

    @property
    def silent(self) -> bool:
        """Whether the main reason is one that a feed which stopped for everybody would give too."""
        return bool(self.raising) and self.raising[0].code in SILENT_CODES


def by_code(contributions: Floats, x: Floats) -> Floats:
    """Contributions (n, d) summed per reason code, (n, len(CODES)); what a missing value adds is LOW_EVIDENCE.

    A row's bits do not depend on the other rows.
    """
    missing = np.isnan(x) & (contributions != 0.0)
    unknown = None
    if missing.any():
        unknown = np.add.reduce(np.where(missing, contributions, 0.0), axis=1)
        contributions = np.where(missing, 0.0, contributions)
    totals = np.zeros((len(contributions), len(CODES)))
    if len(contributions):
        ordered = np.ascontiguousarray(contributions[:, _ORDER])
        totals[:, _PRESENT] = np.add.reduceat(ordered, _STARTS, axis=1)
    if unknown is not None:
        totals[:, _LOW] += unknown
    return totals


def explain(
    contributions: Floats,
    bias: Floats,
    log_odds: Floats,
    x: Floats,
    m: Floats,
    values: Floats | None = None,
    listed: list[list[float]] | None = None,
) -> list[Explanation]:
    """The reasons of n scores.

    Args:
        contributions: Of each feature to the log-odds, (n, d).
        bias: Log-odds of somebody average, (n,).
        log_odds: (n,).
        x: Features as scored, (n, d), NaN for missing.
        m: The population's level at the time, (n, d), NaN for unknown.
        values, listed: `natural(x)`, and the same as lists, if the caller has them.
    """
    totals = by_code(contributions, x)
    known = natural(x) if values is None else values
    totals[~_unknown(known, contributions), _LOW] = 0.0
    # only those that may be listed: the first, which protect most, and the last, which raise most
    codes = np.argsort(totals, axis=1, kind="stable")[:, _LISTED]
    return [
        _one(*row)
        for row in zip(
            codes.tolist(),
            np.take_along_axis(totals, codes, axis=1).tolist(),
            contributions.tolist(),
            known.tolist() if listed is None else listed,
            natural(m),
            bias.tolist(),
            log_odds.tolist(),
            strict=True,
        )
    ]


def _one(
    codes: list[int],
    totals: list[float],
    row: list[float],
    values: list[float],
    peers: Floats,
    bias: float,
    log_odds: float,
) -> Explanation:
    listed = 0.0
    protective = []
    for place in range(PROTECTIVE_MAX):
        if (total := totals[place]) > -LEAST:
            break
        listed += total
        protective.append(_reason(codes[place], total, row, values, peers))
    raising = []
    for place in range(PROTECTIVE_MAX, PROTECTIVE_MAX + RAISING_MAX):
        if (total := totals[place]) < LEAST:
            break
        listed += total
        raising.append(_reason(codes[place], total, row, values, peers))
    if not raising:
        raising.append(_nothing_known(values))
    return Explanation(raising, protective, log_odds - bias - listed, bias, log_odds)


def _reason(code: int, total: float, row: list[float], values: list[float], peers: Floats) -> Reason:
    """One code's reason, told by the loudest of its features.

    Preferred is one that is at least half as loud and compares with the customer's own baseline, else one that
    compares with the others.
    """
    raising = total > 0.0
    told, least, looked = None, 0.0, 0
    for i in sorted((_MEMBERS if raising else _MEMBERS_BACK)[code], key=row.__getitem__, reverse=raising):
        loud = row[i] if raising else -row[i]
        if loud <= least or looked == CANDIDATES:
            break
        if values[i] != values[i]:
            continue  # counted as LOW_EVIDENCE
        looked += 1
        found = render(i, values, peers, raising)
        if told is None:
            told, least = found, 0.5 * loud
        elif told.baseline is None and found.baseline is not None:
            told = found
        if found.own:
            told = found
            break
    if told is None:  # what is missing speaks
        sign = 1.0 if raising else -1.0
        told = render(
            max(range(len(row)), key=lambda i: row[i] * sign if values[i] != values[i] else 0.0), values, peers
        )
    sentence, feature, value, baseline, _ = told
    return Reason(CODES[code], sentence, feature, value, baseline, total)


def _nothing_known(values: list[float]) -> Reason:
    """Nothing that the customer did stands out: the probability is what everybody's like them is, and that is said."""
    known = values[_TENURE]
    sentence = "nothing in the customer's behaviour stands out"
    return Reason(LOW_EVIDENCE, sentence, "tenure_days", None if known != known else known, None, 0.0)


def with_reason(
    found: Explanation, code: str, index: int, values: list[float], peers: Floats, first: bool
) -> Explanation:
    """An explanation in which a rule's reason is listed, whatever the model makes of it.

    Args:
        code: The reason.
        index: Of the feature that tells it.
        values, peers: The customer's features and the population's level, natural units (d).
        first: It comes before all others.
    """
    raising = [reason for reason in found.raising if reason.code != code and reason.contribution]
    mine = [reason for reason in found.raising if reason.code == code]
    if not mine:  # what the model makes of it is part of the rest, or protects
        sentence, feature, value, baseline, _ = render(index, values, peers)
        mine = [Reason(code, sentence, feature, value, baseline, 0.0)]
    elif not first:
        return found
    return msgspec.structs.replace(found, raising=mine + raising if first else raising + mine)


def _unknown(values: Floats, contributions: Floats) -> NDArray[np.bool_]:
    """Whether LOW_EVIDENCE may be a reason: little is known of the customer, or what is missing spoke.

    Else features under this code (how long somebody is known, say) are context, and count in the rest.
    """
    low = ~(values[:, _TENURE] >= LOW_DAYS) | (values[:, _NO_RHYTHM] > 0.5)
    missing: NDArray[np.bool_] = (np.isnan(values) & (contributions != 0.0)).any(axis=1)
    return low | missing


def silent(contributions: Floats, x: Floats) -> list[bool]:
    """Whether the main reason of each of n scores is one that a feed which stopped for everybody would give too.

    What `Explanation.silent` says, without the sentences.
    """
    if not len(x):
        return []
    totals = by_code(contributions, x)
    totals[~_unknown(natural(x), contributions), _LOW] = -np.inf
    # the last of equals, as in `explain`
    main = len(CODES) - 1 - np.argmax(totals[:, ::-1], axis=1)
    loud = totals[np.arange(len(x)), main] >= LEAST
    return (loud & _SILENT[main]).tolist()


def evidence(values: Floats, trust: float) -> list[str]:
    """How much stands behind each of n scores, from `natural` features (n, d): "low", "medium" or "high".

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
