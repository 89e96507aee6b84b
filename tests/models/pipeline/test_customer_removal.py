"""Removal of customers: profiles expire after long inactivity, and a deletion request removes a customer at once."""

from __future__ import annotations

import pytest

from models.events.event import Event
from models.features.scoring_point import SNAPSHOT
from models.profile.codec import decode_head, read_due_ms
from models.profile.keys import SUMS, VALUE_FORECAST
from models.profile.mergeable import DAY_MS
from tests.models.histories import CHURN, START_MS, World, definition, event

KEEP_DAYS, VISITOR_DAYS = 60, 40
STAYS = CHURN.replace(
    "[snapshot]", f'[profile]\nafter = "{KEEP_DAYS}d"\nanonymous_after = "{VISITOR_DAYS}d"\n[snapshot]'
)
QUIET = """
[churn.definitions.inactivity]
not_performed = ["*"]
for = "10d"
[label]
horizon = "10d"
grace = "2d"
[profile]
after = "60d"
anonymous_after = "40d"
"""
ALARMED = '[alerts]\nenter = 0.0\nexit = 0.0\ndwell = "0d"\n'
KEY = b"cc1"


def day(n: float) -> int:
    return START_MS + int(n * DAY_MS)


def visit(at_ms: int) -> Event:
    found = event("page", at_ms)
    found.anonymous = True
    return found


def deletion(at_ms: int) -> Event:
    return event("User Deletion Requested", at_ms)


def removed(world: World) -> list[bytes]:
    return [key for key, at_ms in world.published if not at_ms]


def mine(world: World) -> set[bytes]:
    return {key[:1] for key in world.store.records if key[1:3] == b"c1"}


def test_inactive_profile_expires_to_the_millisecond() -> None:
    """Rule: a profile expires `profile.after` after its newest event of any kind, and not a millisecond earlier."""
    world = World(definition(QUIET))
    world.feed(event("page", day(0)), event("Email Sent", day(3)))
    world.feed(until_ms=day(3 + KEEP_DAYS) - 1)
    assert mine(world) == {b"c"}, "no label is awaited any more, and no alert stands"
    assert read_due_ms(world.store.records[KEY]) == day(3 + KEEP_DAYS)
    world.feed(until_ms=day(3 + KEEP_DAYS))
    assert mine(world) == set()
    assert removed(world) == [KEY]


def test_profile_of_a_visitor_expires_sooner_until_a_user_id_is_known() -> None:
    """Rule: after one event with a userId, even a late one, the customer is not a visitor."""
    for events, kept in (
        ([visit(day(0))], VISITOR_DAYS),
        ([visit(day(0)), event("identify", day(1))], KEEP_DAYS + 1),
        ([event("identify", day(-1)), visit(day(0))], KEEP_DAYS),
    ):
        world = World(definition(QUIET))
        world.feed(*events)
        world.feed(until_ms=day(kept) - 1)
        assert mine(world) == {b"c"}
        world.feed(until_ms=day(kept))
        assert mine(world) == set()


def test_any_event_postpones_the_expiry() -> None:
    world = World(definition(QUIET))
    world.feed(event("page", day(0)))
    world.feed(event("Email Sent", day(KEEP_DAYS - 1)))
    world.feed(until_ms=day(2 * KEEP_DAYS - 2))
    assert mine(world) == {b"c"}
    world.feed(until_ms=day(2 * KEEP_DAYS - 1))
    assert mine(world) == set()


def test_longer_retention_postpones_the_expiry_and_shorter_retention_applies_from_the_next_event() -> None:
    """Rule: `[profile]` can change without a new group."""
    world = World(definition(QUIET))
    world.feed(event("page", day(0)), until_ms=day(50))
    world.definition = definition(QUIET.replace(f'"{KEEP_DAYS}d"', '"90d"'))
    assert world.definition.state_hash == definition(QUIET).state_hash
    world.restart()
    world.feed(until_ms=day(89))
    assert mine(world) == {b"c"}
    world.feed(until_ms=day(90))
    assert mine(world) == set()


def test_profile_with_a_running_subscription_expires_too() -> None:
    """Rule: after `profile.after` there are no new snapshots. When the last label is released, nothing remains."""
    world = World(definition(STAYS))
    world.feed(event("Subscription Started", day(0)), event("page", day(1)))
    world.feed(until_ms=day(200))
    taken = world.times(SNAPSHOT)
    assert day(KEEP_DAYS + 1 - 7) <= max(taken) < day(KEEP_DAYS + 1)
    assert [e.snapshot_ms for e in world.examples] == taken, "every label was learned from"
    assert removed(world) == [KEY]


def test_alert_ends_before_the_profile_expires() -> None:
    """Rule: a profile expires only after the alert's expiry and cooldown, whatever the value of `profile.after`."""
    text = QUIET.replace(f'"{KEEP_DAYS}d"', '"3d"') + ALARMED
    world = World(definition(text))
    world.feed(event("page", day(0)))
    stood = False
    for hour in range(24 * 80):
        world.feed(until_ms=day(0) + hour * DAY_MS // 24)
        assert mine(world) in (set(), {b"c"}, {b"c", b"a"}, {b"c", b"s"}, {b"c", b"s", b"a"})
        stood |= b"a" in mine(world)
    assert stood
    assert world.alerts[-1].event.state == "expired"
    assert removed(world) == [KEY]


def test_returning_customer_starts_from_nothing() -> None:
    """Rule: the new profile has no previous score, history or tenure, in one batch or in two."""
    for cut in (1, 2):
        world = World(definition(QUIET))
        events = [event("page", day(0), id_hash=7), event("page", day(KEEP_DAYS + 1), id_hash=7)]
        world.feed(*events[:cut])
        effects = world.feed(*events[cut:])
        previous = effects.previous[-1] if effects.points else None
        assert [at for key, at in world.published if key == KEY][-2:] == [0, day(KEEP_DAYS + 1)]
        assert previous is None
        assert world.duplicates == 0


def test_deletion_request_is_applied_at_once() -> None:
    """Rule: profile, pending snapshots and alert are removed in the same batch; the alert ends as `expired`."""
    world = World(definition(STAYS + ALARMED))
    world.feed(event("Subscription Started", day(0)), event("page", day(10)), until_ms=day(11))
    assert mine(world) == {b"c", b"s", b"a", b"r"}
    world.feed(deletion(day(12)))
    assert mine(world) == set()
    assert (world.alerts[-1].event.type, world.alerts[-1].event.resolution) == ("expired", "deleted")
    assert removed(world) == [KEY]
    world.feed(until_ms=day(60))
    assert world.examples == []
    assert len(removed(world)) == 1


def test_deletion_in_the_same_batch_leaves_nothing() -> None:
    """Rule: a snapshot that was frozen and an alert that opened in the same batch are removed too."""
    world = World(definition(STAYS + ALARMED))
    world.feed(event("Subscription Started", day(0)), event("page", day(10)), deletion(day(12)))
    assert world.times(SNAPSHOT)
    assert mine(world) == set()
    assert [a.event.type for a in world.alerts][-1] == "expired"
    assert {key[:1] for key in world.store.records} == {SUMS, VALUE_FORECAST}  # of the partition, not of a customer


@pytest.mark.parametrize("late_days", [0, 5])
def test_deletion_creates_no_customer_and_applies_on_arrival(late_days: int) -> None:
    """Rule: the log position of a request counts, not its event time. Repeated or unknown customers have no effect."""
    world = World(definition(STAYS))
    world.feed(deletion(day(0)))
    assert world.published == []
    world.feed(event("page", day(6)), deletion(day(6 - late_days)), deletion(day(6 - late_days)))
    assert removed(world) == [KEY]
    assert mine(world) == set()


def test_visitor_flag_is_in_the_head_of_a_record() -> None:
    """Rule: a record written before the flag existed belongs to a customer, not to a visitor."""
    for anonymous, bit in ((visit(day(0)), 0b1000), (event("page", day(0)), 0)):
        world = World(definition(QUIET))
        world.feed(anonymous)
        assert decode_head(world.store.records[KEY]).flags & 0b1000 == bit
