"""The log of a process while no broker answers."""

from __future__ import annotations

import logging

from streams.worker import Seldom


def record(at_s: float, name: str, *arguments: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "file", 1, "Unable connect to node %s: %s", arguments, None)
    made.created = at_s
    return made


def test_what_the_client_repeats_is_said_once_in_ten_seconds() -> None:
    """Rule: the first at once, the next after ten seconds with the number in between; a hundred a second are one."""
    seldom = Seldom()
    said = [
        made.getMessage()
        for made in (record(1_000 + n / 100, "aiokafka", n % 3, "refused") for n in range(2_001))
        if seldom.filter(made)
    ]
    assert said == [
        "Unable connect to node 0: refused",
        "Unable connect to node 1: refused (and 999 times before)",
        "Unable connect to node 2: refused (and 999 times before)",
    ]


def test_our_own_words_are_never_left_out() -> None:
    """Rule: only the client's; and another logger of it is another matter."""
    seldom = Seldom()
    assert all(seldom.filter(record(1_000, "streams.ownership", 1, "lost")) for _ in range(100))
    assert seldom.filter(record(1_000, "aiokafka", 1, "x"))
    assert seldom.filter(record(1_000, "aiokafka.consumer.fetcher", 1, "x"))
