"""SIGTERM ends every process in time while the broker is unreliable: a short form of `tests/crash/ending.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.ending import ROLES, End, end_with_own_broker, moments

SERVICES = tuple(role for role in ROLES if role != "simulate")


def problems(ends: list[End]) -> list[str]:
    return [end.problem for end in ends if end.problem]


def test_services_end_in_time_while_the_broker_is_stopped(tmp_path: Path) -> None:
    """Setup: all services are at work under load when the broker stops answering."""
    ends = list(moments(1, seed=1, directory=tmp_path, roles=SERVICES, starts=0.0))
    assert [(end.role, end.harm) for end in ends] == [(role, "stopped") for role in SERVICES]
    assert problems(ends) == []


@pytest.mark.parametrize("command", ["demo", "broker"])
def test_demo_and_broker_end_in_time_although_their_kafka_is_stopped(command: str, tmp_path: Path) -> None:
    """Rule: a stopped Kafka, which answers no client and handles no signal, delays neither."""
    assert problems([end_with_own_broker(tmp_path, 4.0, "stopped", command)]) == []
