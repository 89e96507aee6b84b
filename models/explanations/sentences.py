"""Sentences: a feature's value, with its unit and baseline, in plain English.

A sentence names the customer's own baseline, or else the level of other customers, and agrees with the direction of its
reason. No text of an event ever enters it. The words are in `models.explanations.feature_wordings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.explanations.sides import BY_INDEX, NO_BASELINE, OWN, PEERS
from models.explanations.wording import NAN, UNPAID_DAYS, FeatureLookup
from models.features.catalogue import FEATURES, NAMES, Feature

Floats = NDArray[np.float64]
DIGITS: Final = 4  # of a natural value: a quarter of an hour is .0104 of a day
LEVEL_DIGITS: Final = 2  # of a transformed level: 1% of a count; levels move with every snapshot, sentences do not
REMEMBERED: Final = 65_536  # sentences, some 500 bytes each with their key: 31 MiB; four of five recur within minutes

_FACTS: Final = {name: i for i, name in enumerate((*NAMES, UNPAID_DAYS))}
_LOG: Final = np.flatnonzero([f.transform == "log" for f in FEATURES])


def _factor(feature: Feature) -> float:
    """Shares of a window are rendered in the window's unit: 3 of 7 days, not 0.43."""
    tail = feature.name.rpartition("_")[2]
    counted = feature.transform == "share" and feature.unit in ("days", "weeks") and tail.isdigit()
    return float(tail) if counted else 1.0


_FACTORS: Final = np.array([_factor(f) for f in FEATURES])
_READS: Final = tuple(tuple(_FACTS[name] for name in w.reads) for w in BY_INDEX)


def natural(x: Floats) -> Floats:
    """Features (n, d) in the catalogue's units, rounded to `DIGITS`; NaN stays NaN.

    >>> row = np.full((1, len(NAMES)), np.nan)
    >>> row[0, NAMES.index("recency_days")] = np.log1p(11.0)
    >>> natural(row)[0, NAMES.index("recency_days")]
    np.float64(11.0)
    """
    values = x * _FACTORS
    values[:, _LOG] = np.expm1(x[:, _LOG])
    return np.round(values, DIGITS) + 0.0  # no -0


def natural_levels(m: Floats) -> Floats:
    """Levels of other customers (n, d) in the catalogue's units, to about 1%."""
    return natural(np.round(m, LEVEL_DIGITS))


class RenderedReason(NamedTuple):
    """A feature in words, and the figures that the words are about."""

    code: str
    sentence: str
    feature: str
    value: float | None
    baseline: float | None


_UNKNOWN: Final = RenderedReason("LOW_EVIDENCE", "Too little is known of this customer so far", "no_rhythm", None, None)


def render(
    index: int, values: Sequence[float], basis: int, baseline: float, raising: bool, unpaid_days: float = NAN
) -> RenderedReason:
    """One feature of one customer as a reason.

    Args:
        index: The feature's place in the catalogue; -1 for a reason of which only missing values are known.
        values: The customer's features in natural units (d), see `natural`.
        basis: What decided the side: `OWN`, `PEERS` or `NO_BASELINE` (`models.explanations.sides`).
        baseline: What the value is compared with; not read with `NO_BASELINE`.
        raising: The reason raises the risk.
        unpaid_days: Days since the first failure of the payment that is unpaid; NaN for unknown.
    """
    if index < 0:
        return _UNKNOWN
    read: tuple[float, ...] = ()
    if reads := _READS[index]:
        read = tuple([_same(values[i] if i < len(values) else unpaid_days) for i in reads])
    return _rendered(index, values[index], read, basis, baseline if basis else NAN, raising)


def _same(value: float) -> float:
    """One and the same NaN, which equals itself where it is looked up."""
    return value if value == value else NAN


@lru_cache(maxsize=REMEMBERED)
def _rendered(
    index: int, value: float, read: tuple[float, ...], basis: int, baseline: float, raising: bool
) -> RenderedReason:
    """`render` as a function of all that the words read: customers often share a sentence."""
    wording = BY_INDEX[index]
    facts = FeatureLookup(dict(zip(wording.reads, read, strict=True)))
    render_value = wording.risk if raising else wording.healthy or wording.risk
    assert render_value is not None, NAMES[index]
    sentence, code = render_value(facts, value), wording.code if raising else wording.strength
    compared = baseline
    if basis == OWN and wording.own_words is not None:
        sentence = f"{sentence}; {wording.own_words(baseline)}"
    elif basis == PEERS:
        assert wording.peer_words is not None
        sentence = f"{sentence}; {wording.peer_words(baseline)}"
        code = (raising and wording.peer_code) or code
    elif basis == NO_BASELINE and raising and wording.named is not None:
        compared = wording.named(facts)
    published = None if compared != compared else round(compared, DIGITS)
    return RenderedReason(code, sentence, NAMES[index], value, published)
