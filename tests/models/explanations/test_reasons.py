"""Reasons: plain words about the customer's own baseline, and contributions that add up to the log-odds."""

from __future__ import annotations

import doctest
from types import ModuleType

import numpy as np
import pytest

from models.events.event import Event
from models.explanations import reasons, sentences
from models.explanations import wording as wordings
from models.explanations.reasons import (
    CODES,
    PLAYBOOKS,
    PROTECTIVE_MAX,
    RAISING_MAX,
    Explanation,
    by_code,
    evidence,
    explain,
    playbook,
    silent,
)
from models.explanations.sentences import _told, natural, render
from models.explanations.wording import STANDS_FOR, WORDINGS
from models.features.catalogue import FEATURES, NAMES, features
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import ProcessingState, Profile

D = len(FEATURES)
I = {name: i for i, name in enumerate(NAMES)}  # noqa: E741
START = 1_600_000_000_000 // DAY_MS * DAY_MS
STABLE_CODES = {
    "SILENCE",
    "USAGE_DROP",
    "DEPTH_DROP",
    "FEATURE_ABANDONED",
    "RHYTHM_BROKEN",
    "ONBOARDING_STALLED",
    "TRIAL_ENDING_INACTIVE",
    "PAYMENT_FAILED",
    "CARD_EXPIRING",
    "DOWNGRADE",
    "CANCEL_INTENT",
    "RENEWAL_NEAR_LOW_USE",
    "TICKET_SURGE",
    "TICKET_REOPENED",
    "SLOW_SUPPORT",
    "CSAT_DETRACTOR",
    "NPS_DETRACTOR",
    "NEGATIVE_REVIEW",
    "BARRIER_REPEATED",
    "EMAIL_DISENGAGED",
    "UNSUBSCRIBED",
    "SEATS_SHRINKING",
    "CHAMPION_LEFT",
    "REFERRALS_STOPPED",
    "REFUND",
    "LOW_EVIDENCE",
}


def known(**values: float) -> np.ndarray:
    """One row of features from values in natural units, everything else missing."""
    row = np.full((1, D), np.nan)
    for name, value in values.items():
        i = I[name]
        row[0, i] = np.log1p(value) if FEATURES[i].transform == "log" else value / sentences._FACTORS[i]
    return row


def explained(contributions: dict[str, float], x: np.ndarray, m: np.ndarray | None = None) -> Explanation:
    row = np.zeros((1, D))
    for name, value in contributions.items():
        row[0, I[name]] = value
    log_odds = np.array([row.sum() - 2.0])
    return explain(row, np.array([-2.0]), log_odds, x, np.full((1, D), np.nan) if m is None else m)[0]


def said(name: str, m: np.ndarray | None = None, **values: float) -> str:
    return explained({name: 1.0}, known(**values), m).raising[0].sentence


@pytest.mark.parametrize("module", [reasons, sentences, wordings], ids=lambda m: m.__name__)
def test_the_examples_in_the_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_silence_is_told_against_the_customers_own_gap() -> None:
    assert said("recency_days", recency_days=11, gap_mean_days=2.1) == "quiet for 11 days; usual gap 2.1"
    assert said("silent_share", silent_share=0.3, recency_days=11) == "quiet for 11 days"
    assert said("order_recency_days", order_recency_days=60, order_gap_days=20) == "no order for 60 days; usual gap 20"
    assert said("never_engaged", never_engaged=1) == "has never done anything"


def test_each_kind_of_reason_has_words_of_its_own() -> None:
    assert said("payments_failed_30", payments_failed_30=3) == "3 payments failed in 30 days"
    assert said("payments_failed_30", payments_failed_30=1) == "1 payment failed in 30 days"
    assert said("breadth_30", breadth_30=4, breadth_drop=5) == "used 4 of the 9 features of 90 days"
    assert said("breadth_drop", breadth_drop=5) == "5 features not used for 30 days or more"
    assert said("overdue_ratio", overdue_ratio=5.2, gap_mean_days=2.1) == "away 5.2 times the usual gap of 2.1 days"
    assert said("streak_broken", streak_broken=1, streak_days=9) == "a run of 9 active days has ended"
    assert said("cancel_scheduled", cancel_scheduled=1) == "a cancellation is scheduled"
    assert said("card_expires_in_days", card_expires_in_days=6) == "card expiry in 6 days"
    assert said("card_expires_in_days", card_expires_in_days=-6) == "card expiry was 6 days ago"
    assert said("csat_last", csat_last=0.2, csat_mean=0.7) == "last satisfaction answer 20 %; usual 70 %"
    assert said("nps_last", nps_last=0.3) == "would recommend us: 3 out of 10"
    assert said("no_rhythm", no_rhythm=1) == "too few active days to know a rhythm"


def test_a_rate_is_told_against_the_own_pace_once_that_is_known() -> None:
    busy = {"events_7d": 4.0, "events_90d": 180.0, "tenure_days": 300.0}
    assert said("events_7d", **busy) == "4 events in 7 days; usual 14"
    assert said("events_7d", **{**busy, "tenure_days": 5.0}) == "4 events in 7 days", "five days are no habit"
    few = {"active_days_7": 2.0, "active_days_90": 66.0, "tenure_days": 90.0}
    assert said("active_days_7", **few) == "active on 2 of the last 7 days; usual 5.1"


def test_a_rate_as_usual_is_told_against_the_others() -> None:
    m = known(events_7d=30.0)
    usual = {"events_7d": 14.0, "events_90d": 180.0, "tenure_days": 300.0}
    assert said("events_7d", m, **usual) == "14 events in 7 days; the average customer now 30"


def test_value_and_baseline_are_those_of_the_sentence() -> None:
    reason = explained({"silent_share": 1.0}, known(silent_share=0.3, recency_days=11, gap_mean_days=2.1)).raising[0]
    assert (reason.feature, reason.value, reason.baseline) == ("recency_days", 11.0, 2.1)


def test_contributions_of_one_code_are_one_reason_and_the_loudest_tells_it() -> None:
    x = known(payments_failed_30=2, dunning_open=1, recency_days=3, tenure_days=20)
    found = explained({"payments_failed_30": 0.4, "dunning_open": 0.6, "recency_days": 0.3, "tenure_days": -0.5}, x)
    assert [(r.code, round(r.contribution, 9)) for r in found.raising] == [("PAYMENT_FAILED", 1.0), ("SILENCE", 0.3)]
    assert found.raising[0].feature == "dunning_open"
    assert not found.protective, "how long somebody is known is context: it counts in the rest"
    assert found.rest == pytest.approx(-0.5)
    assert playbook(found) == "recover_payment"
    assert not found.silent


def test_silence_as_the_main_reason_is_marked_so_that_a_silent_feed_can_hold_it() -> None:
    assert explained({"recency_days": 1.0, "mrr": 0.5}, known(recency_days=3, mrr=20)).silent
    assert not explained({"recency_days": 0.4, "mrr": 0.5}, known(recency_days=3, mrr=20)).silent


def test_what_a_missing_value_adds_is_low_evidence() -> None:
    found = explained({"csat_mean": 0.7, "nps_last": 0.2}, known(tenure_days=3))
    assert [(r.code, round(r.contribution, 9)) for r in found.raising] == [("LOW_EVIDENCE", 0.9)]
    assert found.raising[0].sentence == "not known: satisfaction, shrunk mean"
    assert found.raising[0].value is None


def test_low_evidence_is_a_reason_only_where_little_is_known() -> None:
    assert explained({"no_rhythm": 0.5}, known(no_rhythm=1, tenure_days=90)).raising[0].sentence == (
        "too few active days to know a rhythm"
    )
    settled = explained({"tenure_days": 0.5}, known(no_rhythm=0, tenure_days=90)).raising[0]
    assert (settled.code, settled.contribution) == ("LOW_EVIDENCE", 0.0)
    assert settled.sentence == "nothing in the customer's behaviour stands out"


def test_a_comparison_that_says_the_opposite_is_left_out() -> None:
    """More than usual is no drop, whatever the weight says; for a protective reason it is worth saying."""
    better = {"events_30d": 20.0, "events_90d": 30.0, "tenure_days": 90.0}
    assert said("events_30d", **better) == "20 events in 30 days"
    row = explained({"events_30d": -1.0}, known(**better)).protective[0]
    assert row.sentence == "20 events in 30 days; usual 10"


def test_a_feature_that_shows_the_change_is_preferred_to_a_louder_one_that_does_not() -> None:
    x = known(events_90d=90.0, events_7d=1.0, tenure_days=90.0)
    assert explained({"events_90d": 0.5, "events_7d": 0.4}, x).raising[0].sentence == "1 event in 7 days; usual 7"
    assert explained({"events_90d": 0.5, "events_7d": 0.1}, x).raising[0].sentence == "90 events in 90 days"


def test_without_any_reason_that_is_said() -> None:
    found = explained({}, known(tenure_days=3))
    assert [(r.code, r.contribution) for r in found.raising] == [("LOW_EVIDENCE", 0.0)]
    assert found.log_odds == found.bias + found.rest


def some_rows(n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, D))
    x[rng.uniform(size=x.shape) < 0.3] = np.nan
    m = np.where(rng.uniform(size=x.shape) < 0.1, np.nan, rng.uniform(0, 1, (n, D)))
    contributions = np.where(np.isnan(x), 0.0, rng.normal(0, 0.5, (n, D)))
    bias = np.full(n, -1.3)
    return contributions, bias, np.add.reduce(contributions, axis=1) + bias, x, m


def test_listed_rest_and_bias_add_up_to_the_log_odds() -> None:
    for found in explain(*some_rows(200)):
        assert 1 <= len(found.raising) <= RAISING_MAX
        assert len(found.protective) <= PROTECTIVE_MAX
        listed = [r.contribution for r in (*found.raising, *found.protective)]
        assert sum(listed) + found.rest + found.bias == pytest.approx(found.log_odds, abs=1e-9)
        assert all(r.contribution > 0 for r in found.raising)
        assert all(r.contribution < 0 for r in found.protective)
        sizes = [r.contribution for r in found.raising]
        assert sizes == sorted(sizes, reverse=True)


def test_a_row_has_the_same_reasons_in_any_batch() -> None:
    rows = some_rows(500)
    whole = explain(*rows)
    for size in (1, 3, 17):
        parts = [e for i in range(0, 102, size) for e in explain(*(a[i : i + size] for a in rows))]
        assert parts[:102] == whole[:102]
    np.testing.assert_array_equal(by_code(rows[0], rows[3])[7:8], by_code(rows[0][7:8], rows[3][7:8]))


def test_reasons_of_a_model_add_up_too() -> None:
    model = Model(FeatureSpace(NAMES, tuple(f.relative for f in FEATURES), "test"))
    _, _, _, x, m = some_rows(300, seed=1)
    rng = np.random.default_rng(2)
    for i in range(200):
        model.learn(x[i], m[i], bool(rng.uniform() < 0.3), i // 20, 0.3, (0.3, 0.3, 0.3))
    scores = model.scorer().score(x[200:], m[200:])
    for i, found in enumerate(explain(scores.contributions(), scores.bias(), scores.log_odds, x[200:], m[200:])):
        listed = [r.contribution for r in (*found.raising, *found.protective)]
        assert sum(listed) + found.rest + found.bias == pytest.approx(scores.log_odds[i], abs=1e-9)


def test_codes_are_the_stable_ones_and_each_has_a_playbook() -> None:
    assert set(CODES) <= STABLE_CODES
    assert set(PLAYBOOKS) == STABLE_CODES


def test_every_wording_belongs_to_a_feature_and_reads_for_any_value() -> None:
    """A feature that is gone leaves no dead words behind; and none fails where its companions are missing."""
    assert set(WORDINGS) <= set(NAMES)
    assert set(STANDS_FOR) | set(STANDS_FOR.values()) <= set(NAMES)
    nothing = [float("nan")] * D
    for i, feature in enumerate(FEATURES):
        for raw in (0.0, 0.5, 1.0, 4.0, 9.0, -2.0):
            if feature.transform in ("share", "flag"):
                raw = min(max(raw, 0.0), 1.0)
            for peers in (nothing, [0.5] * D):
                row = np.full((1, D), np.nan)
                row[0, i] = raw
                values = natural(row)[0].tolist()
                told = render(i, values, peers)
                assert told.sentence, feature.name
                assert "nan" not in told.sentence, told.sentence
                assert len(told.sentence) < 120


def test_a_sentence_said_before_is_the_one_said_anew() -> None:
    """Rule: what is remembered is a function of all that the wording reads: no other customer's figures are told."""
    rng = np.random.default_rng(7)
    rows = rng.choice([0.0, 0.4, 1.0, 2.0, 3.5, 40.0, 200.0, np.nan], size=(40, len(NAMES)))
    peers = rng.choice([0.5, 2.0, np.nan], size=len(NAMES))
    told = [render(i, row.tolist(), peers, up) for row in rows for i in range(len(NAMES)) for up in (True, False)]
    again = []
    for row in rows:
        for i in range(len(NAMES)):
            for up in (True, False):
                _told.cache_clear()
                again.append(render(i, row.tolist(), peers, up))
    assert told == again
    assert any(one.own for one in told)


def test_a_feature_without_a_wording_is_told_by_the_catalogue() -> None:
    for feature in FEATURES:
        wording = sentences._fallback(feature)
        assert feature.sentence in wording.say(wordings.FeatureLookup([1.0] * D), 1.0)


def test_no_text_of_an_event_enters_a_sentence() -> None:
    """Names, plans and tags of a customer are in the profile and in no sentence."""
    profile = Profile(processing=ProcessingState(), matched=[0])
    secret = "Jane Doe, +49 170 1234567"
    events = [
        Event("jane@example.org", "Feature Used", START, 1, {"feature": secret}, False, False),
        Event("jane@example.org", "identify", START, 2, {"plan": secret, "segment": secret}, False, False),
        Event("jane@example.org", "Payment Failed", START + DAY_MS, 3, {"reason": secret}, False, False),
    ]
    for event in events:
        apply(profile, event)
    x = features([profile], [START + 9 * DAY_MS])
    contributions = np.where(np.isnan(x), 0.0, 1.0)
    found = explain(contributions, np.zeros(1), contributions.sum(axis=1), x, np.full_like(x, np.nan))[0]
    for reason in (*found.raising, *found.protective):
        assert "jane" not in reason.sentence.lower()
        assert "doe" not in reason.sentence.lower()


def test_natural_values_are_in_the_units_of_the_catalogue() -> None:
    x = known(recency_days=11.0, active_days_7=3.0, active_weeks_12=5.0, silent_share=0.25)
    values = natural(x)
    assert [values[0, I[n]] for n in ("recency_days", "active_days_7", "active_weeks_12", "silent_share")] == [
        11.0, 3.0, 5.0, 0.25,
    ]  # fmt: skip


def test_evidence_grows_with_time_activity_and_labels() -> None:
    new = natural(known(tenure_days=3.0, no_rhythm=0.0))
    odd = natural(known(tenure_days=100.0, no_rhythm=1.0))
    settled = natural(known(tenure_days=100.0, no_rhythm=0.0, active_days_90=40.0))
    assert evidence(np.concatenate([new, odd, settled]), 0.9) == ["low", "low", "high"]
    assert evidence(settled, 0.1) == ["medium"]


def test_silence_as_the_main_reason_is_known_without_the_sentences() -> None:
    """Rule: `silent` says of every row what the row's explanation says."""
    rng = np.random.default_rng(4)
    shape = (400, len(NAMES))
    x = np.where(rng.random(shape) < 0.2, np.nan, rng.normal(size=shape))
    contributions = np.where(rng.random(shape) < 0.7, 0.0, rng.normal(size=shape) / 4)
    explained = explain(contributions, np.zeros(400), np.zeros(400), x, np.full(shape, np.nan))
    said = silent(contributions, x)
    assert said == [one.silent for one in explained]
    assert 0 < sum(said) < 400
