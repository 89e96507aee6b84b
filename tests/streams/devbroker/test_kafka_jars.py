"""Download of Kafka's jars: one process at a time, because jgo fails on a file that another process is writing."""

from __future__ import annotations

import threading

from streams.devbroker.kafka_jars import _download_lock


def test_downloads_of_two_processes_do_not_overlap() -> None:
    """Rule: of two brokers that start at the same time on a new machine, the second waits."""
    entered = threading.Event()

    def second() -> None:
        with _download_lock():
            entered.set()

    with _download_lock():
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.2)
    assert entered.wait(5.0)
    other.join()
