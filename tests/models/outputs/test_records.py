"""Published records: valid under the schemas and readable on their own; labels are exact to the last bit."""

from __future__ import annotations

import doctest
import json
import re
from typing import Any

import msgspec
import numpy as np
import pytest

from models.alerts.alert_action import AlertAction
from models.alerts.alert_state import AlertState
from models.alerts.policy import AlertScore, cause_of, due_ms, step
from models.alerts.settings import AlertSettings
from models.backtesting.backtest import Backtest
from models.definition.churn_definition import ChurnDefinition
from models.events.event import Event, decode
from models.events.identity import BLOCKED_IDS
from models.experience.barriers import recent_barriers
from models.features.catalogue import CATALOGUE, FEATURES, NAMES
from models.labels import codec as label
from models.labels.codec import LabelError, label_value, read_label
from models.labels.training_example import TrainingExample
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.outputs import alert_record, score_record
from models.outputs import customer_facts as customer
from models.outputs import records as outputs
from models.outputs.alert_record import alert_headers, alert_value
from models.outputs.customer_facts import activity, customer_facts, stage
from models.outputs.records import ScoredBatch
from models.outputs.score_batch import ScorePayload
from models.outputs.score_history import (
    HISTORY,
    HISTORY_BYTES,
    append_history,
    append_history_text,
    history_json,
    unpack_history,
)
from models.outputs.score_record import OutputContext, PublishedScore
from models.pipeline.effects import FoldEffects
from models.profile.apply import apply
from models.profile.mergeable import DAY_MS
from models.profile.schema import ProcessingState, Profile
from models.profile.view import ProfileView
from tests.paths import ROOT

START = 1_600_041_600_000 // DAY_MS * DAY_MS
CHURN = ChurnDefinition.parse(
    '[churn.definitions.left]\nevent = "Subscription Cancelled"\n[label]\nhorizon = "14d"\n'
    '[alerts]\ndwell = "0d"\nenter = 0.0\nexit = 0.0'
)
CONTEXT = OutputContext(CHURN.label_hash, CHURN.hash, CHURN.horizon_ms, "customer-events", 3)
POLICY = AlertSettings.of(CHURN)


def schema(name: str) -> Any:
    return json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())


def validate(name: str, document: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(schema(name), format_checker=jsonschema.FormatChecker())
    errors = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in checker.iter_errors(document)]
    assert errors == []


def events() -> list[Event]:
    """Four weeks of six customers with payments, usage, complaints, orders and inactivity, in time order."""
    found: list[tuple[int, str, str, dict[str, Any]]] = []
    for day in range(60):
        for c in range(6):
            at, name = START + day * DAY_MS + c * 3_600_000, f"customer-{c}"
            if day == 0:
                found.append((at, name, "identify", {"plan": "pro", "segment": "smb", "account": "acme"}))
                found.append((at, name, "Subscription Started", {"mrr": 49.0, "currency": "EUR", "plan": "pro"}))
            if day < 12 + 8 * c and day % (c + 1) == 0:
                found.append((at + 1, name, "Feature Used", {"feature": f"f{day % 5}"}))
            if day == 14 and c % 2:
                found.append((at + 2, name, "Payment Failed", {}))
                found.append((at + 3, name, "Ticket Created", {"tags": ["too_expensive", "too_complex"]}))
            if day == 20 and c == 2:
                found.append((at + 4, name, "Order Completed", {"revenue": 30.0, "currency": "EUR"}))
            if day == 25 and c == 4:
                found.append((at + 5, name, "Subscription Cancelled", {}))
    return [
        Event(c, e, at, i + 1, p, False, False) for i, (at, c, e, p) in enumerate(sorted(found, key=lambda x: x[0]))
    ]


class Scored:
    """Effects of a run, each with the scores to publish."""

    def __init__(self) -> None:
        model = Model(FeatureSpace(NAMES, tuple(f.relative for f in FEATURES), CATALOGUE))
        run = Backtest(CHURN, model, 1, lambda key, count: 0)
        self.effects: list[FoldEffects] = []
        run.on_effects = self._keep
        for _ in run.run(events()):
            pass
        self.examples = run.examples
        self.batches = [
            ScoredBatch(CONTEXT, e.points, e.x, e.m, e.scores, 0.6, e.value_forecasts) for e in self.effects
        ]

    def _keep(self, number: int, effects: FoldEffects) -> None:
        self.effects.append(effects)

    def values(self) -> list[bytes]:
        found = []
        for batch, e in zip(self.batches, self.effects, strict=True):
            published = [
                batch.published_score(
                    i, 0.97, 1, history_json(append_history(b"", point.at_ms, float(e.scores.probability[i]))), 0.1
                )
                for i, point in enumerate(e.points)
            ]
            found += rendered(batch, published)
        return found


def rendered(batch: ScoredBatch, published: list[PublishedScore]) -> list[bytes]:
    """The `churn-scores` values of all rows of a batch."""
    return [value for payload in ScorePayload.of(batch, "m", published) for value in payload.values()]


@pytest.fixture(scope="module")
def scored() -> Scored:
    return Scored()


@pytest.mark.parametrize("module", [outputs, score_record, alert_record, customer, label], ids=lambda m: m.__name__)
def test_doctests_pass(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


# Scores --------------------------------------------------------------------------------------------------------------


def test_every_score_is_valid_and_readable_on_its_own(scored: Scored) -> None:
    found = [json.loads(v) for v in scored.values()]
    assert len(found) > 50
    keys = schema("score")
    for document in found:
        assert set(document) == set(keys["properties"]) == set(keys["required"])
    for document in found:
        validate("score", document)


def test_reasons_rest_and_bias_of_a_score_add_up_to_its_log_odds(scored: Scored) -> None:
    for document in map(json.loads, scored.values()):
        listed = [r["contribution"] for r in document["reasons"] + document["protective"]]
        assert sum(listed) + document["rest"] + document["bias"] == pytest.approx(document["log_odds"], abs=1e-9)
        total = sum(document["contributions"].values()) + document["bias"]
        assert total == pytest.approx(document["log_odds"], abs=1e-4)
        assert document["probability"] == pytest.approx(1 / (1 + np.exp(-document["log_odds"])), abs=1e-9)


def test_a_score_has_the_same_bytes_in_any_batch(scored: Scored) -> None:
    for batch, e in zip(scored.batches[:30], scored.effects, strict=False):
        together = rendered(batch, [batch.published_score(i, 0.5, 0, b"") for i in range(len(e.points))])
        for i, value in enumerate(together):
            alone = ScoredBatch(CONTEXT, e.points, e.x, e.m, e.scores, 0.6, e.value_forecasts, rows=[i])
            assert rendered(alone, [alone.published_score(i, 0.5, 0, b"")]) == [value]
            assert alone.note(i, 0.5, 1) == batch.note(i, 0.5, 1)


def test_score_has_the_customer_and_their_value(scored: Scored) -> None:
    newest = {d["customer"]["id"]: d for d in map(json.loads, scored.values())}
    document = newest["customer-3"]
    assert document["customer"]["account"] == "acme"
    assert (document["customer"]["plan"], document["customer"]["segment"]) == ("pro", "smb")
    assert (document["value"]["mrr"], document["value"]["basis"]) == (49.0, "subscription")
    assert newest["customer-4"]["customer"]["stage"] == "churned"
    assert len(document["activity"]["counts"]) == 90
    assert sum(document["activity"]["counts"]) > 0
    assert document["lineage"]["topic"] == "customer-events"


def test_the_history_keeps_the_newest_scores() -> None:
    history = b""
    for i in range(HISTORY + 5):
        history = append_history(history, START + i * 1_000, i / 100)
    assert len(history) == 8 * HISTORY
    found = unpack_history(history)
    assert found[0] == (START // 1000 + 5, 50_000)
    assert found[-1] == (START // 1000 + HISTORY + 4, 10_000 * (HISTORY + 4))
    assert unpack_history(b"") == []


def test_history_text_is_appended_to_the_previous_text() -> None:
    """Rule: a history appended score by score equals the whole history rendered at once."""
    history, text = b"", history_json(b"")
    for i in range(HISTORY + 5):
        text = append_history_text(text, len(history) == HISTORY_BYTES, START + i * 1_000, i / 100)
        history = append_history(history, START + i * 1_000, i / 100)
        assert text == history_json(history)


# Alerts --------------------------------------------------------------------------------------------------------------


def story(scored: Scored) -> list[tuple[Any, bytes, str]]:
    """Every customer's alert events, with the notes stored in the state."""
    states: dict[bytes, AlertState | None] = {}
    published = []
    for batch, e in zip(scored.batches, scored.effects, strict=True):
        for i, point in enumerate(e.points):
            name, p = point.key[1:].decode(), float(e.scores.probability[i])
            state = states.get(point.key)
            while (due := due_ms(state, POLICY)) <= point.at_ms:
                state, rang, _ = step(state, None, POLICY, due, customer=name)
                published += [(event, b"", name) for event in rang]
            score = AlertScore(point.at_ms, p, 0.5, 0.1, cause_of(point.trigger, point.at_ms, i))
            state, moved, _ = step(state, score, POLICY, point.at_ms, customer=name)
            note = batch.note(i, 0.5, 1)
            published += [(event, note, name) for event in moved]
            if state is not None:
                state.note = note
            states[point.key] = state
    name, state = max(
        ((key[1:].decode(), state) for key, state in states.items() if state is not None),
        key=lambda found: found[1].live * found[1].scored_ms,
    )
    later = state.scored_ms + 1
    for action in (AlertAction("acknowledge"), AlertAction("snooze", None, later + DAY_MS), AlertAction("dismiss")):
        state, moved, _ = step(state, None, POLICY, later, customer=name, action=action)
        published += [(event, b"", name) for event in moved]
    return published


def test_every_alert_is_valid_for_every_cause(scored: Scored) -> None:
    published = story(scored)
    assert {event.type for event, _, _ in published} >= {"opened", "reminded", "acknowledged", "snoozed", "resolved"}
    keys = schema("alert")
    for event, note, _ in published:
        document = json.loads(alert_value(event, note))
        assert set(document) == set(keys["properties"]) == set(keys["required"])
        assert document["score"]["ci90"][0] <= document["score"]["probability"] <= document["score"]["ci90"][1]
        assert document["action"]["playbook"]
    for event, note, _ in published:
        validate("alert", json.loads(alert_value(event, note)))


def test_reminder_repeats_the_newest_score(scored: Scored) -> None:
    published = story(scored)
    reminder = next(event for event, _, _ in published if event.type == "reminded")
    document = json.loads(alert_value(reminder))
    assert document["type"] == "reminded"
    assert document["reasons"]
    assert document["timing"]["scored_at"] <= document["time"]


def test_the_headers_are_a_cloudevent_in_binary_mode(scored: Scored) -> None:
    event, _, name = story(scored)[0]
    headers = dict(alert_headers(event, name))
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == f"{event.alert_id}-1".encode()
    assert headers["ce_type"] == b"churn.alert.opened.v1"
    assert headers["ce_subject"] == name.encode()
    assert headers["content-type"] == b"application/json"
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT[\d:.]+Z", headers["ce_time"])


def test_alert_is_not_a_valid_event(scored: Scored) -> None:
    """An alert that is published as an event is rejected, and does not count as activity."""
    event, note, name = story(scored)[0]
    assert not isinstance(decode(alert_value(event, note), alert_headers(event, name), START), Event)


# Labels --------------------------------------------------------------------------------------------------------------


def test_label_round_trips_bit_for_bit(scored: Scored) -> None:
    assert len(scored.examples) > 5
    for example in scored.examples:
        again = read_label(label_value(example))
        for name in TrainingExample.__struct_fields__:
            if name == "experience_context":
                assert again.experience_context is None, "not published"
            elif name in ("features", "population"):
                ours, theirs = np.frombuffer(getattr(example, name)), np.frombuffer(getattr(again, name))
                np.testing.assert_array_equal(ours, theirs)
                known = ~np.isnan(ours)
                assert ours[known].tobytes() == theirs[known].tobytes()
            else:
                assert getattr(again, name) == getattr(example, name), name
        validate("label", json.loads(label_value(example)))
        assert set(json.loads(label_value(example))) == set(schema("label")["required"])


def test_any_number_round_trips_in_a_label() -> None:
    rng = np.random.default_rng(0)
    wild = rng.integers(0, 2**63, len(NAMES)).view(np.float64)
    wild = np.where(np.isfinite(wild), wild, np.nan)
    wild[:4] = -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2
    example = TrainingExample(
        "ü",
        START,
        START + 1,
        wild.tobytes(),
        wild.tobytes(),
        0.1 + 0.2,
        (0.1, 1 / 3, 1.0),
        1,
        {"a": 1},
        "m",
        "d",
        START + 7,
    )
    again = read_label(label_value(example))
    assert (again.probability, again.members, again.churned_ms, again.customer) == (
        0.1 + 0.2,
        (0.1, 1 / 3, 1.0),
        START + 7,
        "ü",
    )
    known = ~np.isnan(wild)
    assert np.frombuffer(again.features)[known].tobytes() == wild[known].tobytes()
    assert np.isnan(np.frombuffer(again.features)[~known]).all()


def test_a_label_of_an_earlier_catalogue_is_read_by_name(scored: Scored) -> None:
    document = json.loads(label_value(scored.examples[0]))
    document["features"] = {"gone": 1.0, NAMES[1]: 2.0}
    values = np.frombuffer(read_label(json.dumps(document).encode()).features)
    assert values[1] == 2.0
    assert np.isnan(values).sum() == len(NAMES) - 1


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("label", 2), ("label", "1"), ("probability", 1.5), ("snapshot_time", "yesterday"), ("features", 3)],
)
def test_invalid_label_is_rejected_with_one_error(scored: Scored, key: str, wrong: object) -> None:
    document = json.loads(label_value(scored.examples[0])) | {key: wrong}
    with pytest.raises(LabelError):
        read_label(json.dumps(document).encode())
    with pytest.raises(LabelError):
        read_label(b"\0\1\2")


# Events --------------------------------------------------------------------------------------------------------------


def test_event_schema_accepts_and_rejects_the_same_events_as_decode() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(schema("event"))
    page = (ROOT / "docs/events.md").read_text()
    shown = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    plain = [document for document in shown if "specversion" not in document]
    assert len(plain) > 3
    for document in plain:
        assert checker.is_valid(document)
        assert isinstance(decode(json.dumps(document).encode(), [], START), Event)
    good = {"type": "track", "event": "x", "userId": "u", "timestamp": START}
    change: dict[str, Any]
    for change in (
        {"type": "other"},
        {"event": ""},
        {"userId": ""},
        {"userId": None},
        {"userId": "undefined"},
        {"userId": 0},
        {"userId": "", "anonymousId": "NULL"},
        {"type": "group"},
        {"properties": 3},
    ):
        assert not checker.is_valid(good | change), change
        assert not isinstance(decode(json.dumps(good | change).encode(), [], START), Event), change
    for change in (
        {"anonymousId": 7},
        {"userId": 7},
        {"userId": "", "anonymousId": "v"},
        {"messageId": None},
        {"context": {"active": False, "groupId": "acme"}},
        {"type": "page", "name": "Home"},
        {"more": 1},
    ):
        assert checker.is_valid(good | change), change
        assert isinstance(decode(json.dumps(good | change).encode(), [], START), Event), change


@pytest.mark.parametrize("identity", [*sorted(BLOCKED_IDS), *map(str.upper, sorted(BLOCKED_IDS)), "000", " - ", ""])
def test_event_schema_blocks_the_same_ids_as_decode(identity: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    checker = jsonschema.Draft202012Validator(schema("event"))
    for name in ("userId", "anonymousId"):
        document = {"type": "page", "timestamp": START, name: identity}
        assert not checker.is_valid(document)
        assert not isinstance(decode(json.dumps(document).encode(), [], START), Event)
        document[name] = f"{identity}x"
        assert checker.is_valid(document)
        assert isinstance(decode(json.dumps(document).encode(), [], START), Event)


def test_schemas_are_valid_json_schemas() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for name in ("event", "alert", "score", "label"):
        jsonschema.Draft202012Validator.check_schema(schema(name))


# The customer -----------------------------------------------------------------------------------------------------


def profile_view_of(*given: tuple[str, dict[str, Any]]) -> ProfileView:
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i, (name, properties) in enumerate(given):
        apply(profile, Event("c", name, START + i, i + 1, properties, False, False))
    return ProfileView.of(profile)


@pytest.mark.parametrize(("granted", "consent"), [(True, True), ("false", False), ("?", None)])
def test_newest_consent_is_published(granted: object, consent: bool | None) -> None:
    """Rule: what is stored about a customer is of use: a program must know whether it may contact them."""
    view = profile_view_of(("page", {}), ("Consent Updated", {"granted": granted}))
    assert customer_facts("c", view, START + 9).consent is consent


def test_stage_follows_the_customer_lifecycle() -> None:
    started = ("Subscription Started", {"mrr": 20.0})
    assert stage(profile_view_of(started, ("Subscription Cancelled", {})), START + 9) == "churned"
    assert stage(profile_view_of(started, ("Subscription Cancel Scheduled", {})), START + 9) == "cancelling"
    assert stage(profile_view_of(started, ("Subscription Paused", {})), START + 9) == "paused"
    trial = profile_view_of(("Trial Started", {"trial_end": START + 14 * DAY_MS}))
    assert stage(trial, START + 9) == "trial"
    assert stage(profile_view_of(("Onboarding Step Completed", {"step": "a"})), START + 9) == "onboarding"
    assert stage(profile_view_of(("page", {})), START + 9) == "active"
    assert stage(profile_view_of(("page", {})), START + 100 * DAY_MS) == "lapsed"


def test_recent_barriers_are_listed_by_frequency() -> None:
    profile_view = profile_view_of(
        ("Ticket Created", {"tags": ["too_complex"]}), ("Ticket Created", {"tags": ["too_expensive", "else"]}),
        ("Subscription Cancel Scheduled", {"feedback": "too_expensive"}),
    )  # fmt: skip
    assert recent_barriers(profile_view, START + 9) == ["too_expensive", "too_complex"]
    assert recent_barriers(profile_view, START + 91 * DAY_MS) == []


def test_activity_ends_today_and_counts_can_exceed_a_byte() -> None:
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i in range(300):
        apply(profile, Event("c", "page", START, i + 1, {}, False, False))
    apply(profile, Event("c", "page", START - 5 * DAY_MS, 999, {}, False, False))
    strip = activity(ProfileView.of(profile), START + 2 * DAY_MS)
    counts = msgspec.json.decode(strip.counts)
    assert (counts[-3], counts[-8], sum(counts), len(counts)) == (300, 1, 301, 90)
    assert strip.until == "2020-09-16"
    assert msgspec.json.decode(activity(ProfileView.of(profile), START + 400 * DAY_MS).counts) == [0] * 90


@pytest.mark.parametrize("busiest", [1, 9, 10, 255])
def test_busy_day_does_not_shift_the_other_days(busiest: int) -> None:
    profile = Profile(processing=ProcessingState(), matched=[0])
    for i in range(busiest):
        apply(profile, Event("c", "page", START, i + 1, {}, False, False))
    counts = msgspec.json.decode(activity(ProfileView.of(profile), START + DAY_MS).counts)
    assert counts == [*[0] * 88, busiest, 0]
