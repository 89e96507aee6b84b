"""Laws of competing risks: a loss has one cause, probabilities add up, and the order of payments does not matter."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import Horizons, involuntary_dominates
from models.duration import HOUR_MS, rfc3339
from models.events.taxonomy import MEANINGS
from models.learning.combined_scores import HIGHEST, CombinedScores
from models.profile.dunning import payment_facts
from models.profile.mergeable import DAY_MS
from models.profile.view import ProfileView
from tests.models.histories import START_MS, StubScores, World, event, profile_of

LAW = settings(max_examples=60, deadline=None)
PAYMENT_DAYS, HORIZON_DAYS, SILENCE_DAYS = 5, 12, 9
CHURN = ChurnDefinition.parse(f"""
[churn.definitions.left]
event = "Subscription Cancelled"
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = {{ reason = "payment_failed" }}
[churn.definitions.inactivity]
not_performed = ["*"]
for = "{SILENCE_DAYS}d"
[label]
horizon = "{HORIZON_DAYS}d"
grace = "1d"
[label.involuntary]
horizon = "{PAYMENT_DAYS}d"
[snapshot]
every = "3d"
""")
HOURS = st.integers(1, 40 * 24)
REASONS = st.sampled_from(["payment_failed", "cancellation_requested"])


@LAW
@given(st.lists(HOURS, max_size=25), st.none() | st.tuples(HOURS, REASONS))
def test_labels_follow_from_the_first_loss(pages: list[int], end: tuple[int, str] | None) -> None:
    """Rule: labels equal those derived from the whole history, never both are 1, and none is known before it is due."""
    history = [(START_MS + hours * HOUR_MS, "page", "") for hours in pages]
    if end is not None:
        history.append((START_MS + end[0] * HOUR_MS, "Subscription Cancelled", end[1]))
    world = World(CHURN)
    world.feed(event("Subscription Started", START_MS), event("page", START_MS))
    for at_ms, name, reason in sorted(history):
        properties: dict[str, Any] = {"reason": reason} if reason else {}
        world.feed(event(name, at_ms, **properties))
    released = len(world.examples)
    world.feed(event("page", START_MS + 100 * DAY_MS, "c2"))
    never = 1 << 62
    for number, example in enumerate(each for each in world.examples if each.customer == "c1"):
        at = example.snapshot_ms
        assert example.release_ms == at + CHURN.release_after_ms
        assert number >= released or example.release_ms <= max([START_MS, *(each[0] for each in history)])
        gone = START_MS + end[0] * HOUR_MS if end is not None and START_MS + end[0] * HOUR_MS >= at else never
        paid = gone if end is not None and end[1] == "payment_failed" else never
        active = [START_MS, *(moment for moment, name, _ in history if MEANINGS[name].engaged)]
        silent_ms = at + SILENCE_DAYS * DAY_MS  # only for recently active customers
        lately = at - max(moment for moment in active if moment < at) <= SILENCE_DAYS * DAY_MS
        silent = lately and not any(at <= moment <= silent_ms for moment in active)
        left = min(gone, silent_ms if silent else never)
        assert example.label == (left < paid and left <= at + HORIZON_DAYS * DAY_MS)
        second = example.involuntary
        assert second is not None
        assert second.label == (paid <= left and paid <= at + PAYMENT_DAYS * DAY_MS)
        assert second.label + example.label <= 1
        assert (second.churned_ms > 0) == bool(second.label)


PROBABILITY = st.floats(1e-6, 1 - 1e-6)


@LAW
@given(st.lists(st.tuples(PROBABILITY, PROBABILITY), min_size=1, max_size=20), st.integers(1, 90), st.integers(1, 90))
def test_probabilities_and_contributions_add_up(rows: list[tuple[float, float]], by_choice: int, by_card: int) -> None:
    """Rule: for any two heads, the combined probability is at least each of theirs, and below 1."""
    horizons = Horizons(by_choice * DAY_MS, by_card * DAY_MS)
    p, q = np.array(rows).T.copy()
    rng = np.random.default_rng(len(rows))
    heads = [StubScores(column, rng.normal(size=(len(column), 7))) for column in (p, q)]
    both = CombinedScores.of(heads[0], heads[1], horizons)  # type: ignore[arg-type]
    assert both.probability == pytest.approx(np.minimum(p + q, HIGHEST))
    assert (both.probability >= np.maximum(p, q) - 1e-6).all()
    assert (both.probability < 1).all()
    assert both.contributions().sum(axis=1) + both.bias() == pytest.approx(both.log_odds)
    largest = np.maximum(*(np.abs(head.contributions()) for head in heads))
    assert (np.abs(both.contributions()) <= largest + 1e-12).all()
    swapped = involuntary_dominates(q, p, Horizons(horizons.involuntary_ms, horizons.voluntary_ms))
    assert not (both.billing & swapped).any()  # at most one of the two can be greater


PAID = st.tuples(st.integers(0, 80 * 24), st.sampled_from(["Payment Failed", "Payment Succeeded", "Payment Recovered"]))


@LAW
@given(st.lists(PAID, max_size=12, unique_by=lambda payment: payment[0]), st.randoms(use_true_random=False))
def test_payment_facts_do_not_depend_on_event_order(paid: list[tuple[int, str]], rng: random.Random) -> None:
    """Rule: dunning starts with the first failure on a later day than the last settled payment, and events in any order
    give the same result."""
    events = [event(name, START_MS + hour * HOUR_MS) for hour, name in sorted(paid)]
    shuffled = events[:]
    rng.shuffle(shuffled)
    at_ms = START_MS + 81 * DAY_MS
    found = [payment_facts(ProfileView.of(profile_of(each)).dunning, at_ms) for each in (events, shuffled)]
    assert found[0] == found[1]
    if not paid:
        assert found[0] is None
        return
    assert found[0] is not None
    failed = [e.time_ms for e in events if e.name == "Payment Failed"]
    settled = max([e.time_ms for e in events if e.name != "Payment Failed"], default=0)
    recovered = sum(e.name == "Payment Recovered" for e in events)
    since = None
    if failed and max(failed) > settled:
        later = [at for at in failed if at // DAY_MS > settled // DAY_MS]
        since = rfc3339(min(later, default=max(failed)) // DAY_MS * DAY_MS)[:10]
    assert found[0].dunning_since == since
    assert (found[0].dunning_days is None) == (since is None)
    assert (found[0].failed, found[0].recovered) == (len(failed), recovered)
    assert found[0].recovered_rate == (pytest.approx(min(recovered / len(failed), 1.0), abs=1e-4) if failed else None)
