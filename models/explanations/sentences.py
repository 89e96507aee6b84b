"""Plain words for a feature's value against the customer's own baseline: what a reason says to a person.

A sentence states facts only (the value, what is usual for this customer, else where customers stand now), so it is
true whichever way the model's weight points. No text of an event ever enters it. A feature without a wording here is
told by its sentence in the catalogue, so adding a feature needs no entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.explanations.wording import NAN, STANDS_FOR, WORDINGS, FeatureLookup, Wording, figure, flag, percent
from models.features.catalogue import FEATURES, NAMES, Feature

Floats = NDArray[np.float64]
DIGITS: Final = 4  # of a natural value: a quarter of an hour is .0104 of a day
SAME: Final = 0.1  # within 10 % of the baseline is as usual
REMEMBERED: Final = 65_536  # sentences, some 300 bytes each; four of five are said again within minutes

_INDEX: Final = {name: i for i, name in enumerate(NAMES)}
_LOG: Final = np.flatnonzero([f.transform == "log" for f in FEATURES])


def _factor(feature: Feature) -> float:
    """Shares of a window are told in the window's unit: 3 of 7 days, not 0.43."""
    tail = feature.name.rpartition("_")[2]
    counted = feature.transform == "share" and feature.unit in ("days", "weeks") and tail.isdigit()
    return float(tail) if counted else 1.0


_FACTORS: Final = np.array([_factor(f) for f in FEATURES])


def natural(x: Floats) -> Floats:
    """Features (n, d) in the catalogue's units again, rounded to `DIGITS`; NaN stays NaN.

    >>> row = np.full((1, len(NAMES)), np.nan)
    >>> row[0, NAMES.index("recency_days")] = np.log1p(11.0)
    >>> natural(row)[0, NAMES.index("recency_days")]
    np.float64(11.0)
    """
    values = x * _FACTORS
    values[:, _LOG] = np.expm1(x[:, _LOG])
    return np.round(values, DIGITS) + 0.0  # no -0


def _fallback(feature: Feature) -> Wording:
    if feature.transform == "flag":
        return flag(feature.sentence, f"does not hold: {feature.sentence}")
    how = percent if feature.transform == "share" and feature.unit == "share" else figure
    return Wording(lambda f, v: f"{feature.sentence}: {how(v)}", None, how, peers=feature.relative)


_BY_INDEX: Final = tuple(WORDINGS.get(f.name) or _fallback(f) for f in FEATURES)
_COMPARES: Final = tuple(w.peers and f.relative for w, f in zip(_BY_INDEX, FEATURES, strict=True))
_READS: Final = tuple(tuple(_INDEX[name] for name in w.reads) for w in _BY_INDEX)
_TOLD_BY: Final = tuple(_INDEX.get(STANDS_FOR.get(name, name), i) for i, name in enumerate(NAMES))


class RenderedReason(NamedTuple):
    """A feature in words, and the figures that the words are about."""

    sentence: str
    feature: str
    value: float | None
    baseline: float | None
    own: bool = False  # the baseline is the customer's


def render(
    index: int, values: Sequence[float], peers: Sequence[float] | Floats, raising: bool = True
) -> RenderedReason:
    """One feature of one customer in plain words.

    Compared with the customer's own baseline, or else with where customers stand now, whichever speaks for the
    reason: for one that raises the risk a value worse than the baseline, for a protective one a better value.

    Args:
        index: Which feature of the catalogue.
        values: The customer's features in natural units (d), see `natural`.
        peers: Where customers stand now (d), natural units; NaN where unknown.
        raising: Whether the reason raises the risk.
    """
    told_by = _TOLD_BY[index]
    value = values[told_by]
    if value != value:
        told_by, value = index, values[index]
    if value != value:
        return RenderedReason(f"not known: {FEATURES[told_by].sentence}", NAMES[told_by], None, None)
    # one and the same NaN, which equals itself where it is looked up
    read = tuple([v if (v := values[i]) == v else NAN for i in reads]) if (reads := _READS[told_by]) else ()
    peer = NAN
    if _COMPARES[told_by]:
        known = float(peers[told_by])
        peer = known if known == known else NAN
    return _told(told_by, value, read, peer, raising)


@lru_cache(maxsize=REMEMBERED)
def _told(told_by: int, value: float, read: tuple[float, ...], peer: float, raising: bool) -> RenderedReason:
    """What `render` says: a function of what the wording reads, and customers often say the same."""
    name = NAMES[told_by]
    say, own_of, show, usual, worse, _, compare, reads = _BY_INDEX[told_by]
    facts = FeatureLookup(dict(zip(reads, read, strict=True)))
    side = worse if raising else -worse
    if own_of is not None:
        own = own_of(facts)
        if own == own and (not side or side * (value - own) > SAME * abs(own)):
            said = compare(facts, value) if compare is not None else f"{say(facts, value)}; {usual} {show(own)}"
            return RenderedReason(said, name, value, round(own, DIGITS), True)
    if peer == peer and (not side or side * (value - peer) > SAME * abs(peer)):
        return RenderedReason(f"{say(facts, value)}; the average customer now {show(peer)}", name, value, peer)
    return RenderedReason(say(facts, value), name, value, None)
