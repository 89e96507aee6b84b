"""Call `churn-signals` with a run's topics: in this process, or as a program that receives signals."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from click.testing import CliRunner, Result

from streams.cli.main import main
from streams.settings import Settings, variable
from tests.crash.harness import Run
from tests.waiting import WAIT_S, wait_until


def environment(run: Run) -> dict[str, str]:
    texts = {field.name: getattr(run.settings, field.name) for field in dataclasses.fields(Settings)}
    return {variable(n): str(v).lower() if isinstance(v, bool) else str(v) for n, v in texts.items()}


def call(run: Run, *arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), env={**environment(run), "COLUMNS": "200"})


def interrupt(run: Run, *arguments: str, when: Callable[[str], bool]) -> tuple[int, str]:
    """Start the command, send Ctrl-C once a condition on its output holds, and return its exit code and output."""
    output = run.directory / "printed"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from streams.cli.main import main; main()", *arguments],
            env={**os.environ, **environment(run)},
            stdout=file,
            stderr=file,
        )

    def so() -> bool:
        assert process.poll() is None, output.read_text()
        return when(output.read_text())

    try:
        wait_until("the moment for Ctrl-C", so, every_s=0.1, context=output.read_text)
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=WAIT_S), output.read_text()
    finally:
        process.kill()
        process.wait()
