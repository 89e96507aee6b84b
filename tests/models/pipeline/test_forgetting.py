"""Who is forgotten, and when: after long silence with nothing awaited, or at once when the customer asks for it."""

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


def forgotten(world: World) -> list[bytes]:
    return [key for key, at_ms in world.published if not at_ms]


def mine(world: World) -> set[bytes]:
    return {key[:1] for key in world.store.records if key[1:3] == b"c1"}


def test_who_is_not_heard_of_for_long_is_forgotten_to_the_millisecond() -> None:
    """Rule: `profile.after` from the newest event, of whatever kind; not a millisecond earlier."""
    world = World(definition(QUIET))
    world.feed(event("page", day(0)), event("Email Sent", day(3)))
    world.feed(until_ms=day(3 + KEEP_DAYS) - 1)
    assert mine(world) == {b"c"}, "no label is awaited any more, and no alert stands"
    assert read_due_ms(world.store.records[KEY]) == day(3 + KEEP_DAYS)
    world.feed(until_ms=day(3 + KEEP_DAYS))
    assert mine(world) == set()
    assert forgotten(world) == [KEY]


def test_a_visitor_is_forgotten_sooner_and_a_user_id_makes_a_customer() -> None:
    """Rule: one event by a userId, whenever it comes, and it is no visitor."""
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


def test_any_event_puts_it_off() -> None:
    world = World(definition(QUIET))
    world.feed(event("page", day(0)))
    world.feed(event("Email Sent", day(KEEP_DAYS - 1)))
    world.feed(until_ms=day(2 * KEEP_DAYS - 2))
    assert mine(world) == {b"c"}
    world.feed(until_ms=day(2 * KEEP_DAYS - 1))
    assert mine(world) == set()


def test_a_longer_span_puts_off_what_was_due_and_a_shorter_one_counts_from_the_next_event() -> None:
    """Rule: `[profile]` may change without a new state."""
    world = World(definition(QUIET))
    world.feed(event("page", day(0)), until_ms=day(50))
    world.definition = definition(QUIET.replace(f'"{KEEP_DAYS}d"', '"90d"'))
    assert world.definition.state_hash == definition(QUIET).state_hash
    world.restart()
    world.feed(until_ms=day(89))
    assert mine(world) == {b"c"}
    world.feed(until_ms=day(90))
    assert mine(world) == set()


def test_a_running_subscription_is_no_reason_to_be_kept_for_ever() -> None:
    """Rule: after `profile.after` no snapshot is begun; the last label is released, and then nothing is left."""
    world = World(definition(STAYS))
    world.feed(event("Subscription Started", day(0)), event("page", day(1)))
    world.feed(until_ms=day(200))
    taken = world.times(SNAPSHOT)
    assert day(KEEP_DAYS + 1 - 7) <= max(taken) < day(KEEP_DAYS + 1)
    assert [e.snapshot_ms for e in world.examples] == taken, "every label was learned from"
    assert forgotten(world) == [KEY]


def test_an_alert_is_over_before_its_customer_is_forgotten() -> None:
    """Rule: expiry and cooldown are waited for, whatever the value of `profile.after`."""
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
    assert forgotten(world) == [KEY]


def test_returning_customer_starts_from_nothing() -> None:
    """Rule: in one batch or in two, with no previous score, no history and no tenure."""
    for cut in (1, 2):
        world = World(definition(QUIET))
        events = [event("page", day(0), id_hash=7), event("page", day(KEEP_DAYS + 1), id_hash=7)]
        world.feed(*events[:cut])
        effects = world.feed(*events[cut:])
        previous = effects.previous[-1] if effects.points else None
        assert [at for key, at in world.published if key == KEY][-2:] == [0, day(KEEP_DAYS + 1)]
        assert previous is None
        assert world.duplicates == 0


def test_who_asks_for_it_is_deleted_at_once() -> None:
    """Rule: profile, pending snapshots and alert go in the same batch; the alert ends as `expired`, because of it."""
    world = World(definition(STAYS + ALARMED))
    world.feed(event("Subscription Started", day(0)), event("page", day(10)), until_ms=day(11))
    assert mine(world) == {b"c", b"s", b"a", b"r"}
    world.feed(deletion(day(12)))
    assert mine(world) == set()
    assert (world.alerts[-1].event.type, world.alerts[-1].event.resolution) == ("expired", "deleted")
    assert forgotten(world) == [KEY]
    world.feed(until_ms=day(60))
    assert world.examples == []
    assert len(forgotten(world)) == 1


def test_what_is_begun_and_deleted_in_one_batch_leaves_nothing() -> None:
    """Rule: a snapshot that was frozen and an alert that opened in the very batch are gone with it."""
    world = World(definition(STAYS + ALARMED))
    world.feed(event("Subscription Started", day(0)), event("page", day(10)), deletion(day(12)))
    assert world.times(SNAPSHOT)
    assert mine(world) == set()
    assert [a.event.type for a in world.alerts][-1] == "expired"
    assert {key[:1] for key in world.store.records} == {SUMS, VALUE_FORECAST}  # of the partition, not of a customer


@pytest.mark.parametrize("late_days", [0, 5])
def test_deletion_creates_no_customer_and_applies_on_arrival(late_days: int) -> None:
    """Rule: its place in the log counts, not its own time; a second or an unknown customer's request does nothing."""
    world = World(definition(STAYS))
    world.feed(deletion(day(0)))
    assert world.published == []
    world.feed(event("page", day(6)), deletion(day(6 - late_days)), deletion(day(6 - late_days)))
    assert forgotten(world) == [KEY]
    assert mine(world) == set()


def test_whether_it_is_a_visitor_stands_before_the_body() -> None:
    """Rule: a record from before that was noted is a customer's."""
    for anonymous, bit in ((visit(day(0)), 0b1000), (event("page", day(0)), 0)):
        world = World(definition(QUIET))
        world.feed(anonymous)
        assert decode_head(world.store.records[KEY]).flags & 0b1000 == bit
