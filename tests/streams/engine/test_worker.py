"""How a process ends: with a code and a line, whatever is left in its loop."""

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


def test_a_task_that_cannot_be_cancelled_does_not_keep_a_process_that_has_ended() -> None:
    """Rule: after its one line a process ends at once, fenced ones with 75, and its supervisor can start it again."""
    done = subprocess.run([sys.executable, "-c", LEFT_BEHIND], capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 75
    assert "fenced; start again" in done.stderr
