"""Topic declarations, checked without a broker."""

from __future__ import annotations

import pytest

from streams.errors import TopicMismatch
from streams.settings import Settings
from streams.topics import (
    CHANGELOG,
    EVENTS,
    MODEL,
    TOMBSTONE_RETENTION_MS,
    TOPICS,
    ExistingTopic,
    Partitions,
    name_of,
    verify,
)

SETTINGS = Settings()


def as_declared(partitions: int = 4) -> dict[str, ExistingTopic]:
    return {
        name_of(topic, SETTINGS): ExistingTopic(
            1 if topic.partitions is Partitions.ONE else partitions,
            {
                "cleanup.policy": topic.cleanup,
                "max.message.bytes": "1000000" if topic is EVENTS else "9000000",
                "delete.retention.ms": str(TOMBSTONE_RETENTION_MS),
            },
        )
        for topic in TOPICS
    }


def test_topics_as_declared_are_accepted_whatever_the_number_of_partitions() -> None:
    """Rule: the events topic determines the number; other topics must match it."""
    verify(as_declared(4), SETTINGS)
    verify(as_declared(64), SETTINGS)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.role)
def test_each_missing_topic_is_named(topic: object) -> None:
    """Rule: a start without all topics stops with the command that creates them."""
    found = as_declared()
    name = name_of(topic, SETTINGS)  # type: ignore[arg-type]
    del found[name]
    with pytest.raises(TopicMismatch, match=f"topic {name} does not exist.*churn-signals topics create"):
        verify(found, SETTINGS)


def test_changelog_with_retention_is_rejected() -> None:
    """Rule: retention on the changelog would delete the profiles of inactive customers."""
    found = as_declared()
    found[name_of(CHANGELOG, SETTINGS)].configs["cleanup.policy"] = "compact,delete"  # type: ignore[index]
    with pytest.raises(TopicMismatch, match="--entity-name churn-signals-profiles-changelog --add-config cleanup"):
        verify(found, SETTINGS)


def test_changelog_with_short_tombstone_retention_is_rejected() -> None:
    """Rule: a store that is caught up after days must read every tombstone, or removed records reappear."""
    found = as_declared()
    found[name_of(CHANGELOG, SETTINGS)].configs["delete.retention.ms"] = "86400000"  # type: ignore[index]
    with pytest.raises(TopicMismatch, match=r"must have 604800000: kafka-configs.sh .* delete.retention.ms=604800000"):
        verify(found, SETTINGS)


def test_cleanup_policy_of_the_input_is_free_and_the_order_of_policies_is_ignored() -> None:
    """Rule: the cleanup policy of the events topic is not checked; `delete,compact` equals `compact,delete`."""
    found = as_declared()
    found[name_of(EVENTS, SETTINGS)].configs["cleanup.policy"] = "compact"  # type: ignore[index]
    found[name_of(MODEL, SETTINGS)].configs["cleanup.policy"] = "delete,compact"  # type: ignore[index]
    verify(found, SETTINGS)


def test_different_partition_count_of_the_changelog_requires_a_new_group() -> None:
    """Rule: profiles do not follow customers to another partition, so no command can repair this in place."""
    found = as_declared(4)
    changelog = name_of(CHANGELOG, SETTINGS)
    found[changelog] = ExistingTopic(8, found[changelog].configs)
    with pytest.raises(TopicMismatch, match="CHURN_KAFKA_GROUP_ID=NAME"):
        verify(found, SETTINGS)
