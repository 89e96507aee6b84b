"""Reasons: plain English against the customer's own baseline, and contributions that add up to the log-odds."""

from __future__ import annotations

import doctest
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from models.events.event import Event
from models.explanations import codes, feature_wordings, figures, reasons, sentences, sides, silence, wording
from models.explanations.codes import CODES, PLAYBOOKS, RISKS, STRENGTHS
from models.explanations.feature_wordings import RENDERED_AS, WORDINGS
from models.explanations.reasons import (
    PROTECTIVE_MAX,
    RAISING_MAX,
    Explanation,
    evidence,
    explain,
    playbook,
    with_reason,
)
from models.explanations.sentences import _rendered, natural
from models.explanations.silence import by_topic, silent
from models.explanations.wording import UNPAID_DAYS
from models.features.catalogue import FEATURES, NAMES, features
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import ProcessingState, Profile

MODULES = (codes, feature_wordings, figures, reasons, sentences, sides, silence, wording)
D = len(FEATURES)
I = {name: i for i, name in enumerate(NAMES)}  # noqa: E741
START = 1_600_000_000_000 // DAY_MS * DAY_MS


def known(**values: float) -> np.ndarray:
    """One row of features from values in natural units, everything else missing."""
    row = np.full((1, D), np.nan)
    for name, value in values.items():
        i = I[name]
        row[0, i] = np.log1p(value) if FEATURES[i].transform == "log" else value / sentences._FACTORS[i]
    return row


def explained(
    contributions: dict[str, float], x: np.ndarray, m: np.ndarray | None = None, unpaid_days: float = np.nan
) -> Explanation:
    row = np.zeros((1, D))
    for name, value in contributions.items():
        row[0, I[name]] = value
    log_odds = np.array([row.sum() - 2.0])
    levels = np.full((1, D), np.nan) if m is None else m
    return explain(row, np.array([-2.0]), log_odds, x, levels, unpaid_days=[unpaid_days])[0]


def sentence(name: str, m: Any = None, **values: float) -> str:
    """The sentence of a reason that raises the risk by this feature; "" if it is none."""
    reason = explained({name: 1.0}, known(**values), m).raising[0]
    return reason.sentence if reason.contribution else ""


def strength(name: str, m: Any = None, **values: float) -> str:
    """The sentence of a protective reason by this feature; "" if it is none."""
    protective = explained({name: -1.0}, known(**values), m).protective
    return protective[0].sentence if protective else ""


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_examples_in_docstrings_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


# Sentences -----------------------------------------------------------------------------------------------------------


def test_silence_is_compared_with_the_customers_own_rhythm() -> None:
    quiet = {"recency_days": 14.0, "gap_mean_days": 12.0}
    assert sentence("recency_days", **quiet) == "No activity for 14 days; normally active every 12 days"
    assert sentence("silent_share", silent_share=0.3, **quiet) == sentence("recency_days", **quiet)
    assert sentence("recency_days", recency_days=11, gap_mean_days=12) == "", "within the usual gap"
    assert sentence("recency_days", recency_days=11) == "", "no baseline"
    assert sentence("overdue_ratio", overdue_ratio=4.4, recency_days=11, gap_mean_days=2.1) == (
        "Overdue by 8.9 days; normally active every 2.1 days"
    )
    assert sentence("order_recency_days", order_recency_days=60, order_gap_days=20) == (
        "No order for 60 days; normally orders every 20 days"
    )
    assert sentence("never_engaged", never_engaged=1) == "Never active so far"


def test_each_kind_of_reason_has_words_of_its_own() -> None:
    assert sentence("payments_failed_30", payments_failed_30=3) == "3 payments failed in the last 30 days"
    assert sentence("payments_failed_30", payments_failed_30=1) == "1 payment failed in the last 30 days"
    used = {"breadth_30": 4.0, "breadth_drop": 5.0}
    assert sentence("breadth_30", **used) == "Used 4 features in the last 30 days; 9 in the last 90 days"
    assert sentence("breadth_drop", **used) == "5 of 9 features unused for over 30 days"
    assert sentence("streak_broken", streak_broken=1, streak_days=9) == "A run of 9 active days in a row has ended"
    assert sentence("card_expires_in_days", card_expires_in_days=6) == "Card expires in 6 days"
    assert sentence("card_expires_in_days", card_expires_in_days=-6) == "Card expired 6 days ago"
    assert sentence("csat_last", csat_last=0.2, csat_trend=-0.5) == (
        "Last satisfaction rating 20%; earlier ratings average 70%"
    )
    assert sentence("no_rhythm", no_rhythm=1) == "Too few active days to know what is usual"
    few = known(cancel_scheduled=0.03, tickets_open=0.4, nps_last=0.8)
    assert sentence("cancel_scheduled", few, cancel_scheduled=1) == (
        "Cancellation scheduled; 3% of customers have one scheduled"
    )
    assert sentence("tickets_open", few, tickets_open=3) == "3 tickets open; customers typically have 0.4"
    assert sentence("nps_last", few, nps_last=0.3) == "Last NPS score 3 of 10; customers typically give 8"


def test_unpaid_payment_names_the_days_since_it_failed() -> None:
    x = known(dunning_open=1)
    days = {16.0: " 16 days ago", 1.0: " 1 day ago", 0.0: " today", np.nan: ""}
    for unpaid, when in days.items():
        found = explained({"dunning_open": 1.0}, x, unpaid_days=unpaid).raising[0]
        assert (found.code, found.sentence) == ("PAYMENT_FAILED", f"Last payment failed{when} and is still unpaid")
    found = explained({"dunning_open": 1.0, "recovered_rate": 0.5}, x, known(dunning_open=0.03), 16.0).raising[0]
    assert found.contribution == 1.5
    assert found.sentence == (
        "Last payment failed 16 days ago and is still unpaid; 3% of paying customers have an unpaid payment"
    )


def test_rate_is_compared_with_the_own_pace_once_that_is_known() -> None:
    busy = {"events_7d": 4.0, "events_90d": 180.0, "tenure_days": 300.0}
    assert sentence("events_7d", **busy) == "4 events in the last 7 days; usually 14"
    assert sentence("events_7d", **{**busy, "tenure_days": 5.0}) == "", "five days are no habit"
    few = {"active_days_7": 2.0, "active_days_90": 66.0, "tenure_days": 90.0}
    assert sentence("active_days_7", **few) == "Active on 2 of the last 7 days; usually on 5.1"


def test_usual_rate_is_compared_with_other_customers_under_a_code_of_its_own() -> None:
    """Rule: less than others is low usage and no drop."""
    usual = {"events_7d": 14.0, "events_90d": 180.0, "tenure_days": 300.0}
    reason = explained({"events_7d": 1.0}, known(**usual), known(events_7d=30.0)).raising[0]
    assert (reason.code, reason.sentence) == ("LOW_USAGE", "14 events in the last 7 days; customers typically have 30")


def test_activity_right_now_is_no_reason() -> None:
    assert sentence("events_1h", events_1h=1) == ""


def test_comparison_that_contradicts_the_direction_is_no_reason() -> None:
    """Rule: more than usual is no drop, whatever the weight; as a protective reason it is one."""
    better = {"events_30d": 20.0, "events_90d": 30.0, "tenure_days": 90.0}
    assert sentence("events_30d", **better) == ""
    assert strength("events_30d", **better) == "20 events in the last 30 days; usually 10"
    assert strength("breadth_drop", breadth_drop=5, breadth_30=4) == ""
    assert strength("breadth_drop", breadth_drop=0, breadth_30=4) == "Still uses all 4 features of the last 90 days"
    assert strength("recency_days", recency_days=9, gap_mean_days=20) == "", "quiet for over 7 days"
    assert strength("recency_days", recency_days=2, gap_mean_days=20) == (
        "Last active 2 days ago; normally active every 20 days"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("nps_last", 0.9), ("csat_last", 0.8), ("ces_last", 0.9), ("card_expires_in_days", 61), ("mrr_delta_90", 0.3),
     ("referrals_90", 1), ("gap_sd_days", 9), ("onboarding_share", 0.5), ("sentiment", 0.4)],
)  # fmt: skip
def test_value_on_the_other_side_of_the_code_raises_no_reason(name: str, value: float) -> None:
    """A promoter, a satisfied customer, an easy contact, a valid card, a higher price, a referral."""
    others = {"tenure_days": 300.0, "referrals_converted": 2.0}
    assert sentence(name, known(**{name: value}), **{**others, name: value}) == ""


def test_near_renewal_is_a_reason_only_with_low_use() -> None:
    habit = {"renewal_in_days": 12.0, "active_days_90": 60.0, "tenure_days": 200.0}
    assert sentence("renewal_in_days", active_days_30=4.0, **habit) == (
        "Renewal in 12 days, active on 4 of the last 30 days; usually on 20"
    )
    assert sentence("renewal_in_days", active_days_30=20.0, **habit) == ""


def test_value_and_baseline_are_those_of_the_sentence() -> None:
    x = known(silent_share=0.3, recency_days=11, gap_mean_days=2.1)
    reason = explained({"silent_share": 1.0}, x).raising[0]
    assert (reason.feature, reason.value, reason.baseline) == ("recency_days", 11.0, 2.1)


# Grouping ------------------------------------------------------------------------------------------------------------


def test_contributions_of_one_group_are_one_reason() -> None:
    x = known(payments_failed_30=2, dunning_open=1, recency_days=3, gap_mean_days=1, tenure_days=20)
    found = explained({"payments_failed_30": 0.4, "dunning_open": 0.6, "recency_days": 0.3, "tenure_days": -0.5}, x)
    assert [(r.code, round(r.contribution, 9)) for r in found.raising] == [("PAYMENT_FAILED", 1.0), ("SILENCE", 0.3)]
    assert found.raising[0].feature == "dunning_open"
    assert not found.protective, "tenure is context: it counts in the rest"
    assert found.rest == pytest.approx(-0.5)
    assert playbook(found) == "recover_payment"


def test_features_on_both_sides_of_one_topic_are_two_reasons() -> None:
    habit = {"events_90d": 90.0, "tenure_days": 90.0}
    x = known(events_7d=1.0, events_30d=60.0, **habit)
    found = explained({"events_7d": 0.7, "events_30d": -0.5}, x)
    assert [(r.code, r.contribution) for r in found.raising] == [("USAGE_DROP", 0.7)]
    assert [(r.code, r.contribution) for r in found.protective] == [("USAGE_HEALTHY", -0.5)]


def test_feature_with_an_own_baseline_is_preferred_to_a_larger_one_without() -> None:
    x, m = known(active_weeks_12=2.0, events_90d=90.0, events_7d=1.0, tenure_days=90.0), known(active_weeks_12=9.0)
    assert explained({"active_weeks_12": 0.5, "events_7d": 0.4}, x, m).raising[0].sentence == (
        "1 event in the last 7 days; usually 7"
    )
    assert explained({"active_weeks_12": 0.5, "events_7d": 0.1}, x, m).raising[0].feature == "active_weeks_12"


def test_among_nearly_equal_reasons_the_most_urgent_comes_first() -> None:
    """Rule: payment before cancellation, support and usage, among contributions within 30% of the largest."""
    x = known(recency_days=30, gap_mean_days=2, dunning_open=1, cancel_scheduled=1)
    near = {"recency_days": 1.0, "cancel_scheduled": 0.8, "dunning_open": 0.75}
    assert [r.code for r in explained(near, x).raising] == ["PAYMENT_FAILED", "SILENCE", "CANCEL_INTENT"]
    far = {"recency_days": 1.0, "cancel_scheduled": 0.8, "dunning_open": 0.6}
    assert [r.code for r in explained(far, x).raising] == ["CANCEL_INTENT", "SILENCE", "PAYMENT_FAILED"]


def test_contribution_of_a_missing_value_is_low_evidence() -> None:
    found = explained({"csat_mean": 0.7, "nps_last": 0.2}, known(tenure_days=3))
    assert [(r.code, round(r.contribution, 9)) for r in found.raising] == [("LOW_EVIDENCE", 0.9)]
    assert found.raising[0].value is None


def test_low_evidence_is_a_reason_only_where_little_is_known() -> None:
    assert sentence("tenure_days", tenure_days=3) == "First seen 3 days ago"
    settled = explained({"tenure_days": 0.5}, known(no_rhythm=0, tenure_days=90)).raising[0]
    assert (settled.code, settled.contribution) == ("LOW_EVIDENCE", 0.0)
    assert settled.sentence == "Nothing in this customer's behavior stands out"


def test_score_without_any_reason_says_so() -> None:
    found = explained({}, known(tenure_days=3))
    assert [(r.code, r.contribution, r.points) for r in found.raising] == [("LOW_EVIDENCE", 0.0, 0.0)]
    assert found.log_odds == found.bias + found.rest


def test_points_are_what_the_probability_would_lose_without_the_reason() -> None:
    found = explained({"dunning_open": 2.0}, known(dunning_open=1))
    assert found.log_odds == 0.0
    assert found.raising[0].points == pytest.approx(100 * (0.5 - 1 / (1 + np.exp(2.0))), abs=0.01)


def test_reason_of_a_rule_is_listed_without_a_contribution() -> None:
    x = known(nps_last=0.3, recency_days=30, gap_mean_days=2)
    found = explained({"recency_days": 1.0}, x)
    nothing = np.full((1, D), np.nan)
    listed = with_reason(found, "NPS_DETRACTOR", I["nps_last"], natural(x), nothing, first=True).raising
    assert [(r.code, r.contribution) for r in listed] == [("NPS_DETRACTOR", 0.0), ("SILENCE", 1.0)]
    assert listed[0].sentence == "Last NPS score 3 of 10"


def some_rows(n: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n, D))
    x[rng.uniform(size=x.shape) < 0.3] = np.nan
    m = np.where(rng.uniform(size=x.shape) < 0.1, np.nan, rng.uniform(0, 1, (n, D)))
    contributions = np.where(np.isnan(x), 0.0, rng.normal(0, 0.5, (n, D)))
    bias = np.full(n, -1.3)
    return contributions, bias, np.add.reduce(contributions, axis=1) + bias, x, m


def test_listed_rest_and_bias_add_up_to_the_log_odds() -> None:
    contributions, bias, log_odds, x, m = some_rows(200)
    for found in explain(contributions, bias, log_odds, x, m):
        assert 1 <= len(found.raising) <= RAISING_MAX
        assert len(found.protective) <= PROTECTIVE_MAX
        listed = [r.contribution for r in (*found.raising, *found.protective)]
        assert sum(listed) + found.rest + found.bias == pytest.approx(found.log_odds, abs=1e-9)
        assert all(r.contribution > 0 for r in found.raising) or len(found.raising) == 1
        assert all(r.contribution < 0 for r in found.protective)
        sizes = [r.contribution for r in found.raising[1:]]
        assert sizes == sorted(sizes, reverse=True)
        assert found.raising[0].contribution >= 0.7 * max([0.0, *sizes])


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


def test_codes_are_stable_and_each_risk_has_a_playbook() -> None:
    """Rule: a code that is removed or renamed breaks readers of the topic; docs/schemas lists the same ones."""
    assert set(RISKS) == set(PLAYBOOKS) - {"SEATS_SHRINKING", "CHAMPION_LEFT"}
    assert not set(RISKS) & set(STRENGTHS)
    for each in WORDINGS.values():
        assert {each.code, each.peer_code} <= {"", *RISKS}
        assert each.strength in ("", *STRENGTHS)
    used = {code for each in WORDINGS.values() for code in (each.code, each.peer_code, each.strength) if code}
    assert used == set(CODES)


def test_every_wording_belongs_to_a_feature() -> None:
    """A feature that is gone leaves no dead words behind."""
    assert set(WORDINGS) <= set(NAMES)
    assert set(RENDERED_AS) | set(RENDERED_AS.values()) <= set(NAMES)
    assert all(set(each.reads) <= {*NAMES, UNPAID_DAYS} for each in WORDINGS.values())


def test_remembered_sentence_is_the_one_that_would_be_rendered() -> None:
    """Rule: the cache's key is all that the words read: no other customer's figures appear."""
    x, m = some_rows(60, seed=7)[3:]
    contributions = np.where(np.isnan(x), 0.0, 1.0)
    arguments = contributions, np.zeros(60), contributions.sum(axis=1), x, m
    together = explain(*arguments)
    apart = []
    for row in range(60):
        _rendered.cache_clear()
        contributions, bias, log_odds, x, m = (each[row : row + 1] for each in arguments)
        apart += explain(contributions, bias, log_odds, x, m)
    assert apart == together


def test_feature_without_a_wording_is_never_a_reason() -> None:
    context = [name for name in NAMES if name not in WORDINGS and name not in RENDERED_AS]
    assert context
    for name in context:
        assert sentence(name, **{name: 1.0}) == "" == strength(name, **{name: 1.0})


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


# Feed outages --------------------------------------------------------------------------------------------------------


def test_silence_is_the_main_topic_where_its_contributions_are_largest() -> None:
    x = known(recency_days=3, mrr=20, tenure_days=90, no_rhythm=0)
    for amount, expected in ((1.0, True), (0.4, False)):
        row = np.zeros((1, D))
        row[0, I["recency_days"]], row[0, I["mrr"]] = amount, 0.5
        assert silent(row, x) == [expected]
    assert silent(np.zeros((1, D)), x) == [False], "nothing contributes"
    assert silent(np.zeros((0, D)), np.zeros((0, D))) == []


def test_topics_add_up_to_all_contributions() -> None:
    contributions, _, _, x, _ = some_rows(50)
    np.testing.assert_allclose(by_topic(contributions, x).sum(axis=1), contributions.sum(axis=1), atol=1e-12)
    np.testing.assert_array_equal(by_topic(contributions, x)[7:8], by_topic(contributions[7:8], x[7:8]))
