"""SIGTERM while a long-running command imports its modules and reads its settings."""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_on_early_sigterm() -> None:
    """Exit with 0 on SIGTERM until the process has a handler of its own: nothing is started, nothing must be closed.

    Without a handler, the first process of a container ignores SIGTERM.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os._exit(0)
