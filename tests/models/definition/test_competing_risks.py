"""Involuntary churn as a competing risk: definition, labels, the model's second head, both probabilities, routes."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import orjson
import pytest

from models.alerts.policy import AlertEvent, AlertScore, step
from models.alerts.settings import AlertSettings
from models.backtesting.alert_quality import RouteQuality, evaluate_alerts
from models.backtesting.cause_quality import evaluate_causes
from models.backtesting.report import ExampleColumns, evaluate
from models.definition.churn_definition import ChurnDefinition
from models.definition.competing_risks import (
    BILLING,
    INVOLUNTARY_HORIZON_MS,
    SUCCESS,
    Horizons,
    Involuntary,
    involuntary_dominates,
)
from models.definition.toml_table import DefinitionError
from models.duration import HOUR_MS
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.labels.codec import label_value, read_label
from models.labels.training_example import InvoluntaryLabel, TrainingExample
from models.learning.combined_scores import HIGHEST, CombinedScores, score_both
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model, ModelScorer
from models.outputs.alert_record import alert_value
from models.outputs.score_record import OutputContext
from models.pipeline.alert_tracker import AlertOutput
from models.pipeline.score_history import to_records
from models.profile.mergeable import DAY_MS
from streams.rendering.backtest import tables
from tests.models.histories import START_MS, World, event, simulated

SPACE = FeatureSpace(NAMES, RELATIVE, CATALOGUE)
CHURN = """
[churn.definitions.voluntary]
event = "Subscription Cancelled"
[churn.definitions.involuntary]
event = "Subscription Cancelled"
where = { reason = ["payment_failed"] }
[churn.definitions.inactivity]
not_performed = ["*"]
for = "10d"
if_active_in = "14d"
[label.involuntary]
definitions = ["involuntary"]
horizon = "5d"
[label]
horizon = "10d"
grace = "2d"
[snapshot]
every = "7d"
"""
ONE = CHURN.replace('[label.involuntary]\ndefinitions = ["involuntary"]\nhorizon = "5d"\n', "").replace(
    'horizon = "10d"', 'primary = ["voluntary", "inactivity"]\nhorizon = "10d"'
)
BOTH = ChurnDefinition.parse(CHURN)


# The definition ------------------------------------------------------------------------------------------------------


def test_involuntary_definition_is_not_primary() -> None:
    """Rule: by default, all definitions but those of the involuntary label are primary."""
    assert BOTH.involuntary == Involuntary(("involuntary",), 5 * DAY_MS)
    assert BOTH.primary == ("inactivity", "voluntary")
    assert ChurnDefinition.parse(BOTH.to_toml()) == BOTH
    assert ChurnDefinition.parse(CHURN.replace('horizon = "5d"\n', "")).involuntary == Involuntary(
        ("involuntary",), INVOLUNTARY_HORIZON_MS
    )


def test_example_waits_for_the_longer_horizon() -> None:
    """Rule: an example is released when both labels are decided."""
    assert BOTH.release_after_ms == 12 * DAY_MS
    longer = ChurnDefinition.parse(CHURN.replace('horizon = "5d"', 'horizon = "20d"'))
    assert longer.release_after_ms == 22 * DAY_MS


def test_involuntary_label_changes_the_hashes() -> None:
    """Rule: another label or horizon gives another hash, so state and labels are never mixed."""
    one = ChurnDefinition.parse(ONE)
    other = ChurnDefinition.parse(CHURN.replace('horizon = "5d"', 'horizon = "6d"'))
    assert len({d.label_hash for d in (one, BOTH, other)}) == len({d.state_hash for d in (one, BOTH, other)}) == 3
    assert one.involuntary is None
    assert "label.involuntary" not in one.to_toml()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CHURN.replace("[label]", '[label]\nprimary = ["involuntary"]'), "a definition belongs to one label"),
        (CHURN.replace('definitions = ["involuntary"]', 'definitions = ["voluntary"]'), "is not of kind"),
        (CHURN.replace('definitions = ["involuntary"]', 'definitions = ["inactivity"]'), "is not of kind"),
        (CHURN.replace('definitions = ["involuntary"]', 'definitions = ["involuntry"]'), "did you mean involuntary"),
        ('[churn.definitions.left]\nevent = "x"\n[label.involuntary]\n', "needs a definition of kind"),
        ('[churn.definitions.involuntary]\nevent = "x"\n[label.involuntary]\n', "leave at least one for label.primary"),
        (CHURN.replace('horizon = "5d"', 'horizon = "0d"'), "longer than 0"),
        (CHURN.replace('horizon = "5d"', "horizons = 3"), "did you mean horizon"),
    ],
)
def test_invalid_involuntary_label_is_rejected(text: str, message: str) -> None:
    """Rule: an invalid [label.involuntary] raises a sentence that names the problem."""
    with pytest.raises(DefinitionError, match=message):
        ChurnDefinition.parse(text)


# Labels --------------------------------------------------------------------------------------------------------------


def outcome(*later: tuple[float, str, dict[str, Any]], churn: str = CHURN) -> tuple[int, int | None]:
    """Return both labels of a subscriber's first snapshot, given events some days after it."""
    world = World(ChurnDefinition.parse(churn), Model(SPACE).scorer())
    world.feed(event("Subscription Started", START_MS, mrr=20), event("page", START_MS + HOUR_MS))
    at_ms = START_MS + HOUR_MS
    while not world.times("snapshot"):
        at_ms += DAY_MS // 2
        world.feed(event("page", at_ms, "c2"))
    snapshot = world.times("snapshot")[0]
    for days, name, properties in sorted(later, key=lambda each: each[0]):
        world.feed(event(name, snapshot + int(days * DAY_MS), **properties))
    world.feed(event("page", snapshot + 60 * DAY_MS, "c2"))
    example = next(e for e in world.examples if e.snapshot_ms == snapshot)
    second = example.involuntary
    assert example.release_ms == snapshot + world.definition.release_after_ms
    return example.label, None if second is None else second.label


INVOLUNTARY_END = ("Subscription Cancelled", {"reason": "payment_failed"})
VOLUNTARY_END = ("Subscription Cancelled", {"reason": "cancellation_requested"})
ACTIVE: list[tuple[float, str, dict[str, Any]]] = [(days, "page", {}) for days in (1.5, 5.5, 9.5)]


def test_first_cause_sets_its_label_and_the_other_label_is_0() -> None:
    """Rule: competing risks: a customer lost by the other cause has label 0 and is not left out."""
    assert outcome(*ACTIVE) == (0, 0)
    assert outcome(*ACTIVE, (3, *INVOLUNTARY_END)) == (0, 1)
    assert outcome(*ACTIVE, (3, *VOLUNTARY_END)) == (1, 0)
    assert outcome(*ACTIVE, (3, *VOLUNTARY_END), (4, *INVOLUNTARY_END)) == (1, 0)
    assert outcome(*ACTIVE, (3, *INVOLUNTARY_END), (4, *VOLUNTARY_END)) == (0, 1)


def test_each_label_has_its_own_horizon() -> None:
    """Rule: an involuntary loss after its horizon gives 0 for both labels, since the other cause did not occur."""
    assert outcome(*ACTIVE, (7, *INVOLUNTARY_END)) == (0, 0)
    assert outcome((7, *INVOLUNTARY_END)) == (0, 0)  # inactive for ten days after the snapshot, but lost on the seventh
    assert outcome() == (1, 0)


def test_without_involuntary_label_examples_have_one_label() -> None:
    """Rule: the involuntary label exists only if it is declared."""
    assert outcome(*ACTIVE, (3, *INVOLUNTARY_END), churn=ONE) == (1, None)


def test_example_with_both_labels_round_trips() -> None:
    """Rule: an example round-trips exactly, and an older record reads as one without the involuntary label."""
    world = World(BOTH, Model(SPACE).scorer())
    world.feed(*simulated(customers=10, days=40))
    example = world.examples[-1]
    assert isinstance(example.involuntary, InvoluntaryLabel)
    value = label_value(example)
    assert read_label(value).involuntary == example.involuntary
    assert label_value(read_label(value)) == value
    older = orjson.loads(value)
    del older["involuntary"]
    assert read_label(orjson.dumps(older)).involuntary is None
    older["involuntary"] = {"label": 2, "churned_time": None, "probability": 0.5}
    with pytest.raises(ValueError, match="involuntary label 2"):
        read_label(orjson.dumps(older))


# The second head -----------------------------------------------------------------------------------------------------


def example_of(seed: int) -> tuple[np.ndarray, np.ndarray, bool, InvoluntaryLabel]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=SPACE.size)
    open_ = float(rng.random() < 0.2)
    x[NAMES.index("dunning_open")] = open_
    x[NAMES.index("recency_days")] = 30.0 * rng.random()
    return x, np.zeros(SPACE.size), bool(rng.random() < 0.2), InvoluntaryLabel(int(rng.random() < 0.4 * open_), None)


def trained(labels: int, model: Model | None = None, start: int = 0) -> Model:
    model = Model(SPACE) if model is None else model
    for i in range(start, start + labels):
        x, m, y, second = example_of(i)
        model.learn(x, m, y, i // 50, None, None, second)
    return model


def test_model_snapshot_restores_both_heads() -> None:
    """Rule: a restored model scores and learns with the same bits."""
    model = trained(400)
    restored = Model.restore(model.snapshot(), SPACE)
    assert restored.snapshot() == model.snapshot()
    assert trained(50, restored, 400).snapshot() == trained(50, model, 400).snapshot()
    x, m = np.array([example_of(i)[0] for i in range(20)]), np.zeros((20, SPACE.size))
    horizons = Horizons(30 * DAY_MS, 14 * DAY_MS)
    one, other = (
        score_both(s, x, m, horizons) for s in (model.scorer(), Model.restore_scorer(model.snapshot(), SPACE))
    )
    assert one.probability.tobytes() == other.probability.tobytes()
    assert one.contributions().tobytes() == other.contributions().tobytes()


def test_model_snapshot_without_the_second_head_is_read() -> None:
    """Rule: the second head scores with its prior until it has labels; the first head does not depend on it."""
    model = Model(SPACE)
    for i in range(300):
        x, m, y, _ = example_of(i)
        model.learn(x, m, y, i // 50)
    assert b"involuntary" not in model.snapshot()
    scorer = Model.restore_scorer(model.snapshot(), SPACE)
    x, m = np.array([example_of(i)[0] for i in range(40)]), np.zeros((40, SPACE.size))
    both = score_both(scorer, x, m, Horizons(30 * DAY_MS, 14 * DAY_MS))
    assert both.voluntary.probability.tobytes() == scorer.score(x, m).probability.tobytes()
    open_ = x[:, NAMES.index("dunning_open")] > 0.5
    assert both.involuntary.probability[open_].min() > both.involuntary.probability[~open_].max()
    assert trained(300).score(x, m).probability.tobytes() == both.voluntary.probability.tobytes()


@pytest.mark.law
def test_second_head_uses_only_payment_features() -> None:
    """Rule: payment features contribute to involuntary churn, others do not."""
    scores = (
        trained(2000)
        .scorer()
        .involuntary.score(np.array([example_of(i)[0] for i in range(50)]), np.zeros((50, SPACE.size)))
    )
    parts = np.abs(scores.contributions()).sum(axis=0)
    assert NAMES[int(np.argmax(parts))] == "dunning_open"
    assert parts[NAMES.index("recency_days")] == 0.0


@functools.cache
def trained_scorer(labels: int = 400) -> ModelScorer:
    """Both heads after some labels; a scorer never changes, so tests share it."""
    return trained(labels).scorer()


# Both together -------------------------------------------------------------------------------------------------------


def both_of(n: int = 60) -> CombinedScores:
    x, m = np.array([example_of(i)[0] for i in range(n)]), np.zeros((n, SPACE.size))
    return score_both(trained_scorer(), x, m, Horizons(30 * DAY_MS, 14 * DAY_MS))


def test_probabilities_and_contributions_add_up() -> None:
    """Rule: causes exclude each other, so probabilities add; contributions and bias add up to the log-odds."""
    both = both_of()
    assert np.allclose(both.probability, both.voluntary.probability + both.involuntary.probability, atol=1e-12)
    total = both.contributions().sum(axis=1) + both.bias()
    assert np.allclose(total, both.log_odds, atol=1e-9)
    assert np.allclose(1 / (1 + np.exp(-both.log_odds)), both.probability, atol=1e-9)
    low, high = both.ci90().T
    assert (low < both.probability).all()
    assert (both.probability < high).all()


@pytest.mark.law
def test_row_has_the_same_bits_in_any_batch() -> None:
    """Rule: outputs depend on the log, not on its division into batches."""
    both, horizons, scorer = both_of(), Horizons(30 * DAY_MS, 14 * DAY_MS), trained_scorer()
    for i in (0, 7, 59):
        alone = score_both(scorer, example_of(i)[0][None, :], np.zeros((1, SPACE.size)), horizons)
        for name in ("probability", "log_odds", "billing"):
            assert getattr(alone, name)[0] == getattr(both, name)[i]
        for method in ("contributions", "bias", "ci90"):
            assert getattr(alone, method)()[0].tobytes() == getattr(both, method)([i])[0].tobytes()


def test_sum_of_probabilities_is_capped_below_1() -> None:
    """Rule: the combined value stays a probability even if the two regressions add up to more than 1."""
    both = both_of(3)
    certain = np.full(3, 0.9)
    capped = CombinedScores.of(
        type(both.voluntary)(**{**vars(both.voluntary), "probability": certain}),
        type(both.voluntary)(**{**vars(both.involuntary), "probability": certain}),
        Horizons(DAY_MS, DAY_MS),
    )
    assert capped.probability.tolist() == [HIGHEST] * 3
    assert np.isfinite(capped.log_odds).all()
    assert np.isfinite(capped.contributions()).all()


def test_route_follows_the_greater_daily_hazard() -> None:
    """Rule: horizons differ, so probabilities are compared as daily hazards; equal hazards route to success."""
    half = np.array([0.2, 0.2, 0.2])
    assert involuntary_dominates(half, np.array([0.11, 0.09, 0.2]), Horizons(30 * DAY_MS, 15 * DAY_MS)).tolist() == [
        True,
        False,
        True,
    ]
    assert not involuntary_dominates(half[:1], half[:1], Horizons(DAY_MS, DAY_MS))[0]


# Outputs -------------------------------------------------------------------------------------------------------------


def published(churn: ChurnDefinition) -> tuple[list[dict[str, Any]], World]:
    world = World(churn, trained_scorer())
    values: list[dict[str, Any]] = []
    for day in range(3):
        world.feed(
            event("Subscription Started", START_MS + day * DAY_MS, "c1", mrr=20, plan="pro")
            if not day
            else event("page", START_MS + day * DAY_MS),
        )
    for name in ("Payment Failed", "Payment Failed"):
        effects = world.feed(event(name, world.partition.clock_ms + DAY_MS, amount=20))
        values += [
            json.loads(each.value)
            for each in to_records(world.partition.context, effects, world.store)[0]
            if each.value
        ]
    return values, world


def test_scores_contain_both_probabilities_and_payment_status() -> None:
    """Rule: the probabilities of both causes add up to the score's; dunning starts with the first failure."""
    values, _ = published(BOTH)
    last = values[-1]
    risks = last["risks"]
    assert last["probability"] == pytest.approx(sum(risks[cause]["probability"] for cause in risks))
    assert [risks[cause]["horizon_days"] for cause in ("voluntary", "involuntary")] == [10.0, 5.0]
    assert last["route"] == BILLING
    assert (last["payments"]["failed"], last["payments"]["dunning_days"]) == (2, 1)
    assert last["reasons"][0]["code"] == "PAYMENT_FAILED"


def test_without_involuntary_label_the_route_is_success() -> None:
    """Rule: every field is always present, payments included."""
    values, _ = published(ChurnDefinition.parse(ONE))
    last = values[-1]
    assert (last["route"], last["risks"], last["payments"]["failed"]) == (SUCCESS, None, 2)


def test_alert_stored_by_an_earlier_release_has_every_field() -> None:
    """Rule: a field that the earlier release did not store is null or default."""
    kept = b'{"customer":{"id":"c"},"score":{}}'
    value = json.loads(alert_value(AlertEvent("reminded", "a", "c/d", 2, "open", "high", 0, 0, note=kept)))
    assert (value["route"], value["risks"], value["payments"]) == (SUCCESS, None, None)
    assert value["customer"] == {"id": "c"}


def test_route_of_an_alert_is_fixed_when_it_opens() -> None:
    """Rule: the newest score of the dwell sets the route. It stays, so the same team is notified of the end."""
    policy = AlertSettings(definition="d", dwell_ms=HOUR_MS)

    def routes(*scores: tuple[int, float, bool]) -> list[tuple[str, str]]:
        state, routed = None, []
        for at_ms, percentile, billing in scores:
            score = AlertScore(at_ms, percentile / 2, percentile, 0.1, "c", billing=billing)
            state, events, _ = step(state, score, policy, at_ms, customer="c")
            routed += [(event.type, event.route) for event in events]
        return routed

    dwell = HOUR_MS // 2
    assert routes((0, 0.97, False), (dwell, 0.97, True), (3 * HOUR_MS, 0.999, False), (4 * HOUR_MS, 0.1, False)) == [
        ("opened", BILLING),
        ("escalated", BILLING),
        ("resolved", BILLING),
    ]
    assert routes((0, 0.97, True), (dwell, 0.97, False), (3 * HOUR_MS, 0.999, True))[0] == ("opened", SUCCESS)


def test_alert_for_a_failed_payment_routes_to_billing() -> None:
    """Rule: a failed payment in the fold opens an alert for billing with the payment playbook."""
    text = CHURN + '[alerts]\nenter = 0.4\nexit = 0.35\ndwell = "0d"\n'
    world = World(ChurnDefinition.parse(text), trained_scorer(600))
    for days in range(3):
        world.feed(event("page" if days else "Subscription Started", START_MS + days * DAY_MS, mrr=20))
    world.feed(event("Payment Failed", START_MS + 3 * DAY_MS))
    world.feed(event("Payment Succeeded", START_MS + 4 * DAY_MS))
    values = [json.loads(alert.value) for alert in world.alerts]
    assert [(value["type"], value["route"]) for value in values] == [("opened", BILLING), ("resolved", BILLING)]
    assert values[0]["action"]["playbook"] == "recover_payment"
    assert values[0]["risks"]["involuntary"]["probability"] > values[0]["risks"]["voluntary"]["probability"]
    assert values[0]["payments"]["dunning_days"] == 0
    assert values[1]["payments"]["dunning_since"] is None


def test_context_has_horizons_only_with_an_involuntary_label() -> None:
    """Rule: the output context has horizons if [label.involuntary] is declared."""
    assert World(BOTH).partition.context.horizons == Horizons(10 * DAY_MS, 5 * DAY_MS)
    assert OutputContext("d", "c", 1).horizons is None


# Prediction quality --------------------------------------------------------------------------------------------------


def test_each_cause_is_evaluated_on_its_own_label() -> None:
    """Rule: the summed probabilities are evaluated on loss by any cause; without the second label nothing is."""
    world = World(BOTH, Model(SPACE).scorer())
    world.feed(*simulated(customers=60, days=60, shops=0.0, mix={"payment": 1.0}))
    found = {quality.cause: quality for quality in evaluate_causes(world.examples, BOTH)}
    assert [quality.horizon_days for quality in found.values()] == [10.0, 5.0, None]
    assert found["together"].quality.positives == sum(found[c].quality.positives for c in ("voluntary", "involuntary"))
    assert found["involuntary"].quality.positives > 0
    assert (found["involuntary"].quality.auc or 0.0) > 0.8  # with the prior alone, from unpaid payments
    half = world.examples[len(world.examples) // 2].snapshot_ms
    assert evaluate_causes(world.examples, BOTH, half)[0].quality.n < found["voluntary"].quality.n
    assert evaluate_causes(world.examples, ChurnDefinition.parse(ONE)) == ()
    report = evaluate(ExampleColumns.of(world.examples), causes=list(found.values()))
    table = next(each for each in tables(report) if each.title == "Churn by cause")
    assert [row[0] for row in table.rows] == [
        "voluntary, 10 d",
        "involuntary (payment failure), 5 d",
        "either cause",
    ]


def test_alert_before_an_involuntary_loss_is_correct() -> None:
    """Rule: an alert is correct if the customer is lost, whatever the cause or route."""
    at = START_MS
    more: Any = (b"", b"", 0.1, (0.1, 0.1, 0.1), 0, {}, "m", "d", 0, InvoluntaryLabel(1, 0.3, at + 4 * DAY_MS))
    example = TrainingExample("c", at, at + 12 * DAY_MS, *more)
    change = AlertEvent("opened", "a", "c", 1, "open", "high", at + DAY_MS, at + DAY_MS, route=BILLING)
    opened = AlertOutput(b"c", change, b"{}")
    found = evaluate_alerts([opened], [example], BOTH)
    assert found.routes == {BILLING: RouteQuality(1, 1, 1, 1), SUCCESS: RouteQuality(0, 0, 0, 0)}
    assert evaluate_alerts([opened], [example], ChurnDefinition.parse(ONE)).routes == {}
    assert (found.judged, found.right, found.churned, found.found, found.lead_days_median) == (1, 1, 1, 1, 3.0)
