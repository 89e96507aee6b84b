"""Losses by payment as a second cause: definition, labels, the model's head, both probabilities, routes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest

from models.alerts.policy import AlertEvent, AlertScore, AlertSettings, step
from models.backtesting.alert_quality import RouteQuality, judge
from models.backtesting.cause_quality import judge_causes
from models.backtesting.report import ExampleColumns, evaluate
from models.definition import competing_risks as causes
from models.definition.churn_definition import ChurnDefinition, DefinitionError
from models.definition.competing_risks import BILLING, SUCCESS, Horizons, Involuntary, by_payment
from models.duration import HOUR_MS
from models.features.catalogue import CATALOGUE, NAMES, RELATIVE
from models.labels.codec import label_value, read_label
from models.labels.training_example import InvoluntaryLabel, TrainingExample
from models.learning.combined_scores import HIGHEST, CombinedScores, score_both
from models.learning.feature_space import FeatureSpace
from models.learning.model import Model
from models.outputs.records import OutputContext, alert_value
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


def test_a_definition_of_the_second_label_is_not_primary() -> None:
    """Rule: what is not named in label.primary is all that is not of the other label."""
    assert BOTH.involuntary == Involuntary(("involuntary",), 5 * DAY_MS)
    assert BOTH.primary == ("inactivity", "voluntary")
    assert ChurnDefinition.parse(BOTH.to_toml()) == BOTH
    assert ChurnDefinition.parse(CHURN.replace('horizon = "5d"\n', "")).involuntary == Involuntary(
        ("involuntary",), causes.HORIZON_MS
    )


def test_an_example_waits_for_the_longer_of_both_horizons() -> None:
    """Rule: no label is released early, whichever is decided first."""
    assert BOTH.release_after_ms == 12 * DAY_MS
    longer = ChurnDefinition.parse(CHURN.replace('horizon = "5d"', 'horizon = "20d"'))
    assert longer.release_after_ms == 22 * DAY_MS


def test_the_second_label_changes_what_a_label_means() -> None:
    """Rule: state, alerts and labels of one meaning are not mixed with those of another."""
    one = ChurnDefinition.parse(ONE)
    other = ChurnDefinition.parse(CHURN.replace('horizon = "5d"', 'horizon = "6d"'))
    assert len({d.label_hash for d in (one, BOTH, other)}) == len({d.state_hash for d in (one, BOTH, other)}) == 3
    assert one.involuntary is None
    assert "label.involuntary" not in one.to_toml()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CHURN.replace("[label]", '[label]\nprimary = ["involuntary"]'), "a customer is lost by one cause"),
        (CHURN.replace('definitions = ["involuntary"]', 'definitions = ["voluntary"]'), "is not of kind"),
        (CHURN.replace('definitions = ["involuntary"]', 'definitions = ["inactivity"]'), "is not of kind"),
        (CHURN.replace('definitions = ["involuntary"]', 'definitions = ["involuntry"]'), "did you mean involuntary"),
        ('[churn.definitions.left]\nevent = "x"\n[label.involuntary]\n', "needs a definition of kind"),
        ('[churn.definitions.involuntary]\nevent = "x"\n[label.involuntary]\n', "one must be left for label.primary"),
        (CHURN.replace('horizon = "5d"', 'horizon = "0d"'), "longer than 0"),
        (CHURN.replace('horizon = "5d"', "horizons = 3"), "did you mean horizon"),
    ],
)
def test_a_wrong_second_label_is_told_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        ChurnDefinition.parse(text)


# Labels --------------------------------------------------------------------------------------------------------------


def outcome(*later: tuple[float, str, dict[str, Any]], churn: str = CHURN) -> tuple[int, int | None]:
    """Both labels of the first snapshot of a subscriber, of what happens so many days after it."""
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


PAID = ("Subscription Cancelled", {"reason": "payment_failed"})
LEFT = ("Subscription Cancelled", {"reason": "cancellation_requested"})
HERE = [(days, "page", {}) for days in (1.5, 5.5, 9.5)]


def test_the_first_cause_has_the_label_and_the_other_has_none() -> None:
    """Rule: competing risks; a customer who is lost by the other cause counts as 0, and is not left out."""
    assert outcome(*HERE) == (0, 0)
    assert outcome(*HERE, (3, *PAID)) == (0, 1)
    assert outcome(*HERE, (3, *LEFT)) == (1, 0)
    assert outcome(*HERE, (3, *LEFT), (4, *PAID)) == (1, 0)
    assert outcome(*HERE, (3, *PAID), (4, *LEFT)) == (0, 1)


def test_each_label_has_its_own_horizon_and_a_later_loss_still_comes_first() -> None:
    """Rule: lost by payment after that label's horizon is 0 for it, and 0 for the other, whose cause did not come."""
    assert outcome(*HERE, (7, *PAID)) == (0, 0)
    assert outcome((7, *PAID)) == (0, 0)  # silent for ten days from the snapshot, but gone on the seventh
    assert outcome() == (1, 0)


def test_without_a_second_label_nothing_is_said_of_it() -> None:
    """Rule: the head is there only where it is declared."""
    assert outcome(*HERE, (3, *PAID), churn=ONE) == (1, None)


def test_an_example_with_both_labels_is_read_as_it_was_written() -> None:
    """Rule: exact to the last bit; an older record has no second label."""
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


# The head ------------------------------------------------------------------------------------------------------------


def lesson(seed: int) -> tuple[np.ndarray, np.ndarray, bool, InvoluntaryLabel]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=SPACE.size)
    open_ = float(rng.random() < 0.2)
    x[NAMES.index("dunning_open")] = open_
    x[NAMES.index("recency_days")] = 30.0 * rng.random()
    return x, np.zeros(SPACE.size), bool(rng.random() < 0.2), InvoluntaryLabel(int(rng.random() < 0.4 * open_), None)


def taught(labels: int, model: Model | None = None, start: int = 0) -> Model:
    model = Model(SPACE) if model is None else model
    for i in range(start, start + labels):
        x, m, y, second = lesson(i)
        model.learn(x, m, y, i // 50, None, None, second)
    return model


def test_a_snapshot_carries_both_heads_and_what_is_learned_after_it() -> None:
    """Rule: restored, it answers and learns on with the same bits."""
    model = taught(400)
    again = Model.restore(model.snapshot(), SPACE)
    assert again.snapshot() == model.snapshot()
    assert taught(50, again, 400).snapshot() == taught(50, model, 400).snapshot()
    x, m = np.array([lesson(i)[0] for i in range(20)]), np.zeros((20, SPACE.size))
    horizons = Horizons(30 * DAY_MS, 14 * DAY_MS)
    one, other = (
        score_both(s, x, m, horizons) for s in (model.scorer(), Model.restore_scorer(model.snapshot(), SPACE))
    )
    assert one.probability.tobytes() == other.probability.tobytes()
    assert one.contributions().tobytes() == other.contributions().tobytes()


def test_a_snapshot_without_the_second_head_is_read() -> None:
    """Rule: its prior answers until there are labels; the first head is the same with and without it."""
    model = Model(SPACE)
    for i in range(300):
        x, m, y, _ = lesson(i)
        model.learn(x, m, y, i // 50)
    assert b"involuntary" not in model.snapshot()
    scorer = Model.restore_scorer(model.snapshot(), SPACE)
    x, m = np.array([lesson(i)[0] for i in range(40)]), np.zeros((40, SPACE.size))
    both = score_both(scorer, x, m, Horizons(30 * DAY_MS, 14 * DAY_MS))
    assert both.voluntary.probability.tobytes() == scorer.score(x, m).probability.tobytes()
    open_ = x[:, NAMES.index("dunning_open")] > 0.5
    assert both.involuntary.probability[open_].min() > both.involuntary.probability[~open_].max()
    assert taught(300).score(x, m).probability.tobytes() == both.voluntary.probability.tobytes()


def test_the_head_learns_what_threatens_payments() -> None:
    """Rule: the columns of payments speak, others do not."""
    scores = (
        taught(2000).scorer().involuntary.score(np.array([lesson(i)[0] for i in range(50)]), np.zeros((50, SPACE.size)))
    )
    parts = np.abs(scores.contributions()).sum(axis=0)
    assert NAMES[int(np.argmax(parts))] == "dunning_open"
    assert parts[NAMES.index("recency_days")] == 0.0


# Both together -------------------------------------------------------------------------------------------------------


def both_of(n: int = 60) -> CombinedScores:
    x, m = np.array([lesson(i)[0] for i in range(n)]), np.zeros((n, SPACE.size))
    return score_both(taught(800).scorer(), x, m, Horizons(30 * DAY_MS, 14 * DAY_MS))


def test_together_they_add_up_and_so_do_the_reasons() -> None:
    """Rule: causes exclude each other, so probabilities add; contributions and bias add up to the log-odds."""
    both = both_of()
    assert np.allclose(both.probability, both.voluntary.probability + both.involuntary.probability, atol=1e-12)
    total = both.contributions().sum(axis=1) + both.bias()
    assert np.allclose(total, both.log_odds, atol=1e-9)
    assert np.allclose(1 / (1 + np.exp(-both.log_odds)), both.probability, atol=1e-9)
    low, high = both.ci90().T
    assert (low < both.probability).all()
    assert (both.probability < high).all()


def test_a_row_has_the_same_bits_in_any_batch() -> None:
    """Rule: outputs are a function of the log, not of how it is cut."""
    both, horizons, scorer = both_of(), Horizons(30 * DAY_MS, 14 * DAY_MS), taught(800).scorer()
    for i in (0, 7, 59):
        alone = score_both(scorer, lesson(i)[0][None, :], np.zeros((1, SPACE.size)), horizons)
        for name in ("probability", "log_odds", "billing"):
            assert getattr(alone, name)[0] == getattr(both, name)[i]
        for method in ("contributions", "bias", "ci90"):
            assert getattr(alone, method)()[0].tobytes() == getattr(both, method)([i])[0].tobytes()


def test_two_models_that_exceed_one_are_held_below_it() -> None:
    """Rule: a probability, whatever two regressions say that do not know of each other."""
    both = both_of(3)
    certain = np.full(3, 0.9)
    held = CombinedScores.of(
        type(both.voluntary)(**{**vars(both.voluntary), "probability": certain}),
        type(both.voluntary)(**{**vars(both.involuntary), "probability": certain}),
        Horizons(DAY_MS, DAY_MS),
    )
    assert held.probability.tolist() == [HIGHEST] * 3
    assert np.isfinite(held.log_odds).all()
    assert np.isfinite(held.contributions()).all()


def test_the_route_is_that_of_the_greater_hazard_a_day() -> None:
    """Rule: horizons differ, so probabilities are compared as hazards; who is equal goes to success."""
    half = np.array([0.2, 0.2, 0.2])
    assert by_payment(half, np.array([0.11, 0.09, 0.2]), Horizons(30 * DAY_MS, 15 * DAY_MS)).tolist() == [
        True,
        False,
        True,
    ]
    assert not by_payment(half[:1], half[:1], Horizons(DAY_MS, DAY_MS))[0]


# What leaves ---------------------------------------------------------------------------------------------------------


def told(churn: ChurnDefinition) -> tuple[list[dict[str, Any]], World]:
    world = World(churn, taught(600).scorer())
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
            json.loads(one.value) for one in to_records(world.partition.context, effects, world.store)[0] if one.value
        ]
    return values, world


def test_scores_say_both_probabilities_and_how_payments_stand() -> None:
    """Rule: one probability each, together the score's; dunning since the first failure."""
    values, _ = told(BOTH)
    last = values[-1]
    risks = last["risks"]
    assert last["probability"] == pytest.approx(sum(risks[cause]["probability"] for cause in risks))
    assert [risks[cause]["horizon_days"] for cause in ("voluntary", "involuntary")] == [10.0, 5.0]
    assert last["route"] == BILLING
    assert (last["payments"]["failed"], last["payments"]["dunning_days"]) == (2, 1)
    assert last["reasons"][0]["code"] == "PAYMENT_FAILED"


def test_without_a_second_label_the_route_is_success_and_payments_are_told() -> None:
    """Rule: every field is there always."""
    values, _ = told(ChurnDefinition.parse(ONE))
    last = values[-1]
    assert (last["route"], last["risks"], last["payments"]["failed"]) == (SUCCESS, None, 2)


def test_an_alert_that_an_earlier_release_kept_is_told_with_every_field() -> None:
    """Rule: what is new reads as nothing known."""
    kept = b'{"customer":{"id":"c"},"score":{}}'
    value = json.loads(alert_value(AlertEvent("reminded", "a", "c/d", 2, "open", "high", 0, 0, note=kept)))
    assert (value["route"], value["risks"], value["payments"]) == (SUCCESS, None, None)
    assert value["customer"] == {"id": "c"}


def test_who_takes_an_alert_up_is_settled_when_it_opens() -> None:
    """Rule: the newest score of the dwell says it; it stays until the end, so that who was told hears of the end."""
    policy = AlertSettings(definition="d", dwell_ms=HOUR_MS)

    def routes(*scores: tuple[int, float, bool]) -> list[tuple[str, str]]:
        state, told = None, []
        for at_ms, percentile, billing in scores:
            score = AlertScore(at_ms, percentile / 2, percentile, 0.1, "c", billing=billing)
            state, events, _ = step(state, score, policy, at_ms, customer="c")
            told += [(event.type, event.route) for event in events]
        return told

    dwell = HOUR_MS // 2
    assert routes((0, 0.97, False), (dwell, 0.97, True), (3 * HOUR_MS, 0.999, False), (4 * HOUR_MS, 0.1, False)) == [
        ("opened", BILLING),
        ("escalated", BILLING),
        ("resolved", BILLING),
    ]
    assert routes((0, 0.97, True), (dwell, 0.97, False), (3 * HOUR_MS, 0.999, True))[0] == ("opened", SUCCESS)


def test_an_alert_of_a_failed_payment_goes_to_billing_through_the_fold() -> None:
    """Rule: from the event to the alert's value; the playbook is that of payments."""
    text = CHURN + '[alerts]\nenter = 0.4\nexit = 0.35\ndwell = "0d"\n'
    world = World(ChurnDefinition.parse(text), taught(600).scorer())
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


def test_the_context_has_horizons_only_with_a_second_label() -> None:
    assert World(BOTH).partition.context.horizons == Horizons(10 * DAY_MS, 5 * DAY_MS)
    assert OutputContext("d", "c", 1).horizons is None


# How good they were --------------------------------------------------------------------------------------------------


def test_each_cause_is_judged_by_its_own_label_and_both_by_either() -> None:
    """Rule: the sum of the probabilities against being lost at all; without a second label nothing is judged."""
    world = World(BOTH, Model(SPACE).scorer())
    world.feed(*simulated(customers=60, days=60, shops=0.0, mix={"payment": 1.0}))
    found = {one.cause: one for one in judge_causes(world.examples, BOTH)}
    assert [one.horizon_days for one in found.values()] == [10.0, 5.0, None]
    assert found["together"].quality.positives == sum(found[c].quality.positives for c in ("voluntary", "involuntary"))
    assert found["involuntary"].quality.positives > 0
    assert found["involuntary"].quality.auc > 0.8  # the prior alone: payments that are open
    half = world.examples[len(world.examples) // 2].snapshot_ms
    assert judge_causes(world.examples, BOTH, half)[0].quality.n < found["voluntary"].quality.n
    assert judge_causes(world.examples, ChurnDefinition.parse(ONE)) == ()
    report = evaluate(ExampleColumns.of(world.examples), causes=list(found.values()))
    table = next(one for one in tables(report) if one.title == "Churn by cause")
    assert [row[0] for row in table.rows] == [
        "voluntary, 10 d",
        "involuntary (payment failure), 5 d",
        "either cause",
    ]


def test_an_alert_of_who_was_lost_by_a_payment_was_right() -> None:
    """Rule: an alert is about being lost, whichever cause it was routed by."""
    at = START_MS
    more: Any = (b"", b"", 0.1, (0.1, 0.1, 0.1), 0, {}, "m", "d", 0, InvoluntaryLabel(1, 0.3, at + 4 * DAY_MS))
    example = TrainingExample("c", at, at + 12 * DAY_MS, *more)
    change = AlertEvent("opened", "a", "c", 1, "open", "high", at + DAY_MS, at + DAY_MS, route=BILLING)
    opened = AlertOutput(b"c", change, b"{}")
    found = judge([opened], [example], BOTH)
    assert found.routes == {BILLING: RouteQuality(1, 1, 1, 1), SUCCESS: RouteQuality(0, 0, 0, 0)}
    assert judge([opened], [example], ChurnDefinition.parse(ONE)).routes == {}
    assert (found.judged, found.right, found.churned, found.found, found.lead_days_median) == (1, 1, 1, 1, 3.0)
