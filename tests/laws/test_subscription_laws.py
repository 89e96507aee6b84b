"""Laws of subscriptions: what reordering is free, and that all views of a customer's subscriptions agree."""

from __future__ import annotations

import random
from itertools import groupby

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.backtesting.retention_log import RetentionLog
from models.definition.value_settings import DEFAULTS
from models.events.event import Event
from models.features.catalogue import FEATURES, features
from models.labels.labeller import Labeller
from models.outputs.customer_facts import stage
from models.profile.codec import canonical, copy, encode
from models.profile.keys import contract_key, profile_key
from models.profile.mergeable import DAY_MS
from models.profile.schema import Profile
from models.profile.subscription import SubscriptionState, plan_of, prices_of
from models.profile.subscription_change import CHANGES, RANK, change_of
from models.profile.view import ProfileView
from models.retention.rates import SumSeries
from models.retention.subscription_book import SubscriptionTerms
from models.retention.subscription_flows import decode
from models.value.clv import customer_value
from models.value.forecast_state import ValueForecast
from tests.models.histories import START_MS, definition, profile_of

IDS = ("A", "B", "C", "D", "E", "F", "G", "H")
"""As many subscriptions as a profile keeps."""

seeds = st.integers(0, 2**32)
id_counts = st.sampled_from([0, 1, 2, 3, 8])


def history(seed: int, length: int, ids: int, days: int = 20) -> list[Event]:
    """Subscription events of one customer on few days, so that many have the same time."""
    rng = random.Random(seed)
    mixed = rng.random() < 0.3
    found = []
    for number in range(length):
        properties: dict[str, object] = {}
        if rng.random() < 0.6:
            properties["mrr"] = rng.randrange(1, 90)
        if rng.random() < 0.5:
            properties["plan"] = rng.choice(("basic", "pro", "addon"))
        if ids and not (mixed and rng.random() < 0.3):
            properties["subscription_id"] = rng.choice(IDS[:ids])
        if rng.random() < 0.3:
            properties["period_end"] = (START_MS + rng.randrange(90) * DAY_MS) / 1000
        at = START_MS + rng.randrange(days) * DAY_MS
        found.append(Event("c1", rng.choice(list(CHANGES)), at, number + 1, properties, False, False))
    return sorted(found, key=lambda e: e.time_ms)


def freely_reordered(events: list[Event], seed: int) -> list[Event]:
    """Any order that keeps events of one time, one subscription and one place in the life cycle as they were."""
    order = random.Random(seed).sample(range(len(events)), len(events))

    def place(number: int) -> tuple[int, int, int]:
        change = change_of(events[number])
        return change.at_ms, change.key, RANK[change.kind]

    shuffled = list(order)
    for _, group in groupby(sorted(range(len(order)), key=lambda slot: place(order[slot])), lambda s: place(order[s])):
        slots = sorted(group)
        for slot, number in zip(slots, sorted(order[slot] for slot in slots), strict=True):
            shuffled[slot] = number
    return [events[number] for number in shuffled]


def content(profile: Profile) -> bytes:
    twin = copy(profile)
    twin.guard = {}
    return encode(canonical(twin))


histories = st.builds(history, seeds, st.integers(0, 40), id_counts, st.sampled_from([1, 4, 60]))


@settings(max_examples=300, deadline=None)
@given(histories, seeds)
def test_order_of_different_subscriptions_and_life_cycle_places_is_free(events: list[Event], seed: int) -> None:
    """Rule: only events of one time about one place in the life cycle of one subscription depend on their order."""
    assert content(profile_of(freely_reordered(events, seed))) == content(profile_of(events))


@settings(max_examples=100, deadline=None)
@given(histories, seeds)
def test_ids_of_events_decide_nothing(events: list[Event], seed: int) -> None:
    """Rule: the same log with other message ids gives the same profile."""
    expected = content(profile_of(events))
    rng = random.Random(seed)
    for event in events:
        event.id_hash = rng.getrandbits(64) | 1 << 32
    assert content(profile_of(events)) == expected


def accounted(events: list[Event]) -> tuple[SubscriptionTerms, SumSeries]:
    log = RetentionLog()
    for event in events:
        log.add(event)
    sums = log.sums()
    timeline = decode(log._records[contract_key(profile_key("c1"))]).timeline()
    return timeline.steps[-1][1] if timeline.steps else timeline.base, SumSeries(sums)


@settings(max_examples=100, deadline=None)
@given(histories.filter(bool), seeds)
def test_accounting_profile_stage_features_and_labels_agree(events: list[Event], seed: int) -> None:
    """Rule: what `retention` counts is what the profile, the stage, the value, the features and eligibility state.

    Setup: any order of arrival, ties, several subscriptions, and events without ids among others. Changes without an
    id that have left the log of the profile have distinct times: of those, the profile does not know what ran before.
    """
    if any("subscription_id" not in event.properties for event in events[12:]):
        for number, event in enumerate(events):
            event.time_ms += number
    arrived = freely_reordered(events, seed)
    profile = profile_of(arrived)
    terms, series = accounted(arrived)
    state = SubscriptionState(profile.subscription)
    price, mrr = prices_of(profile.subscription)
    assert state.started == terms.started
    assert state.active == terms.running
    if terms.running:
        assert (mrr or 0) == terms.mrr
        kinds = {"subscription_id" in event.properties for event in events}
        if len(kinds) == 1:  # beside ids, a plan without an id is a trait
            assert plan_of(profile.identity, profile.subscription) == terms.plan
    row = series.revenue("day", max(event.time_ms for event in events) // DAY_MS)
    assert row.end == state.active
    now = profile.newest_ms
    view = ProfileView.of(profile)
    assert (stage(view, now) == "churned") == (not terms.running)
    value = customer_value(view, 0.1, 30 * DAY_MS, now, ValueForecast(DEFAULTS))
    if terms.running and price is not None:
        assert value.mrr == terms.mrr / 100
    x = dict(zip([feature.name for feature in FEATURES], features([profile], [now])[0], strict=True))
    assert x["plan_known"] == terms.running
    assert np.isnan(x["mrr"]) == (price is None)
    if terms.running and price is not None and not state.paused:
        assert np.expm1(x["mrr"]) * 100 >= terms.mrr - 0.01
    labeller = Labeller(definition())
    profile.matched = [0] * 3
    assert bool(labeller.eligible(profile, now) & 2) == terms.running
