"""Claim 13: child processes run nothing from the working directory, and get no settings that they do not need."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.demo.processes import ChildProcess
from streams.devbroker import embedded_broker
from streams.runtime import search_paths
from streams.runtime.search_paths import without_working_directory
from streams.scoring.explain_process import Explainer, child_environment
from tests.paths import ROOT


def test_docstring_examples_hold() -> None:
    assert doctest.testmod(search_paths).failed == 0


def test_search_paths_of_a_child_have_no_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rule: an empty entry, as `PYTHONPATH=$PYTHONPATH:/x` leaves it, means the working directory and is left out."""
    monkeypatch.setenv("PYTHONPATH", f":/opt/x:{os.pathsep}lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    monkeypatch.setenv("CHURN_KAFKA_SASL_PASSWORD", "s3cr3t")
    demo = ChildProcess("worker", ("worker",), {"CHURN_CPU": "none"}, tmp_path)._environment
    for environment in (child_environment(), demo):
        assert environment["PYTHONPATH"].split(os.pathsep) == ["/opt/x", os.path.abspath("lib")]
        assert environment["LD_LIBRARY_PATH"] == ""
        assert "CHURN_KAFKA_SASL_PASSWORD" not in environment
    assert demo["CHURN_CPU"] == "none"


def test_python_reads_an_empty_entry_as_the_working_directory(tmp_path: Path) -> None:
    """Setup: a module in the working directory, and `python -P`. Rule: it is found only before the entry is removed."""
    (tmp_path / "hostile.py").write_text("")
    program = [sys.executable, "-P", "-c", "import importlib.util as u; print(u.find_spec('hostile') is not None)"]
    environment = {"PYTHONPATH": ":/nowhere", "PATH": os.environ["PATH"]}
    found = [
        subprocess.run(program, cwd=tmp_path, env=given, capture_output=True, text=True, check=True).stdout.strip()
        for given in (environment, without_working_directory(environment))
    ]
    assert found == ["True", "False"]


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


def test_python_in_the_image_does_not_import_from_the_data_volume() -> None:
    """Rule: this holds for whatever is started there. The data volume is the working directory."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("FROM python:")[-1]
    assert "WORKDIR /data\n" in text
    assert "PYTHONSAFEPATH=1" in text


def test_embedded_broker_gets_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: Kafka needs none of them, and some are secrets."""
    monkeypatch.setenv("CHURN_KAFKA_SASL_PASSWORD", "s3cr3t")
    environment = embedded_broker._environment()
    assert "CHURN_KAFKA_SASL_PASSWORD" not in environment
    assert environment["PATH"] == os.environ["PATH"]
