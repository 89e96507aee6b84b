"""Named points where a test kills the process with SIGKILL: `CHURN_FAILPOINT=before-store:3` at the third pass.

Call them as `if FAILPOINT: failpoint("name")`: without the variable, that only tests a module constant.
"""

from __future__ import annotations

import os
import signal
from typing import Final

NAMES: Final = (
    "after-decode",  # events read, nothing applied
    "after-apply",  # effects known, no transaction
    "inside-transaction",  # records sent, not committed
    "before-store",  # committed, the local store not written
    "after-store",  # local store written, the processor not notified
    "before-group-commit",  # all done except the group offset, which serves lag monitoring
    "mid-recovery",  # part of the changelog read
    "before-notify-commit",  # an alert delivered to a webhook, the offset not committed
    "mid-snapshot",  # the trainer has sent a snapshot, not committed
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
    """Kill the process if this is the armed point, without any cleanup."""
    global _hits
    if FAILPOINT is not None and name == FAILPOINT[0]:
        _hits += 1
        if _hits >= FAILPOINT[1]:
            os.kill(os.getpid(), signal.SIGKILL)
