"""Table of Kafka topics."""

from __future__ import annotations

from streams.settings import Settings, variable
from streams.topics import CHANGELOG, DEAD_LETTER_HEADROOM_BYTES, TOPICS, Topic, name_of
from tools.docs.markdown import code, table


def topics() -> str:
    """One row per topic, in the order of creation."""
    defaults = Settings()
    rows = [
        (
            code(name_of(topic, defaults)),
            f"`{variable('kafka_group_id')}` and `-profiles-changelog`"
            if topic is CHANGELOG
            else code(variable(topic.role)),
            topic.key,
            topic.value,
            topic.partitions.value,
            code(topic.cleanup),
            _limit(topic),
            ", ".join(f"`{key}={value}`" for key, value in topic.configs.items()),
        )
        for topic in TOPICS
    ]
    head = ("topic", "name set by", "key", "value", "partitions", "`cleanup.policy`", "`max.message.bytes`")
    return table((*head, "other configs"), rows)


def _limit(topic: Topic) -> str:
    if topic.limit == "input":
        return f"at least that of the events topic + {DEAD_LETTER_HEADROOM_BYTES:,}"
    return "broker default" if topic.limit is None else f"at least {topic.limit:,}"
