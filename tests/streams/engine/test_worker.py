"""How a process ends: with an exit code and one line, whatever tasks are left in its loop."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import WAIT_S

LEFT_BEHIND = """
import asyncio
from streams.errors import OwnershipLost
from streams.logs import exit_now
from streams.engine.worker import run_until_signal

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def main(stop):
    main.left = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    raise OwnershipLost("fenced; start again")

exit_now(run_until_signal(main))
"""


def test_a_task_that_ignores_cancellation_does_not_keep_the_process_alive() -> None:
    """Rule: after logging one line a process exits at once (a fenced one with 75), so that it can be restarted."""
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 75
    assert "fenced; start again" in done.stderr
