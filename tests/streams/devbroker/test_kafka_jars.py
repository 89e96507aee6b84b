"""Fetching Kafka's jars: one process at a time, because jgo refuses a file that another one has just written."""

from __future__ import annotations

import threading

from streams.devbroker.kafka_jars import _alone


def test_nobody_fetches_while_somebody_else_does() -> None:
    """Rule: two brokers that start at once on a bare machine take turns."""
    entered = threading.Event()

    def second() -> None:
        with _alone():
            entered.set()

    with _alone():
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.2)
    assert entered.wait(5.0)
    other.join()
