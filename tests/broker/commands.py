"""Calling `churn-signals` against a run's topics: in this process, or as a program that gets signals."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from click.testing import CliRunner, Result

from streams.cli.main import main
from streams.settings import Settings, variable
from tests.crash.harness import Run


def environment(run: Run) -> dict[str, str]:
    texts = {field.name: getattr(run.settings, field.name) for field in dataclasses.fields(Settings)}
    return {variable(n): str(v).lower() if isinstance(v, bool) else str(v) for n, v in texts.items()}


def call(run: Run, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**environment(run), "COLUMNS": "200"})


def interrupt(run: Run, *arguments: str, when: Callable[[str], bool]) -> tuple[int, str]:
    """Start the command, send Ctrl-C when something is so (given what it printed); its exit code and all it printed."""
    output = run.directory / "printed"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from streams.cli.main import main; main()", *arguments],
            env={**os.environ, **environment(run)},
            stdout=file,
            stderr=file,
        )
    deadline = time.monotonic() + 20
    try:
        while not when(output.read_text()):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=20), output.read_text()
    finally:
        process.kill()
        process.wait()
