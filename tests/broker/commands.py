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
from harness import Run

from streams.cli.main import main
from streams.settings import Settings, variable


def environment(run: Run) -> dict[str, str]:
    texts = {field.name: getattr(run.settings, field.name) for field in dataclasses.fields(Settings)}
    return {variable(n): str(v).lower() if isinstance(v, bool) else str(v) for n, v in texts.items()}


def call(run: Run, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**environment(run), "COLUMNS": "200"})


def interrupt(run: Run, *arguments: str, when: Callable[[], bool]) -> tuple[int, str]:
    """Start the command, send Ctrl-C when something is so; its exit code and all that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from streams.cli.main import main; main()", *arguments],
        env={**os.environ, **environment(run)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 20
    try:
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=20)[0]
        return process.returncode, printed
    finally:
        process.kill()
        process.wait()
