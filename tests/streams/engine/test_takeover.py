"""Limits of a takeover: a recovery that stands still is given up, however long one with progress takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.engine import takeover
from streams.engine.input_topic import InputTopic
from streams.engine.takeover import PartitionNames, Takeover
from streams.settings import Settings
from tests import virtual_clock

LIMIT_S = takeover._NO_PROGRESS_S


def recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to_go: list[int]) -> dict[int, tuple[int, int]]:
    """Run a recovery that reports these records to go, two thirds of the limit apart; returns the last report."""

    async def recover(_settings: Any, _topic: str, _stores: Any, progress: Callable[[int, int, int], None]) -> Any:
        for left in to_go:
            await asyncio.sleep(LIMIT_S * 2 / 3)
            progress(0, left, 100)
        return {0: None}

    monkeypatch.setattr(takeover, "recover", recover)
    reported: dict[int, tuple[int, int]] = {}
    unused: Any = None
    taking = Takeover(
        Settings(data_dir=str(tmp_path)),
        PartitionNames("worker", "events", "changelog"),
        unused,
        unused,
        InputTopic("events", unused, ""),
        lambda number, left, total: reported.__setitem__(number, (left, total)),
    )
    assert virtual_clock.run(taking._recover({})) == {0: None}
    return reported


def test_long_recovery_with_progress_is_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recovery(tmp_path, monkeypatch, [80, 60, 40, 20, 0]) == {0: (0, 100)}


def test_recovery_without_progress_is_given_up_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: reports of the same number are no progress: the reader polls a broker that answers nothing."""
    with pytest.raises(TimeoutError):
        recovery(tmp_path, monkeypatch, [80, 80, 80])
