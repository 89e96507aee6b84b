"""Laws of reasons over the whole catalogue: code, value, sentence and direction agree for every feature and both signs.

Values go through each feature's range (missing, 0, below and above the own baseline and the level of others).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.explanations.codes import RISKS, STRENGTHS
from models.explanations.feature_wordings import WORDINGS
from models.explanations.reasons import Explanation, Reason, explain
from models.explanations.sentences import natural
from models.explanations.sides import sides
from models.features.catalogue import FEATURES, NAMES

D = len(FEATURES)
I = {name: i for i, name in enumerate(NAMES)}  # noqa: E741
MOST_OF_LOG = 6.0  # e^6 - 1 = 402 of a unit: larger values read alike
NOUN = "day|hour|minute|event|feature|goal|ticket|payment|error|referral|barrier|review|downgrade"
PLURAL = re.compile(rf"(?<![\d.,])1 ({NOUN})s\b")
SINGULAR = re.compile(rf"(?<![\d.,])(?!1 )[\d.,]+ ({NOUN})\b")
EVENTS = tuple(name for name, wording in WORDINGS.items() if wording.events)


def bounds(index: int) -> tuple[float, float]:
    transform = FEATURES[index].transform
    if transform.startswith("clip:"):
        low, high = transform.removeprefix("clip:").split(",")
        return float(low), float(high)
    return (0.0, MOST_OF_LOG) if transform == "log" else (0.0, 1.0)


def rows(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, levels and contributions of n customers, as the catalogue bounds them."""
    rng = np.random.default_rng(seed)
    low, high = np.array([bounds(i) for i in range(D)]).T
    x = low + (high - low) * rng.choice([0.0, 0.1, 0.3, 0.5, 0.8, 1.0], size=(n, D))
    flags = np.array([f.transform == "flag" for f in FEATURES])
    x[:, flags] = np.round(x[:, flags])
    counts = np.array([f.transform == "log" for f in FEATURES])
    x[:, counts] = np.log1p(np.round(np.expm1(x[:, counts])))
    x[rng.random((n, D)) < 0.2] = np.nan
    m = np.where(rng.random((n, D)) < 0.2, np.nan, low + (high - low) * rng.random((n, D)))
    contributions = np.where(rng.random((n, D)) < 0.6, 0.0, rng.normal(size=(n, D)))
    return x, m, np.where(np.isnan(x), 0.0, contributions)


def explained(x: np.ndarray, m: np.ndarray, contributions: np.ndarray) -> list[Explanation]:
    bias = np.full(len(x), -2.0)
    return explain(contributions, bias, contributions.sum(axis=1) + bias, x, m)


def alone(index: int, seed: int) -> Iterator[tuple[Reason, bool, list[float]]]:
    """Reasons of customers to whose scores one feature alone contributes, with each sign."""
    x, m, _ = rows(seed, 60)
    for sign in (1.0, -1.0):
        contributions = np.zeros_like(x)
        contributions[:, index] = np.where(np.isnan(x[:, index]), 0.0, sign)
        for values, found in zip(natural(x).tolist(), explained(x, m, contributions), strict=True):
            for reason in (*found.raising, *found.protective):
                if reason.contribution:
                    yield reason, reason.contribution > 0.0, values


@pytest.mark.parametrize("index", range(D), ids=NAMES)
def test_code_value_and_sentence_agree_with_the_direction(index: int) -> None:
    """Rule: a reason has a code only if its value lies on that code's side, for every feature and both signs."""
    for reason, raising, values in alone(index, seed=index):
        wording = WORDINGS[reason.feature]
        assert reason.code in (RISKS if raising else STRENGTHS), reason
        assert reason.code in (wording.code, wording.peer_code, wording.strength), reason
        assert reason.value is not None
        assert reason.value == values[I[reason.feature]]
        within = wording.at_risk if raising else wording.safe
        assert within.low <= reason.value <= within.high, reason
        if reason.baseline is not None and wording.named is None:
            worse = wording.worse * (reason.value - reason.baseline)
            assert worse > 0.0 if raising else worse < 0.0, reason
        for needs in [wording.risk_needs if raising else wording.safe_needs]:
            assert needs is None or needs.low <= values[I[needs.name]] <= needs.high, reason


@pytest.mark.parametrize("index", range(D), ids=NAMES)
def test_sentences_are_short_and_grammatical(index: int) -> None:
    """Rule: a capital first, no double space, percent without a space, the singular for 1, and no NaN."""
    for reason, _, _ in alone(index, seed=1000 + index):
        sentence = reason.sentence
        assert re.match(r"[A-Z0-9<]", sentence), sentence
        assert sentence == " ".join(sentence.split()), sentence
        assert not re.search(r" %|nan\b", sentence.lower()), sentence
        assert not PLURAL.search(sentence), sentence
        assert not SINGULAR.search(sentence), sentence
        assert sentence.count(";") <= 1, sentence
        assert len(sentence) <= 110, sentence
        assert not sentence.endswith("."), sentence


@pytest.mark.parametrize("name", EVENTS)
def test_no_activity_raises_the_risk_only_where_at_least_three_events_are_usual(name: str) -> None:
    """Rule: none where two are usual is chance."""
    x, m, _ = rows(7, 400)
    x[:, I[name]] = 0.0
    contributions = np.zeros_like(x)
    contributions[:, I[name]] = 1.0
    listed = [reason for found in explained(x, m, contributions) for reason in found.raising if reason.contribution]
    assert listed, "some have a baseline of three"
    assert all(reason.baseline is not None and reason.baseline >= 3.0 for reason in listed)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_reasons_and_rest_and_bias_add_up_to_the_log_odds(seed: int) -> None:
    """Rule: explanations are additive; points have the sign of the contribution and stay within 100."""
    for found in explained(*rows(seed, 20)):
        reasons = [*found.raising, *found.protective]
        total = sum(reason.contribution for reason in reasons) + found.rest + found.bias
        assert total == pytest.approx(found.log_odds, abs=1e-9)
        for reason in reasons:
            assert -100.0 <= reason.points <= 100.0
            assert reason.points * reason.contribution >= 0.0


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 17]))
@settings(max_examples=15, deadline=None)
def test_a_customer_has_the_same_reasons_in_any_batch(seed: int, size: int) -> None:
    """Rule: a row's explanation is a function of the row."""
    x, m, contributions = rows(seed, 34)
    parts = [
        found
        for start in range(0, 34, size)
        for found in explained(*(each[start : start + size] for each in (x, m, contributions)))
    ]
    assert parts == explained(x, m, contributions)


def test_a_side_is_a_matter_of_the_value_and_not_of_the_contribution() -> None:
    """Rule: a feature lies on one side, so what raises the risk and what protects never cite the same value."""
    x, m, contributions = rows(3, 300)
    for found in explained(x, m, contributions):
        assert not {r.feature for r in found.raising} & {r.feature for r in found.protective}
    decided = sides(natural(x), natural(m)).decided
    assert set(np.unique(decided)) <= {-3, -2, -1, 0, 1, 2, 3}
    assert not decided[np.isnan(x) & ~np.isin(np.arange(D), [I[name] for name in NAMES if name not in WORDINGS])].any()
