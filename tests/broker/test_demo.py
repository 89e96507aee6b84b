"""The demo as users start it: figures and alerts appear, and no process remains after any kind of exit."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.processes import children_of, wait_ended
from tests.waiting import WAIT_S, wait_until

COMMAND = [sys.executable, "-c", "from streams.cli.main import main; main()", "demo"]


class Demo:
    """A running demo with few customers, and its output so far."""

    def __init__(self, directory: Path) -> None:
        self.place = directory / "place"
        self._printed = directory / "printed"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}
        options = ["--data-dir", str(self.place), "--config", str(ROOT / "churn.toml"), "--customers", "100"]
        with self._printed.open("wb") as file:
            self.process = subprocess.Popen([*COMMAND, *options], stdout=file, stderr=file, env=environment, cwd=ROOT)

    @property
    def text(self) -> str:
        return self._printed.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until a line matches."""

        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.text
            return re.search(pattern, self.text, re.MULTILINE)

        match = wait_until(f"a line with {pattern}", found, context=lambda: self.text)
        assert match is not None
        return match

    def family(self) -> dict[int, str]:
        """Return the process ids of its children."""
        return children_of(self.process.pid)

    def member(self, word: str) -> int:
        """Wait for the process with this word in its command line."""
        found = wait_until(
            f"a process {word}",
            lambda: [pid for pid, command in self.family().items() if word in command],
            context=lambda: (self.family(), self.text),
        )
        return found[0]


@contextmanager
def running(directory: Path) -> Iterator[Demo]:
    demo = Demo(directory)
    try:
        yield demo
    finally:
        demo.process.kill()  # its children end with it, which another test checks
        demo.process.wait()


def listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_figures_and_alerts_appear_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        port = int(demo.wait_for(r" at 127\.0\.0\.1:(\d+)")[1])
        assert listening(port)
        demo.wait_for(
            r"^2000-03-\d\d   [1-9][\d,]* events/s   lag \d+   [1-9]\d* labels \(\d+ churned\)   log loss 0\.\d"
        )
        demo.wait_for(r"% churn risk within 30 days")
        demo.wait_for(r"[1-9]\d* alerts \(\d+ open")
        family = demo.family()
        assert len(family) == 4, family
        with urllib.request.urlopen(demo.wait_for(r"Console: (http://127\.0\.0\.1:\d+/)")[1], timeout=WAIT_S) as answer:
            assert b"<h1>Alerts</h1>" in answer.read()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(WAIT_S) == 0, demo.text
        wait_ended(family)
        assert not listening(port)
        assert not demo.place.exists()
        assert re.search(r"^[1-9][\d,]+ events, [1-9]\d* alerts; ", demo.text, re.MULTILINE)
        assert "Traceback" not in demo.text


def test_dead_worker_ends_the_demo_with_the_reason(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        worker = demo.member("child worker")
        demo.member("child trainer")
        family = demo.family()
        os.kill(worker, signal.SIGKILL)
        assert demo.process.wait(WAIT_S) == 1, demo.text
        assert (
            f"Error: the worker was killed by SIGKILL. The last lines of its log ({demo.place}/worker.log)" in demo.text
        )
        wait_ended(family)
        assert (demo.place / "worker.log").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="a broker without its parent ends by itself on Linux only")
def test_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path) as demo:
        demo.member("child console")
        family = demo.family()
        assert len(family) == 4, family
        demo.process.kill()
        wait_ended(family)
