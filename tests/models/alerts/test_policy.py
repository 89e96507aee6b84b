"""Scenarios of the alert policy: a customer's scores and people's actions."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest

from models.alerts import policy as alerts
from models.alerts.alert_action import AlertAction, action_of
from models.alerts.alert_state import STATES, AlertState, pack, unpack
from models.alerts.policy import AlertEvent, AlertScore, cause_of, due_ms, never_silent, step
from models.alerts.settings import AlertSettings
from models.definition import threshold
from models.definition.churn_definition import ChurnDefinition
from models.definition.threshold import Threshold
from models.duration import DAY_MS, HOUR_MS
from models.events.event import Event
from models.profile.schema import NEVER_MS
from tests.paths import DOCS

START = 1_600_000_000_000
FIXED = AlertSettings(
    definition="d",
    enter=Threshold.of(0.5),
    exit=Threshold.of(0.4),
    high=Threshold.of(0.7),
    critical=Threshold.of(0.9),
    dwell_ms=6 * HOUR_MS,
    cooldown_ms=14 * DAY_MS,
    reminder_ms=7 * DAY_MS,
    expire_ms=30 * DAY_MS,
)


class Customer:
    """One customer's alert under a policy; times are in hours after the start. Timers fire when they are due.

    A step without a score and without an action lets the clock pass its hour."""

    def __init__(self, settings: AlertSettings = FIXED) -> None:
        self.settings = settings
        self.state: AlertState | None = None
        self.events: list[AlertEvent] = []

    def step(self, hour: float, score: AlertScore | None = None, **more: object) -> list[str]:
        now = START + round(hour * HOUR_MS) + (score is None and "action" not in more)
        before = len(self.events)
        while (due := due_ms(self.state, self.settings)) <= now:
            self._step(None, due, silent_feed=more.get("silent_feed", never_silent))
        self._step(score, now, **more)
        return [e.type for e in self.events[before:]]

    def _step(self, score: AlertScore | None, now: int, **more: object) -> None:
        self.state, events, _ = step(self.state, score, self.settings, now, customer="c", **more)  # type: ignore[arg-type]
        self.events += events

    def scored(self, hour: float, p: float, **more: object) -> list[str]:
        gap = more.pop("silent_feed", never_silent)
        at = START + round(hour * HOUR_MS)
        return self.step(hour, AlertScore(at, p, p, 0.1, f"silence@{at}", **more), silent_feed=gap)  # type: ignore[arg-type]

    def person(self, hour: float, kind: str, **more: object) -> list[str]:
        return self.step(hour, action=AlertAction(kind, **more))  # type: ignore[arg-type]

    @property
    def phase(self) -> str:
        return "none" if self.state is None else STATES[self.state.phase]


@pytest.fixture
def at_risk() -> Customer:
    customer = Customer()
    assert customer.scored(0, 0.6) == []
    assert customer.step(6) == ["opened"]
    return customer


def test_doctests_pass() -> None:
    assert doctest.testmod(alerts).failed == 0
    assert doctest.testmod(threshold).failed == 0


def test_an_alert_opens_when_the_dwell_has_passed_without_any_new_event() -> None:
    customer = Customer()
    customer.scored(0, 0.6)
    assert customer.phase == "pending"
    assert due_ms(customer.state, FIXED) == START + 6 * HOUR_MS + 1
    assert customer.step(5.99) == []
    assert customer.step(6) == ["opened"]
    opened = customer.events[0]
    assert (opened.seq, opened.state, opened.severity, opened.at_ms) == (1, "open", "elevated", START + 6 * HOUR_MS)
    assert opened.dedup_key == "c/d"


def test_score_below_enter_during_the_dwell_ends_it_without_an_event() -> None:
    customer = Customer()
    customer.scored(0, 0.6)
    assert customer.scored(3, 0.45) == []
    assert customer.phase == "none"
    assert customer.step(100) == []


def test_without_a_dwell_an_alert_opens_at_once() -> None:
    customer = Customer(replace(FIXED, dwell_ms=0))
    assert customer.scored(0, 0.95) == ["opened"]
    assert customer.events[0].severity == "critical"


def test_between_exit_and_enter_an_open_alert_stays_and_below_exit_it_resolves(at_risk: Customer) -> None:
    assert at_risk.scored(10, 0.45) == []
    assert at_risk.phase == "open"
    assert at_risk.scored(12, 0.39) == ["resolved"]
    assert at_risk.events[-1].resolution == "recovered"
    assert [e.seq for e in at_risk.events] == [1, 2]
    assert len({e.alert_id for e in at_risk.events}) == 1


def test_new_alert_opens_only_after_the_cooldown(at_risk: Customer) -> None:
    at_risk.scored(12, 0.1)
    assert at_risk.scored(13, 0.99) == []
    assert at_risk.step(12 + 14 * 24 - 1) == []
    assert at_risk.scored(12 + 14 * 24, 0.99) == []
    assert at_risk.phase == "pending"
    assert at_risk.step(12 + 14 * 24 + 6) == ["opened"]
    assert at_risk.events[0].alert_id != at_risk.events[-1].alert_id
    assert at_risk.events[-1].seq == 1


def test_alert_escalates_once_per_higher_band(at_risk: Customer) -> None:
    assert at_risk.scored(10, 0.75) == ["escalated"]
    assert at_risk.scored(11, 0.55) == []
    assert at_risk.scored(12, 0.75) == [], "high was published before"
    assert at_risk.scored(13, 0.95) == ["escalated"]
    assert [e.severity for e in at_risk.events] == ["elevated", "high", "critical"]


def test_reminders_keep_their_interval_and_their_maximum_number(at_risk: Customer) -> None:
    week = 7 * 24
    assert at_risk.step(6 + week - 1) == []
    assert at_risk.step(6 + week) == ["reminded"]
    for n in range(2, 20):
        at_risk.scored(6 + n * week, 0.6)
    reminders = [e.at_ms for e in at_risk.events if e.type == "reminded"]
    assert len(reminders) == alerts.REMINDERS_MAX
    assert all(b - a >= FIXED.reminder_ms for a, b in pairwise(reminders))


def test_acknowledged_alert_has_no_reminders_but_a_higher_band_opens_it_again(at_risk: Customer) -> None:
    assert at_risk.person(10, "acknowledge") == ["acknowledged"]
    assert at_risk.person(11, "acknowledge") == [], "twice is once"
    assert at_risk.scored(20 * 24, 0.6) == []
    assert at_risk.scored(21 * 24, 0.8) == ["escalated"]
    assert at_risk.phase == "open"


def test_snoozed_alert_has_no_events_until_the_snooze_ends(at_risk: Customer) -> None:
    assert at_risk.person(10, "snooze", until_ms=START + 48 * HOUR_MS) == ["snoozed"]
    assert at_risk.events[-1].until_ms == START + 48 * HOUR_MS
    assert at_risk.person(11, "snooze", until_ms=START + 48 * HOUR_MS) == [], "the same again changes nothing"
    assert at_risk.scored(20, 0.95) == []
    assert at_risk.step(48) == ["escalated"], "a higher band escalates"


def test_the_end_of_a_snooze_is_a_reminder(at_risk: Customer) -> None:
    at_risk.person(10, "snooze", until_ms=START + 48 * HOUR_MS)
    assert at_risk.step(48) == ["reminded"]
    assert at_risk.phase == "open"
    at_risk.person(50, "snooze", until_ms=START + 51 * HOUR_MS)
    assert at_risk.events[-1].until_ms == START + 48 * HOUR_MS + FIXED.reminder_ms, "never sooner than the spacing"


def test_snooze_without_a_future_time_lasts_one_reminder_interval(at_risk: Customer) -> None:
    at_risk.person(10, "snooze", until_ms=START)
    assert at_risk.events[-1].until_ms == START + 10 * HOUR_MS + FIXED.reminder_ms


def test_dismissed_alert_is_resolved_and_has_no_more_events(at_risk: Customer) -> None:
    assert at_risk.person(10, "dismiss") == ["resolved"]
    assert at_risk.events[-1].resolution == "dismissed"
    assert at_risk.scored(11, 0.99) == []


def test_action_with_an_unknown_alert_id_changes_nothing(at_risk: Customer) -> None:
    assert at_risk.person(10, "acknowledge", alert_id="other") == []
    assert at_risk.person(10, "acknowledge", alert_id=at_risk.events[0].alert_id) == ["acknowledged"]
    customer = Customer()
    assert customer.person(1, "dismiss") == []
    customer.scored(2, 0.6)
    assert customer.person(3, "dismiss") == [], "nothing was published yet"
    assert customer.step(8) == ["opened"]


def test_late_evidence_before_the_cause_retracts(at_risk: Customer) -> None:
    assert at_risk.scored(12, 0.1, oldest_new_ms=START - HOUR_MS) == ["retracted"]
    assert at_risk.events[-1].resolution == "late_evidence"


def test_evidence_after_the_cause_resolves(at_risk: Customer) -> None:
    assert at_risk.scored(12, 0.1, oldest_new_ms=START + HOUR_MS) == ["resolved"]


def test_a_customer_who_has_churned_has_no_open_alert(at_risk: Customer) -> None:
    assert at_risk.step(12, churned=True) == ["expired"]
    assert at_risk.events[-1].resolution == "churned"
    pending = Customer()
    pending.scored(0, 0.9)
    assert pending.step(1, churned=True) == []
    assert pending.phase == "none"


def test_a_deleted_customer_keeps_not_even_the_cooldown(at_risk: Customer) -> None:
    assert at_risk.step(12, deleted="deleted") == ["expired"]
    assert at_risk.events[-1].resolution == "deleted"
    assert at_risk.phase == "none"
    for phase in ("pending", "resolved"):
        customer = Customer()
        customer.scored(0, 0.9)
        if phase == "resolved":
            customer.step(6)
            customer.person(7, "dismiss")
        assert customer.phase == phase
        assert customer.step(8 if phase == "resolved" else 3, deleted="deleted") == [], (
            "nothing was published, or the end was"
        )
        assert customer.phase == "none"


def test_a_customer_who_cannot_churn_gets_no_alert(at_risk: Customer) -> None:
    customer = Customer()
    assert customer.scored(0, 0.99, eligible=False) == []
    assert customer.phase == "none"
    assert at_risk.scored(12, 0.99, eligible=False) == ["expired"]


def test_alert_without_new_scores_expires(at_risk: Customer) -> None:
    assert "expired" in at_risk.step(30 * 24 + 1)
    assert at_risk.events[-1].resolution == "not_scored"
    assert at_risk.events[-1].at_ms == START + 30 * DAY_MS


def test_feed_outage_holds_alerts_whose_main_reason_is_inactivity() -> None:
    customer = Customer()
    customer.scored(0, 0.6, silent=True)
    assert customer.step(30, silent_feed=lambda at_ms: True) == []
    assert customer.phase == "pending"
    assert customer.step(35) == [], "the dwell starts again"
    assert customer.step(36) == ["opened"]
    other = Customer()
    other.scored(0, 0.6)
    assert other.step(30, silent_feed=lambda at_ms: True) == ["opened"], "a failed payment needs no feed"


def test_feed_outage_holds_escalations_whose_main_reason_is_inactivity(at_risk: Customer) -> None:
    assert at_risk.scored(10, 0.95, silent=True, silent_feed=lambda at_ms: True) == []
    assert at_risk.scored(20, 0.95, silent=True) == ["escalated"]


def test_shares_open_as_many_alerts_at_any_churn_rate() -> None:
    policy = AlertSettings()
    for base in (0.01, 0.6):
        p = 2.1 * base / (1 - base) / (1 + 2.1 * base / (1 - base))
        assert policy.band(p, 0.96, base) == 1
        assert policy.band(p, 0.94, base) == 0
        assert policy.band(p, 0.999, base) == 3
        assert policy.band(base * 1.01, 0.999, base) == 0, "the top of those who are all alike"
    assert policy.band(0.5, float("nan"), 0.1) == 0


def test_the_settings_are_read_from_churn_toml() -> None:
    text = '[churn.definitions.left]\nevent = "Left"\n[label]\nhorizon = "14d"\n'
    assert AlertSettings.of(ChurnDefinition.parse(text)).expire_ms == 14 * DAY_MS
    churn = ChurnDefinition.parse(
        text + '[alerts]\nenter = 0.3\nhigh = "top 1%"\ndwell = "1d"\nlift = 2\nexpire = "9d"'
    )
    found = AlertSettings.of(churn)
    assert (found.enter, found.high) == (Threshold.of(0.3), Threshold.of("top 1%"))
    assert (found.dwell_ms, found.lift, found.expire_ms) == (DAY_MS, 2.0, 9 * DAY_MS)
    assert found.definition == churn.label_hash


def test_documented_defaults_match_the_policy() -> None:
    guide = (DOCS / "definition.md").read_text()
    policy = AlertSettings()
    for key in ("enter", "exit", "high", "critical"):
        assert f'| `alerts.{key}` | `"{getattr(policy, key)}"` |' in guide
    for key, text in (("lift", "`1.5`"), ("dwell", '`"6h"`'), ("cooldown", '`"14d"`'), ("reminder", '`"7d"`')):
        assert f"| `alerts.{key}` | {text} |" in guide
    assert (policy.lift, policy.dwell_ms, policy.cooldown_ms) == (1.5, 6 * HOUR_MS, 14 * DAY_MS)


def test_stored_state_is_small_and_begins_with_its_due_time(at_risk: Customer) -> None:
    assert at_risk.state is not None
    state = msgspec.structs.replace(at_risk.state, note=b"x" * 10)
    record = pack(state, 77)
    assert unpack(record) == state
    assert int.from_bytes(record[:8], "big") == 77
    assert len(record) < 200
    assert unpack(None) is None


def test_action_events_are_decoded() -> None:
    def event(name: str, **properties: object) -> Event:
        return Event("c", name, START, 1, properties, False, False)

    assert action_of(event("Alert Acknowledged", alert_id="a")) == AlertAction("acknowledge", "a")
    until = action_of(event("Alert Snoozed", until="2020-09-20T00:00:00Z"))
    assert until == AlertAction("snooze", None, 1_600_560_000_000)
    assert action_of(event("Alert Dismissed", alert_id=7, until=[])) == AlertAction("dismiss", ""), "of no alert"
    assert action_of(event("page")) is None


def test_a_cause_is_a_function_of_the_log() -> None:
    assert cause_of("decisive", 5, 255) == "decisive#00000000000000ff@5"
    assert cause_of("event", 5) == "event@5", "an event without an id is known by its time"
    assert due_ms(None, FIXED) == NEVER_MS


def test_end_of_a_snooze_during_a_feed_outage_does_not_escalate_inactivity() -> None:
    """It is a reminder like any other."""
    policy = AlertSettings(definition="d", enter=Threshold.of(0.3), exit=Threshold.of(0.2), high=Threshold.of(0.5),
                           critical=Threshold.of(0.9), dwell_ms=0)  # fmt: skip
    state, _, _ = step(None, AlertScore(START, 0.4, 0.4, 0.1, "a"), policy, START, customer="c")
    state, _, _ = step(state, None, policy, START + 1, customer="c", action=AlertAction("snooze", None, START + DAY_MS))
    worse = AlertScore(START + HOUR_MS, 0.6, 0.6, 0.1, "b", silent=True)
    state, events, due = step(state, worse, policy, START + HOUR_MS, customer="c")
    assert events == []
    for silent, kind in ((True, "reminded"), (False, "escalated")):
        feed: Callable[[int], bool] = (lambda at_ms: True) if silent else (lambda at_ms: False)
        _, events, _ = step(state, None, policy, due, customer="c", silent_feed=feed)
        assert [e.type for e in events] == [kind]
