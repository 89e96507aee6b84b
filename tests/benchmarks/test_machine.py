"""The description of the machine that every benchmark prints."""

from __future__ import annotations

from benchmarks.machine import describe, machine


def test_machine_is_described_with_the_version_of_kafka() -> None:
    """Rule: the files that the description reads exist where it looks for them."""
    found = machine()
    assert found["kafka"][0].isdigit()
    assert f"Apache Kafka {found['kafka']}" in describe(found)
