"""Claim 13: child processes run nothing from the working directory, and get no settings that they do not need."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from streams.devbroker import embedded_broker
from streams.scoring.explain_process import Explainer, child_environment


def test_search_paths_of_a_child_have_no_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: an empty entry, as `PYTHONPATH=$PYTHONPATH:/x` leaves it, means the working directory and is left out."""
    monkeypatch.setenv("PYTHONPATH", f":/opt/x:{os.pathsep}lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("CHURN_KAFKA_SASL_PASSWORD", "s3cr3t")
    environment = child_environment()
    assert environment["PYTHONPATH"].split(os.pathsep) == ["/opt/x", os.path.abspath("lib")]
    assert environment["LD_LIBRARY_PATH"] == ""
    assert not [name for name in environment if name.startswith("CHURN_")]


def test_explain_process_starts_outside_of_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    started: dict[str, Any] = {}

    def popen(command: list[str], **options: Any) -> None:
        started.update(options, command=command)
        raise OSError("not started in this test")

    monkeypatch.setattr(subprocess, "Popen", popen)
    Explainer()._start()
    assert started["cwd"] == "/"
    assert started["env"] == child_environment()
    assert started["command"][1] == "-P"


def test_embedded_broker_gets_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: Kafka needs none of them, and some are secrets."""
    monkeypatch.setenv("CHURN_KAFKA_SASL_PASSWORD", "s3cr3t")
    environment = embedded_broker._environment()
    assert "CHURN_KAFKA_SASL_PASSWORD" not in environment
    assert environment["PATH"] == os.environ["PATH"]
