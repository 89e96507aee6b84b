"""Owners of partitions, as the members of a group describe their assignments."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from streams.admin.lag import _owners

GOOD = ConsumerProtocolMemberAssignment(0, [("customer-events", [0, 1])], b"").encode()


def member(name: str, assignment: bytes) -> dict[str, Any]:
    return {"member_id": name, "client_id": name, "client_host": "/127.0.0.1", "member_assignment": assignment}


@pytest.mark.parametrize("foreign", [b"not an assignment", b"\x00", b"\xff" * 40, GOOD[:-3]])
def test_member_with_a_foreign_assignment_owns_nothing(foreign: bytes) -> None:
    """Rule: a client of another kind that joined the group does not hide the owners of the other partitions."""
    owners = _owners([member("stranger", foreign), member("worker", GOOD), member("standby", b"")])
    assert {tp: owner.client for tp, owner in owners.items()} == {
        TopicPartition("customer-events", 0): "worker",
        TopicPartition("customer-events", 1): "worker",
    }
