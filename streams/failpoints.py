"""Failpoints: named points in the code where a crash test can kill the process.

`CHURN_FAILPOINT=before-store:3` sends SIGKILL on the third pass. Call sites read `if FAILPOINT: failpoint("name")`, so
that without the variable each costs one check of a module constant. Tested by tests/crash/test_matrix.py.
"""

from __future__ import annotations

import os
import signal
from typing import Final

NAMES: Final = (
    "after-decode",  # events read, nothing applied
    "after-apply",  # effects computed, no transaction begun
    "inside-transaction",  # records sent, transaction not committed
    "before-store",  # transaction committed, local store not written
    "after-store",  # local store written, processor not notified
    "before-group-commit",  # all done except the group offset, which serves lag monitoring only
    "mid-recovery",  # part of the changelog read
    "before-notify-commit",  # alert delivered to a webhook, offset not committed
    "mid-snapshot",  # model snapshot sent, transaction not committed
)


def _armed(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    name, _, count = text.partition(":")
    if name not in NAMES:
        raise SystemExit(f"CHURN_FAILPOINT={text!r}: {name!r} is not one of {', '.join(NAMES)}")
    return name, int(count or 1)


FAILPOINT: Final = _armed(os.environ.get("CHURN_FAILPOINT", ""))
_hits = 0


def failpoint(name: str) -> None:
    """Kill the process, without clean-up, once the armed failpoint was reached often enough."""
    global _hits
    if FAILPOINT is not None and name == FAILPOINT[0]:
        _hits += 1
        if _hits >= FAILPOINT[1]:
            os.kill(os.getpid(), signal.SIGKILL)
