"""Subscriptions as objects: several at once, partial knowledge, currencies, ties and bounds."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from models.events.event import Event
from models.events.object_ids import SUBSCRIPTION_IDS, subscription_key
from models.features.catalogue import FEATURES, features
from models.outputs.customer_facts import stage
from models.profile.codec import copy
from models.profile.merge import merge
from models.profile.mergeable import DAY_MS
from models.profile.schema import SUBSCRIPTION_LOG, SUBSCRIPTIONS_KEPT, Profile, Subscription
from models.profile.subscription import SubscriptionState, holdings_of, plan_of, prices_of
from models.profile.view import ProfileView
from tests.models.histories import START_MS, event, profile_of


def day(n: float) -> int:
    return START_MS + int(n * DAY_MS)


def change(kind: str, on: float, key: str | None = None, **properties: Any) -> Event:
    """A subscription event on a day, about the subscription with this id."""
    if key is not None:
        properties["subscription_id"] = key
    return event(f"Subscription {kind}", day(on), **properties)


def state(*events: Event) -> SubscriptionState:
    return SubscriptionState(profile_of(events).subscription)


def mrr(*events: Event) -> int | None:
    return prices_of(profile_of(events).subscription)[1]


def feature(profile: Profile, name: str, on: float) -> float:
    names = [each.name for each in FEATURES]
    return float(features([profile], [day(on)])[0, names.index(name)])


MAIN = change("Started", 0, "A", mrr=49, plan="pro", currency="EUR")
ADD_ON = change("Started", 4, "B", mrr=10, plan="addon", currency="EUR")
ADD_ON_END = change("Cancelled", 31, "B", plan="addon", reason="cancellation_requested")
MAIN_END = change("Cancelled", 60, "A", reason="cancellation_requested")


def test_mrr_is_the_sum_of_running_subscriptions() -> None:
    """An add-on neither replaces the main subscription nor its plan, and its end is a contraction."""
    assert mrr(MAIN, ADD_ON) == 5900
    assert mrr(MAIN, ADD_ON, ADD_ON_END) == 4900
    profile = profile_of([MAIN, ADD_ON, ADD_ON_END])
    assert plan_of(profile.identity, profile.subscription) == "pro"
    assert feature(profile, "downgrades_180", 32) == pytest.approx(0.693, abs=1e-3)  # log(1 + 1)
    assert feature(profile, "mrr", 32) == pytest.approx(3.912, abs=1e-3)  # log(1 + 49)
    assert stage(ProfileView.of(profile), day(32)) != "churned"
    grown = profile_of([MAIN, change("Started", 100, "B", mrr=10, currency="EUR")])
    assert feature(grown, "mrr_delta_90", 101) > 0.1


def test_customer_is_lost_when_the_last_subscription_ends() -> None:
    """The order of the ends does not matter; a subscription is one since the first of a chain without a gap."""
    for order in itertools.permutations([MAIN, ADD_ON, ADD_ON_END, MAIN_END]):
        after = state(*order)
        assert (after.active, after.ended_ms) == (False, day(60))
        assert mrr(*order) == 0
    assert state(MAIN, ADD_ON, MAIN_END).since_ms == day(0)


@pytest.mark.parametrize("kind", ["Renewed", "Upgraded", "Downgraded", "Paused", "Resumed", "Cancel Scheduled"])
def test_any_evidence_is_enough_to_know_a_subscription(kind: str) -> None:
    """A log may begin in the middle of a subscription's life, with or without ids."""
    for key in ("A", None):
        known = state(change(kind, 3, key, mrr=9))
        assert (known.started, known.active, known.since_ms) == (True, True, day(3))


def test_end_of_an_unseen_subscription_changes_nothing_else() -> None:
    """Nor does activity of an ended one reopen it."""
    assert mrr(MAIN, change("Cancelled", 9, "unseen", mrr=5)) == 4900
    assert state(MAIN, change("Cancelled", 9, "unseen")).active
    assert not state(change("Cancelled", 9, "unseen")).active
    assert mrr(MAIN, ADD_ON, ADD_ON_END, change("Upgraded", 40, "B", mrr=99)) == 4900


def test_pause_and_scheduled_end_concern_all_that_run() -> None:
    """One paused add-on does not pause the customer, but brings no revenue."""
    paused = [MAIN, ADD_ON, change("Paused", 9, "B"), change("Cancel Scheduled", 9, "B")]
    assert not state(*paused).paused
    assert not state(*paused).cancel_scheduled
    assert mrr(*paused) == 4900
    both = state(*paused, change("Paused", 10, "A"), change("Cancel Scheduled", 11, "A"))
    assert both.paused
    assert both.cancel_scheduled


def test_currencies_are_never_added() -> None:
    """The sum has the currency of the subscription that has run longest; the others remain visible."""
    dollars, unstated = change("Started", 5, "C", mrr=70, currency="USD"), change("Started", 6, "D", mrr=1)
    held = profile_of([MAIN, ADD_ON, dollars, unstated])
    assert held.subscription is not None
    holdings = holdings_of(held.subscription)
    assert (holdings.currency, holdings.mrr, holdings.elsewhere) == ("EUR", 6000, 1)


@pytest.mark.parametrize("first", [(), (change("Started", 0, plan="basic", mrr=20),)])
def test_events_without_ids_of_one_time_are_a_switch_only_while_one_runs(first: tuple[Event, ...]) -> None:
    """An end and a start of one time: of two subscriptions if one ran before, else of one."""
    end, start = change("Cancelled", 14, plan="basic", mrr=20), change("Started", 14, plan="pro", mrr=49)
    for order in ((end, start), (start, end)):
        after = profile_of([*first, *order])
        assert SubscriptionState(after.subscription).active == bool(first)
        assert plan_of(after.identity, after.subscription) == "pro"
        assert prices_of(after.subscription)[0] == 4900


@pytest.mark.parametrize("key", ["A", None])
def test_changes_of_one_time_follow_the_life_cycle_then_the_log(key: str | None) -> None:
    """Neither depends on the ids of events."""
    start = change("Started", 0, key, plan="trial", mrr=0)
    up, down = change("Upgraded", 0, key, plan="pro", mrr=49), change("Downgraded", 0, key, plan="basic", mrr=9)
    for order in itertools.permutations([start, up]):
        after = profile_of(order)
        assert (prices_of(after.subscription)[0], plan_of(after.identity, after.subscription)) == (4900, "pro")
    assert mrr(start, up, down) == mrr(up, down, start) == 900
    assert mrr(start, down, up) == 4900
    assert not state(change("Cancelled", 0, key), change("Started", 0, key)).active


def test_more_subscriptions_than_are_kept_are_summed() -> None:
    """Those that left the set still count, and an event about one of them takes it from the sum."""
    many = [change("Started", n, f"s{n}", mrr=10) for n in range(20)]
    profile = profile_of(many)
    assert profile.subscription is not None
    assert len(profile.subscription.objects) == SUBSCRIPTIONS_KEPT
    assert prices_of(profile.subscription) == (20_000, 20_000)
    ended = [change("Cancelled", 30 + n, f"s{n}") for n in range(20)]
    assert [mrr(*many, *ended[:n]) for n in (1, 7, 19, 20)] == [19_000, 13_000, 1000, 0]
    assert [state(*many, *ended[:n]).active for n in (19, 20)] == [True, False]
    assert mrr(*many, change("Upgraded", 40, "s0", mrr=25)) == 21_500
    assert mrr(*many, change("Cancelled", 40, "unseen")) == 19_000  # of the sum, because all are of one price
    halves = merge(profile_of(many[:10]), profile_of(many[10:]))
    assert prices_of(halves.subscription) == (20_000, 20_000)


def test_changes_that_leave_the_log_are_remembered() -> None:
    """Without ids too: an end stays an end after more changes than the log holds, and a start stays the start."""
    later = [change("Upgraded", 10 + n, mrr=n) for n in range(SUBSCRIPTION_LOG + 3)]
    running = state(change("Started", 0), *later)
    assert (running.active, running.since_ms) == (True, day(0))
    assert not state(change("Started", 0), change("Cancelled", 5), *later).active
    assert state(change("Started", 0), change("Cancelled", 5), change("Started", 6), *later).since_ms == day(6)


def test_events_without_an_id_are_about_the_only_subscription() -> None:
    """With several, it is unknown which one they are about, so they change none."""
    assert not state(MAIN, change("Cancelled", 9)).active
    assert mrr(change("Started", 0, mrr=49), change("Renewed", 30, "A", mrr=49)) == 4900
    assert mrr(MAIN, ADD_ON, change("Cancelled", 9)) == 5900


@pytest.mark.parametrize("name", SUBSCRIPTION_IDS)
def test_every_name_of_the_id_is_read(name: str) -> None:
    assert subscription_key({name: "sub_A"}) == subscription_key({"subscription_id": "sub_A"}) != 0


@pytest.mark.parametrize(
    "properties",
    [
        {"subscription": {"id": "sub_A", "object": "subscription"}},
        {"object": "subscription", "id": "sub_A"},
        {"data": {"object": {"object": "subscription", "id": "sub_A"}}},
        {"content": {"subscription": {"id": "sub_A"}}},
        {"subscription_id": " sub_A "},
    ],
)
def test_nested_ids_are_read(properties: dict[str, Any]) -> None:
    assert subscription_key(properties) == subscription_key({"subscription_id": "sub_A"})


@pytest.mark.parametrize(
    "value", [None, "", "null", "undefined", "[object Object]", 0, True, [], {}, {"id": "in_1", "object": "invoice"}]
)
def test_placeholders_are_no_id(value: object) -> None:
    assert subscription_key({"subscription": value, "id": "evt_1", "data": {"object": {"id": "in_1"}}}) == 0


def test_section_of_an_earlier_release_means_the_same() -> None:
    """It has an id hash in place of the place in the life cycle, and no fields for objects."""
    log = [(day(0), 2**63, 0, 4900, "pro"), (day(5), 7 << 40, 1, 9900, "team")]
    old = msgspec.msgpack.encode([log, (day(5), 7 << 40, 9900), None, None, None])
    section = msgspec.msgpack.decode(old, type=Subscription)
    profile = Profile(first_ms=day(0), newest_ms=day(5), subscription=section)
    assert (SubscriptionState(section).since_ms, prices_of(section)) == (day(0), (9900, 9900))
    later = copy(profile)
    merged = merge(later, profile_of([change("Downgraded", 5, mrr=20)])).subscription
    assert prices_of(merged) == (2000, 2000)  # a tie with an older record is decided by the log
