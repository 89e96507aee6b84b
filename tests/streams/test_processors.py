"""Binding threads to a processor."""

from __future__ import annotations

import os
import threading

import pytest

from streams.errors import ConfigurationError
from streams.processors import bind


def test_a_thread_and_those_it_starts_are_bound_and_no_other() -> None:
    """Rule: what ran before (the thread that starts the process which explains scores) stays where it was."""
    before, seen = os.sched_getaffinity(0), []
    number = min(before)

    def bound() -> None:
        bind(number)
        inner = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
        inner.start()
        inner.join()

    thread = threading.Thread(target=bound)
    thread.start()
    thread.join()
    assert seen == [{number}]
    assert os.sched_getaffinity(0) == before


def test_a_processor_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    with pytest.raises(ConfigurationError, match="CHURN_CPU=7: this process may use the processors 0, 1"):
        bind(7)
