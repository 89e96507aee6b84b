"""The contest: honest losses, one answer, and no flapping."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.learning.champion_challenger import HALF_LIFE_DAYS, SETTLE_DAYS, SETTLE_LABELS, ChampionSelector, log_loss


def judge(contest: ChampionSelector, labels: int, champion: float, challenger: float, seed: int = 1) -> None:
    """`labels` coin flips with probability 0.3, members that say fixed probabilities."""
    rng = np.random.default_rng(seed)
    for i in range(labels):
        contest.judge(bool(rng.random() < 0.3), i // 100, champion, challenger, 0.5, champion)


def contest_days(contest: ChampionSelector, first: int, end: int, champion: float, challenger: float) -> None:
    """100 labels a day, three in ten of them 1."""
    for day in range(first, end):
        for i in range(100):
            contest.judge(i % 10 < 3, day, champion, challenger, 0.5, champion)


def test_nothing_is_known_before_the_first_label() -> None:
    contest = ChampionSelector()
    assert contest.answering == "champion"
    assert all(math.isnan(loss) for loss in contest.losses.values())


def test_a_loss_is_the_decayed_mean_with_the_stated_half_life() -> None:
    """A day with a loss of log 2, then a half-life of perfect days: the weights are by day, whatever the labels."""
    contest = ChampionSelector()
    contest.judge(True, 0, 0.5, 0.5, 0.5, 0.5)
    for day in range(1, HALF_LIFE_DAYS + 1):
        contest.judge(True, day, 1.0, 1.0, 1.0, 1.0)
    weights = sum(0.5 ** (day / HALF_LIFE_DAYS) for day in range(HALF_LIFE_DAYS + 1))
    assert contest.losses["champion"] == pytest.approx(math.log(2) * 0.5 / weights)


def test_the_better_one_takes_over_and_it_is_recorded() -> None:
    contest = ChampionSelector()
    judge(contest, 4000, champion=0.6, challenger=0.3)
    assert contest.answering == "challenger"
    (switch,) = contest.switches
    assert (switch.answering, switch.day) == ("challenger", switch.labels // 100)
    assert switch.labels >= SETTLE_LABELS
    assert switch.day >= SETTLE_DAYS
    assert switch.challenger < switch.champion


def test_a_lead_by_luck_changes_nothing() -> None:
    """Both are as good on average; each leads by chance again and again, and nobody switches."""
    rng = np.random.default_rng(4)
    contest = ChampionSelector()
    for i in range(8000):
        a, b = rng.normal(0, 0.1, size=2)
        p = 0.3
        contest.judge(bool(rng.random() < p), i // 100, p + a, p + b, 0.5, p)
    assert len(contest.switches) <= 1


def test_a_lead_too_small_to_matter_changes_nothing() -> None:
    contest = ChampionSelector()
    judge(contest, 6000, champion=0.32, challenger=0.3)
    assert contest.switches == []


def test_labels_of_one_day_are_not_independent() -> None:
    """Days swing together: the challenger leads by far on odd days and trails by as much on even ones; nobody leads."""
    contest = ChampionSelector()
    for i in range(9000):
        day = i // 100
        p = 0.7 if day % 2 else 0.3
        contest.judge(i % 2 == 0, day, 0.5, p if i % 2 == 0 else 1 - p, 0.5, 0.5)
    assert contest.switches == []


def test_the_champion_comes_back_when_it_is_no_longer_behind() -> None:
    contest = ChampionSelector()
    judge(contest, 4000, champion=0.6, challenger=0.3)
    contest_days(contest, 40, 80, champion=0.3, challenger=0.3001)
    assert [switch.answering for switch in contest.switches] == ["challenger"]
    contest_days(contest, 80, 400, champion=0.3, challenger=0.6)
    assert [switch.answering for switch in contest.switches] == ["challenger", "champion"]
    assert contest.switches[1].day - contest.switches[0].day >= SETTLE_DAYS


def test_a_frozen_probability_of_nonsense_costs_a_bounded_loss() -> None:
    assert log_loss(0.0, True) == log_loss(-3.0, True) < 17
    assert log_loss(1.0, True) == 0.0


def test_state_round_trips_and_goes_on_alike() -> None:
    one = ChampionSelector()
    judge(one, 1500, champion=0.6, challenger=0.3)
    two = ChampionSelector.restore(one.state())
    judge(one, 500, champion=0.4, challenger=0.3)
    judge(two, 500, champion=0.4, challenger=0.3)
    assert one.state() == two.state()
