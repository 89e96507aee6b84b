"""Champion/challenger selection: correct log losses, one active model, and no flapping."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.learning.champion_challenger import HALF_LIFE_DAYS, SETTLE_DAYS, SETTLE_LABELS, ChampionSelector, log_loss


def update(selector: ChampionSelector, labels: int, champion: float, challenger: float, seed: int = 1) -> None:
    """Random labels with rate 0.3, and members that predict fixed probabilities."""
    rng = np.random.default_rng(seed)
    for i in range(labels):
        selector.update(bool(rng.random() < 0.3), i // 100, champion, challenger, 0.5, champion)


def update_days(selector: ChampionSelector, first: int, end: int, champion: float, challenger: float) -> None:
    """100 labels per day, three in ten of them 1."""
    for day in range(first, end):
        for i in range(100):
            selector.update(i % 10 < 3, day, champion, challenger, 0.5, champion)


def test_losses_are_undefined_before_the_first_label() -> None:
    selector = ChampionSelector()
    assert selector.active == "champion"
    assert all(math.isnan(loss) for loss in selector.losses.values())


def test_loss_is_the_mean_decayed_by_day_with_the_stated_half_life() -> None:
    """One day with a loss of log 2, then a half-life of days with a loss of 0."""
    selector = ChampionSelector()
    selector.update(True, 0, 0.5, 0.5, 0.5, 0.5)
    for day in range(1, HALF_LIFE_DAYS + 1):
        selector.update(True, day, 1.0, 1.0, 1.0, 1.0)
    weights = sum(0.5 ** (day / HALF_LIFE_DAYS) for day in range(HALF_LIFE_DAYS + 1))
    assert selector.losses["champion"] == pytest.approx(math.log(2) * 0.5 / weights)


def test_better_challenger_becomes_active_and_the_switch_is_recorded() -> None:
    selector = ChampionSelector()
    update(selector, 4000, champion=0.6, challenger=0.3)
    assert selector.active == "challenger"
    (switch,) = selector.switches
    assert (switch.answering, switch.day) == ("challenger", switch.labels // 100)
    assert switch.labels >= SETTLE_LABELS
    assert switch.day >= SETTLE_DAYS
    assert switch.challenger < switch.champion


def test_random_lead_causes_no_switch() -> None:
    """Both members are equally good on average, and each leads at random: at most one switch."""
    rng = np.random.default_rng(4)
    selector = ChampionSelector()
    for i in range(8000):
        a, b = rng.normal(0, 0.1, size=2)
        p = 0.3
        selector.update(bool(rng.random() < p), i // 100, p + a, p + b, 0.5, p)
    assert len(selector.switches) <= 1


def test_small_lead_causes_no_switch() -> None:
    selector = ChampionSelector()
    update(selector, 6000, champion=0.32, challenger=0.3)
    assert selector.switches == []


def test_lead_on_alternate_days_causes_no_switch() -> None:
    """Labels of one day are correlated: the challenger leads by far on odd days and trails as far on even days."""
    selector = ChampionSelector()
    for i in range(9000):
        day = i // 100
        p = 0.7 if day % 2 else 0.3
        selector.update(i % 2 == 0, day, 0.5, p if i % 2 == 0 else 1 - p, 0.5, 0.5)
    assert selector.switches == []


def test_champion_becomes_active_again_when_it_is_no_longer_behind() -> None:
    selector = ChampionSelector()
    update(selector, 4000, champion=0.6, challenger=0.3)
    update_days(selector, 40, 80, champion=0.3, challenger=0.3001)
    assert [switch.answering for switch in selector.switches] == ["challenger"]
    update_days(selector, 80, 400, champion=0.3, challenger=0.6)
    assert [switch.answering for switch in selector.switches] == ["challenger", "champion"]
    assert selector.switches[1].day - selector.switches[0].day >= SETTLE_DAYS


def test_log_loss_of_an_invalid_probability_is_bounded() -> None:
    assert log_loss(0.0, True) == log_loss(-3.0, True) < 17
    assert log_loss(1.0, True) == 0.0


def test_restored_selector_continues_with_the_same_state() -> None:
    original = ChampionSelector()
    update(original, 1500, champion=0.6, challenger=0.3)
    restored = ChampionSelector.restore(original.state())
    update(original, 500, champion=0.4, challenger=0.3)
    update(restored, 500, champion=0.4, challenger=0.3)
    assert original.state() == restored.state()
