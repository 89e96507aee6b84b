"""Topic declarations (name, partitions, cleanup policy, size limit), and how topics are created and verified.

Tested by tests/tools/docs/test_topics.py and tests/broker/test_commands.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)

from streams.errors import BrokerUnreachable, ConfigurationError, TopicMismatch
from streams.settings import Settings, variable

DAY_MS = 86_400_000
# A dead letter is the event as received plus error headers, which may need this much more than the event.
DEAD_LETTER_HEADROOM_BYTES = 64 * 1024
# The full covariance of 400 weights takes about 3 MB as JSON.
SNAPSHOT_LIMIT_BYTES = 8 * 1024 * 1024
# Tombstones stay readable this long. A local store that is older is rebuilt instead of caught up.
TOMBSTONE_RETENTION_MS = 7 * DAY_MS
# 10 s in total: metadata of a created or deleted topic usually reaches the brokers within a second.
_METADATA_TRIES, _METADATA_WAIT_S = 200, 0.05


class Partitions(Enum):
    """Rule for the number of partitions of a topic."""

    CONFIGURED = "CHURN_PARTITIONS, if churn-signals creates it"
    AS_INPUT = "same as the events topic"
    ONE = "one"


@dataclass(frozen=True)
class Topic:
    """Declaration of one topic.

    Attributes:
        role: the setting that names the topic, or "changelog", whose name is derived from the group.
        partitions: rule for the number of partitions. Outputs of a partition are written to the same partition number.
        key, value: content of a record, for people.
        cleanup: `cleanup.policy`; verified exactly, because a wrong policy loses data or fills the disk.
        limit: minimum `max.message.bytes`: None, a number of bytes, or "input" (events topic plus headroom).
        configs: further configs for creation. They are not verified, except `delete.retention.ms` of the changelog.
    """

    role: str
    partitions: Partitions
    key: str
    value: str
    cleanup: str
    limit: int | str | None = None
    configs: Mapping[str, str] = field(default_factory=dict)


EVENTS = Topic("topic_events", Partitions.CONFIGURED, "customer id", "an event", "delete")
DEAD_LETTERS = Topic(
    "topic_dead_letters",
    Partitions.AS_INPUT,
    "as received",
    "the bytes as received, plus error headers",
    "delete",
    limit="input",
)
ALERTS = Topic("topic_alerts", Partitions.AS_INPUT, "customer id", "alert lifecycle events", "delete")
UNDELIVERED = Topic(
    "topic_undelivered",
    Partitions.AS_INPUT,
    "customer id",
    "undelivered alert events as in the alerts topic, plus error headers",
    "delete",
    limit="input",
)
SCORES = Topic(
    "topic_scores", Partitions.AS_INPUT, "customer id", "latest score with reasons, history and alert", "compact"
)
LABELS = Topic(
    "topic_labels",
    Partitions.ONE,
    "customer id",
    "matured training examples",
    "delete",
    configs={"retention.ms": str(5 * 365 * DAY_MS)},
)
MODEL = Topic(
    "topic_model",
    Partitions.ONE,
    "`name` (newest) and `name/version`",
    "model snapshots",
    "compact,delete",
    limit=SNAPSHOT_LIMIT_BYTES,
    configs={"retention.ms": str(90 * DAY_MS)},
)
METRICS = Topic(
    "topic_metrics",
    Partitions.AS_INPUT,
    "metric key, which contains the partition",
    "retention accounting, satisfaction, barriers and goals, and model quality over time",
    "compact",
)
CHANGELOG = Topic(
    "changelog",
    Partitions.AS_INPUT,
    "key of the partition's store, or a reserved key for its position",
    "profile, pending snapshot, or position",
    "compact",
    # Default segments of 1 GiB are compacted late, so that a recovery would read the whole history.
    configs={
        "segment.bytes": str(64 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.3",
        "delete.retention.ms": str(TOMBSTONE_RETENTION_MS),
    },
)
TOPICS = (EVENTS, DEAD_LETTERS, ALERTS, UNDELIVERED, SCORES, LABELS, MODEL, METRICS, CHANGELOG)


def name_of(topic: Topic, settings: Settings) -> str:
    """Return the name of a topic on the broker.

    >>> name_of(CHANGELOG, Settings(kafka_group_id="staging"))
    'staging-profiles-changelog'
    """
    if topic is CHANGELOG:
        return f"{settings.kafka_group_id}-profiles-changelog"
    return str(getattr(settings, topic.role))


@dataclass(frozen=True)
class ExistingTopic:
    """A topic as it exists on the broker."""

    partitions: int
    configs: Mapping[str, str]

    @property
    def limit_bytes(self) -> int:
        """Size of the largest record batch that the topic accepts."""
        return int(self.configs["max.message.bytes"])


async def create_topics(settings: Settings) -> list[str]:
    """Create missing topics and return their names. Existing topics are verified and never changed.

    Raises:
        BrokerUnreachable: no broker is reachable with these credentials.
        TopicMismatch: an existing topic differs from its declaration.
        ConfigurationError: the broker refused to create a topic (no permission, or too few brokers for its replicas).
    """
    admin = await _admin(settings)
    try:
        created = []
        for topic in TOPICS:  # the events topic first: others depend on its partition count and limit
            found = await _existing(admin, settings)
            name = name_of(topic, settings)
            if name not in found:
                if await _create(admin, topic, settings, found):
                    created.append(name)
                await _await_created(admin, name)
        verify(await _existing(admin, settings), settings)
        return created
    finally:
        await admin.close()


async def verify_topics(settings: Settings) -> dict[str, ExistingTopic]:
    """Verify all topics against their declarations; return the existing topics by name.

    Raises:
        BrokerUnreachable: no broker is reachable with these credentials.
        TopicMismatch: a topic is missing or differs. The message contains the command that repairs it.
    """
    admin = await _admin(settings)
    try:
        found = await _existing(admin, settings)
    finally:
        await admin.close()
    verify(found, settings)
    return found


async def find_topics(settings: Settings) -> dict[str, ExistingTopic]:
    """Return those of our topics that exist, by name, without verification. Raises BrokerUnreachable."""
    admin = await _admin(settings)
    try:
        return await _existing(admin, settings)
    finally:
        await admin.close()


async def recreate_topic(topic: Topic, settings: Settings) -> None:
    """Delete a topic if it exists, and create it as declared.

    Raises:
        BrokerUnreachable: no broker is reachable with these credentials.
        ConfigurationError: the broker refused (no permission), or did not delete the topic within 10 s.
    """
    name = name_of(topic, settings)
    admin = await _admin(settings)
    try:
        found = await _existing(admin, settings)
        if name in found:
            response = await admin.delete_topics([name])
            for _name, code, *_ in response.topic_error_codes:
                if code:
                    raise ConfigurationError(f"topic {name} cannot be deleted: {for_code(code).__name__}")
            await _await_deleted(admin, name)
        for _ in range(_METADATA_TRIES):
            if await _create(admin, topic, settings, found):
                break
            await asyncio.sleep(_METADATA_WAIT_S)  # the controller is still deleting it
        await _await_created(admin, name)
    finally:
        await admin.close()


def verify(found: Mapping[str, ExistingTopic], settings: Settings) -> None:
    """Verify partition counts, cleanup policies and size limits.

    Raises:
        TopicMismatch: names the first difference and the command that repairs it.
    """
    for topic in TOPICS:
        name = name_of(topic, settings)
        if name not in found:
            raise TopicMismatch(f"topic {name} does not exist; create it with: churn-signals topics create")
    for topic in TOPICS:
        _verify_count(topic, found, settings)
        _verify_config(topic, found, settings, "cleanup.policy", topic.cleanup)
        if topic is CHANGELOG:
            _verify_tombstones(found, settings)
        limit = _limit(topic, settings, found)
        if limit is not None and found[name_of(topic, settings)].limit_bytes < limit:
            _mismatch(topic, found, settings, "max.message.bytes", str(limit))


def _verify_count(topic: Topic, found: Mapping[str, ExistingTopic], settings: Settings) -> None:
    name, count = name_of(topic, settings), found[name_of(topic, settings)].partitions
    wanted = _count(topic, settings, found)
    if topic is EVENTS or count == wanted:
        return
    has = f"topic {name} has {count} partitions and must have {wanted}"
    tool = f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers}"
    if count < wanted and topic is not CHANGELOG:
        raise TopicMismatch(f"{has}: {tool} --alter --topic {name} --partitions {wanted}")
    if topic is CHANGELOG:
        # A new count assigns customers to other partitions, and their profiles would not move with them.
        group = variable("kafka_group_id")
        raise TopicMismatch(
            f"{has}: start a new group with its own changelog, from the beginning of the log: {group}=NAME;"
            " or reset this group: churn-signals reset"
        )
    raise TopicMismatch(f"{has}: {tool} --delete --topic {name}, then churn-signals topics create")


def _verify_config(topic: Topic, found: Mapping[str, ExistingTopic], settings: Settings, key: str, wanted: str) -> None:
    has = found[name_of(topic, settings)].configs[key]
    if set(has.split(",")) != set(wanted.split(",")) and topic is not EVENTS:
        _mismatch(topic, found, settings, key, wanted)


def _verify_tombstones(found: Mapping[str, ExistingTopic], settings: Settings) -> None:
    """A store younger than the tombstone retention is caught up: without the tombstones, deleted keys would return."""
    key = "delete.retention.ms"
    if int(found[name_of(CHANGELOG, settings)].configs[key]) < TOMBSTONE_RETENTION_MS:
        _mismatch(CHANGELOG, found, settings, key, str(TOMBSTONE_RETENTION_MS))


def _mismatch(topic: Topic, found: Mapping[str, ExistingTopic], settings: Settings, key: str, wanted: str) -> None:
    name = name_of(topic, settings)
    has = found[name].configs[key]
    value = f"[{wanted}]" if "," in wanted else wanted
    tool = f"kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap_servers}"
    repair = f"{tool} --alter --entity-type topics --entity-name {name} --add-config {key}={value}"
    raise TopicMismatch(f"topic {name} has {key}={has} and must have {wanted}: {repair}")


def _count(topic: Topic, settings: Settings, found: Mapping[str, ExistingTopic]) -> int:
    if topic.partitions is Partitions.ONE:
        return 1
    if topic.partitions is Partitions.CONFIGURED:
        return settings.partitions
    return found[name_of(EVENTS, settings)].partitions


def _limit(topic: Topic, settings: Settings, found: Mapping[str, ExistingTopic]) -> int | None:
    if topic.limit == "input":
        return found[name_of(EVENTS, settings)].limit_bytes + DEAD_LETTER_HEADROOM_BYTES
    return topic.limit if isinstance(topic.limit, int) else None


async def _create(
    admin: AIOKafkaAdminClient, topic: Topic, settings: Settings, found: Mapping[str, ExistingTopic]
) -> bool:
    configs = {"cleanup.policy": topic.cleanup, **topic.configs}
    limit = _limit(topic, settings, found)
    if limit is not None:
        configs["max.message.bytes"] = str(limit)
    name = name_of(topic, settings)
    wanted = NewTopic(name, _count(topic, settings, found), 1, topic_configs=configs)
    wanted.replication_factor = settings.kafka_replication_factor  # the constructor rejects -1, the broker's default
    response = await admin.create_topics([wanted])
    code, reason = response.topic_errors[0][1], response.topic_errors[0][2]
    if code == TopicAlreadyExistsError.errno:
        return False  # another process created it first; the caller verifies it like any other
    if code:
        raise ConfigurationError(f"topic {name} cannot be created: {for_code(code).__name__}: {reason}")
    return True


async def _admin(settings: Settings) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**settings.connection())
    try:
        await admin.start()
    except KafkaError as failure:
        await admin.close()
        raise BrokerUnreachable(_no_connection(settings)) from failure
    return admin


def _no_connection(settings: Settings) -> str:
    """aiokafka raises the same error for every reason why no broker is reachable, so list all that apply."""
    address, protocol = settings.kafka_bootstrap_servers, settings.kafka_security_protocol
    checks = f"{variable('kafka_bootstrap_servers')} and whether the broker is running"
    problem = "is reachable"
    if protocol != "PLAINTEXT":
        checks += f", {variable('kafka_security_protocol')}={protocol}"
        problem = "is reachable or accepts our credentials"
    if protocol.startswith("SASL") and settings.kafka_sasl_token_provider:
        checks += f", the tokens of {variable('kafka_sasl_token_provider')}={settings.kafka_sasl_token_provider}"
    elif protocol.startswith("SASL"):
        checks += f", user name and password ({variable('kafka_sasl_username')}, {variable('kafka_sasl_password')})"
    if "SSL" in protocol:
        checks += f", the CA certificates ({variable('kafka_ssl_cafile')})"
    return f"no broker at {address} {problem}; check {checks}"


async def _await_created(admin: AIOKafkaAdminClient, name: str) -> None:
    # A created topic reaches the brokers' metadata shortly after the controller has confirmed it.
    for _ in range(_METADATA_TRIES):
        if name in await admin.list_topics():
            return
        await asyncio.sleep(_METADATA_WAIT_S)
    raise ConfigurationError(
        f"topic {name} was created but is not in the brokers' metadata; run churn-signals topics create again"
    )


async def _await_deleted(admin: AIOKafkaAdminClient, name: str) -> None:
    for _ in range(_METADATA_TRIES):
        if name not in await admin.list_topics():
            return
        await asyncio.sleep(_METADATA_WAIT_S)
    raise ConfigurationError(f"topic {name} was deleted but is still in the brokers' metadata; run the command again")


async def _existing(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, ExistingTopic]:
    # Describe all topics instead of ours by name: with auto.create.topics.enable, a broker creates requested topics.
    wanted = {name_of(topic, settings) for topic in TOPICS}
    try:
        topics = await admin.describe_topics()
    except (KafkaConnectionError, NodeNotReadyError) as failure:  # as for a token that the broker refuses
        raise BrokerUnreachable(_no_connection(settings)) from failure
    counts = {topic["topic"]: len(topic["partitions"]) for topic in topics if topic["topic"] in wanted}
    if not counts:
        return {}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in counts])
    found = {}
    for response in responses:
        for resource in response.to_object()["resources"]:
            if resource["error_code"]:
                failed = for_code(resource["error_code"]).__name__
                raise ConfigurationError(
                    f"the configs of topic {resource['resource_name']} cannot be read: {failed};"
                    " check the DescribeConfigs permission"
                )
            configs = {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
            found[resource["resource_name"]] = ExistingTopic(counts[resource["resource_name"]], configs)
    return found
