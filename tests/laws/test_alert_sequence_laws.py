"""Laws of the alert topic: the events of one alert, as the fold publishes them to workers and backtests alike.

The timers of the policy below fall on the instants of snapshots, and the events of the logs on whole hours or days, so
that scores, reminders, ends of dwells and expiries often share an instant.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alerts.policy import AlertEvent
from models.duration import DAY_MS, HOUR_MS
from models.events.event import Event
from tests.models.histories import START_MS, StubScores, World, definition, event

CHURN = """
[churn.definitions.voluntary]
event = "Subscription Cancelled"
[label]
horizon = "6d"
grace = "1d"
[snapshot]
every = "2d"
[alerts]
enter = 0.4
exit = 0.2
high = 0.6
critical = 0.8
dwell = "{dwell}"
cooldown = "4d"
reminder = "{reminder}"
expire = "{expire}"
"""
POLICIES = [("0d", "2d", "30d"), ("2d", "2d", "30d"), ("0d", "4d", "4d"), ("1d", "1d", "6d")]
ACTIONS = ("Alert Acknowledged", "Alert Snoozed", "Alert Dismissed")


class RestlessScorer:
    """Probabilities that change with every row, so that alerts escalate, resolve and open again."""

    version, trust = "restless-1", 0.5

    def score(self, x: np.ndarray, m: np.ndarray) -> StubScores:
        rows = [random.Random(row.tobytes()) for row in np.nan_to_num(x)]
        terms = np.array([[row.random() for _ in range(x.shape[1])] for row in rows]).reshape(x.shape)
        return StubScores(np.array([0.1 + 0.89 * row.random() for row in rows]), terms)


def a_history(seed: int, grain_ms: int) -> list[Event]:
    rng = random.Random(seed)
    events = []
    for number in range(100):
        at = START_MS + rng.randrange(45 * DAY_MS) // grain_ms * grain_ms
        name = rng.choice([*["page"] * 6, "Payment Failed", "Subscription Cancelled", *ACTIONS[: 1 + seed % 3]])
        events.append(event(name, at, f"c{rng.randrange(6)}", id_hash=number + 1))
    return sorted(events, key=lambda each: each.time_ms)


def published(policy: tuple[str, str, str], events: list[Event], size: int) -> list[AlertEvent]:
    """What the fold publishes for a log in batches of this size."""
    text = CHURN.format(**dict(zip(("dwell", "reminder", "expire"), policy, strict=True)))
    world = World(definition(text), RestlessScorer())
    for start in range(0, len(events), size):
        world.feed(*events[start : start + size])
    return [alert.event for alert in world.alerts]


def of_alert(events: list[AlertEvent]) -> dict[str, list[AlertEvent]]:
    found: dict[str, list[AlertEvent]] = {}
    for each in events:
        found.setdefault(each.alert_id, []).append(each)
    return found


laws = pytest.mark.parametrize("policy", POLICIES, ids="-".join)


@laws
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([HOUR_MS, DAY_MS]), st.integers(1, 200))
def test_seq_rises_by_one_in_the_order_of_the_topic(
    policy: tuple[str, str, str], seed: int, grain_ms: int, size: int
) -> None:
    """Rule: an alert's events are published in the order of `seq`, and their times never go back."""
    for history in of_alert(published(policy, a_history(seed, grain_ms), size)).values():
        assert [each.seq for each in history] == list(range(1, len(history) + 1))
        times = [each.at_ms for each in history]
        assert times == sorted(times)


@laws
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([HOUR_MS, DAY_MS]))
def test_a_reminder_is_the_only_event_of_its_alert_at_its_instant(
    policy: tuple[str, str, str], seed: int, grain_ms: int
) -> None:
    """Rule: an escalation or an end replaces the reminder that is due at the same instant, and an alert that opens at
    the end of its dwell has the severity of the score of that instant."""
    for history in of_alert(published(policy, a_history(seed, grain_ms), 200)).values():
        per_instant = Counter(each.at_ms for each in history)
        assert all(per_instant[each.at_ms] == 1 for each in history if each.type == "reminded")
        timed_open = policy[0] != "0d"
        assert not timed_open or per_instant[history[0].at_ms] == 1


@laws
@settings(max_examples=3, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_batches_change_no_alert(policy: tuple[str, str, str], seed: int, size: int) -> None:
    """Rule: a timer waits for every event of its instant, whichever batch contains it."""
    events = a_history(seed, DAY_MS)
    assert published(policy, events, size) == published(policy, events, len(events))


def test_the_histories_of_these_laws_contain_every_kind_of_event() -> None:
    """Rule: the laws above are not vacuous: timers and scores share instants."""
    kinds: Counter[Any] = Counter()
    for policy in POLICIES:
        for seed in range(8):
            for history in of_alert(published(policy, a_history(seed, DAY_MS), 200)).values():
                kinds.update(each.type for each in history)
                reminder_ms = int(policy[1][:-1]) * DAY_MS
                kinds["instead of a reminder"] += sum(
                    after.type in ("escalated", "resolved") and after.at_ms - before.at_ms == reminder_ms
                    for before, after in pairwise(history)
                )
    assert kinds["instead of a reminder"] > 10
    assert min(kinds[name] for name in ("opened", "escalated", "reminded", "resolved", "expired")) > 5
