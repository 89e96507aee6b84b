"""The group's assignor: members report the state they have with their join, and `assign_partitions` decides.

Tested by tests/streams/engine/test_assignment.py and tests/broker/test_procedures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from streams.engine.assignment import Claims, assign_partitions


class StateAwareAssignor(AbstractPartitionAssignor):
    """Assigns by `streams.engine.assignment.assign_partitions`.

    Args:
        claims: returns the state that this member has.
        on_total: called with the number of partitions that an assignment gives to all members together. A leader whose
            metadata are incomplete, for instance while a broker restarts, assigns fewer than there are.
    """

    name = "churn-signals-state-aware"
    version = 0

    def __init__(self, claims: Callable[[], Claims], on_total: Callable[[int | None], None]) -> None:
        self._claims, self._on_total = claims, on_total

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        claims = orjson.dumps(dict(self._claims()), option=orjson.OPT_NON_STR_KEYS)
        return ConsumerProtocolMemberMetadata(self.version, list(topics), claims)

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, ConsumerProtocolMemberAssignment]:
        topic = next(name for member in members.values() for name in member.subscription)
        claims = {member: decode_claims(metadata.user_data) for member, metadata in members.items()}
        partitions = cluster.partitions_for_topic(topic) or ()
        shares = assign_partitions(partitions, claims)
        total = orjson.dumps({"partitions": len(partitions)})
        return {
            member: ConsumerProtocolMemberAssignment(self.version, [(topic, numbers)] if numbers else [], total)
            for member, numbers in shares.items()
        }

    def on_assignment(self, assignment: Any) -> None:
        self._on_total(decode_total(assignment.user_data))


def decode_claims(user_data: bytes) -> Claims:
    """Decode a member's claims. A member of another version, whose data cannot be read, counts as one without state."""
    try:
        return {int(number): int(offset) for number, offset in orjson.loads(user_data).items()}
    except (ValueError, AttributeError):
        return {}


def decode_total(user_data: bytes) -> int | None:
    """Decode the number of partitions that an assignment covers; None if a leader of another version computed it.

    >>> decode_total(b'{"partitions": 12}'), decode_total(b"")
    (12, None)
    """
    try:
        return int(orjson.loads(user_data)["partitions"])
    except (ValueError, TypeError, LookupError):
        return None
