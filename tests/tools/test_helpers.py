"""What tests wait and look for processes with."""

from __future__ import annotations

import asyncio
import doctest
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ports, virtual_clock, waiting
from tests.processes import children_of, runs, wait_ended


@pytest.mark.parametrize("module", [ports, virtual_clock, waiting], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    ran = doctest.testmod(module)  # type: ignore[arg-type]
    assert ran.attempted > 0
    assert ran.failed == 0


def test_a_condition_may_be_a_coroutine_and_its_result_is_returned() -> None:
    async def body() -> None:
        answers = iter([[], [], ["found"]])

        async def looked() -> list[str]:
            return next(answers)

        assert await waiting.until("an answer", looked) == ["found"]
        with pytest.raises(AssertionError, match="waited 1 s for nothing: the log"):
            await waiting.until("nothing", bool, within_s=1.0, context=lambda: "the log")

    asyncio.run(body())


def test_children_are_listed_with_their_whole_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: no terminal's width cuts them, however deep a directory is; one that has ended is none."""
    monkeypatch.setenv("COLUMNS", "80")
    command = [sys.executable, "-c", "import time; time.sleep(300)", "x" * 200, "the-last-word"]
    with subprocess.Popen(command) as child:
        waiting.wait_until("the program", lambda: "the-last-word" in children_of(os.getpid()).get(child.pid, ""))
        assert runs(child.pid)
        child.kill()
        wait_ended([child.pid])  # it is a zombie until its parent collects it
        assert child.pid not in children_of(os.getpid())
    assert not runs(child.pid)


def test_the_virtual_clock_needs_no_time() -> None:
    """Rule: what is ready runs before the clock moves."""
    seen: list[tuple[str, float]] = []

    async def one(name: str, wait_s: float) -> None:
        for _ in range(3):
            await asyncio.sleep(wait_s)
            seen.append((name, asyncio.get_running_loop().time()))

    async def body() -> None:
        await asyncio.gather(one("a", 10.0), one("b", 25.0))

    began_s = time.monotonic()
    virtual_clock.run(body())
    assert time.monotonic() - began_s < 30
    assert seen == [("a", 10), ("a", 20), ("b", 25), ("a", 30), ("b", 50), ("b", 75)]
