"""Every topic of the program, declared once: name, partitions, cleanup and limits; created and verified from here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streams.errors import BrokerUnreachable, ConfigurationError, TopicMismatch
from streams.settings import Settings, variable

DAY_MS = 86_400_000
# A dead letter is the event as received and headers that say why: this much more than the event may have.
DEAD_LETTER_HEADROOM_BYTES = 64 * 1024
# Full covariance of 400 weights as JSON is some 3 MB.
SNAPSHOT_LIMIT_BYTES = 8 * 1024 * 1024
# Tombstones stay readable this long; a local store that is older is rebuilt rather than caught up.
TOMBSTONE_RETENTION_MS = 7 * DAY_MS
_APPEAR_TRIES, _APPEAR_WAIT_S = 200, 0.05


class Partitions(Enum):
    """How many partitions a topic has."""

    CONFIGURED = "the setting CHURN_PARTITIONS when we create it"
    AS_INPUT = "as many as the events topic: what a partition causes is written to the same partition number"
    ONE = "one"


@dataclass(frozen=True)
class Topic:
    """One topic as the program needs it.

    Attributes:
        role: the setting that names the topic, or "changelog", whose name follows from the group.
        partitions: the rule for the number of partitions.
        key, value: what a record holds, for people.
        cleanup: `cleanup.policy`; verified exactly, because both directions lose data or fill the disk.
        limit: rule for `max.message.bytes`: None, a number of bytes, or "input" (input's limit and headroom).
        configs: further settings for creation; a cluster may have its own opinion on them.
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
    "alert events that a route did not take, as they are in the alerts topic, plus error headers",
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
    "metric key, with the partition in it",
    "retention accounting, satisfaction, barriers and goals, and model quality over time",
    "compact",
)
CHANGELOG = Topic(
    "changelog",
    Partitions.AS_INPUT,
    "key of the partition's store, or a reserved one for its position",
    "profile, pending snapshot, or position",
    "compact",
    # Stock segments of 1 GiB compact late, and a recovery then reads all of history.
    configs={
        "segment.bytes": str(64 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.3",
        "delete.retention.ms": str(TOMBSTONE_RETENTION_MS),
    },
)
TOPICS = (EVENTS, DEAD_LETTERS, ALERTS, UNDELIVERED, SCORES, LABELS, MODEL, METRICS, CHANGELOG)


def name_of(topic: Topic, settings: Settings) -> str:
    """The topic's name on the broker.

    >>> name_of(CHANGELOG, Settings(kafka_group_id="mine"))
    'mine-profiles-changelog'
    """
    if topic is CHANGELOG:
        return f"{settings.kafka_group_id}-profiles-changelog"
    return str(getattr(settings, topic.role))


@dataclass(frozen=True)
class Found:
    """A topic as the broker has it."""

    partitions: int
    configs: Mapping[str, str]

    @property
    def limit_bytes(self) -> int:
        """Largest batch of records that the topic accepts."""
        return int(self.configs["max.message.bytes"])


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, those that exist stay as they are; returns the names created.

    Raises:
        BrokerUnreachable: no broker lets us in.
        TopicMismatch: a topic exists and differs from its declaration.
        ConfigurationError: the broker refused to create one (no right to, too few brokers for the replication).
    """
    admin = await _admin(settings)
    try:
        created = []
        for topic in TOPICS:  # the events topic first: others follow its partition count and limit
            found = await _found(admin, settings)
            name = name_of(topic, settings)
            if name not in found:
                if await _create(admin, topic, settings, found):
                    created.append(name)
                await _appear(admin, name)
        verify(await _found(admin, settings), settings)
        return created
    finally:
        await admin.close()


async def verify_topics(settings: Settings) -> dict[str, Found]:
    """What the broker has, by topic name, after checking it against the declarations.

    Raises:
        BrokerUnreachable: no broker lets us in.
        TopicMismatch: a topic is missing or differs; the message carries the command that repairs it.
    """
    admin = await _admin(settings)
    try:
        found = await _found(admin, settings)
    finally:
        await admin.close()
    verify(found, settings)
    return found


async def find_topics(settings: Settings) -> dict[str, Found]:
    """What the broker has of our topics, by name, whether it is as declared or not. Raises BrokerUnreachable."""
    admin = await _admin(settings)
    try:
        return await _found(admin, settings)
    finally:
        await admin.close()


async def recreate_topic(topic: Topic, settings: Settings) -> None:
    """Delete a topic, if it is there, and make it anew as declared.

    Raises:
        BrokerUnreachable: no broker lets us in.
        ConfigurationError: the broker refused (no right to), or the topic does not go away.
    """
    name = name_of(topic, settings)
    admin = await _admin(settings)
    try:
        found = await _found(admin, settings)
        if name in found:
            response = await admin.delete_topics([name])
            for _name, code, *_ in response.topic_error_codes:
                if code:
                    raise ConfigurationError(f"topic {name} cannot be deleted: {for_code(code).__name__}")
            await _vanish(admin, name)
        for _ in range(_APPEAR_TRIES):
            if await _create(admin, topic, settings, found):
                break
            await asyncio.sleep(_APPEAR_WAIT_S)  # the controller deletes it still
        await _appear(admin, name)
    finally:
        await admin.close()


def verify(found: Mapping[str, Found], settings: Settings) -> None:
    """Check counts, cleanup and limits.

    Raises:
        TopicMismatch: the first thing that differs, and the command that repairs it.
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


def _verify_count(topic: Topic, found: Mapping[str, Found], settings: Settings) -> None:
    name, count = name_of(topic, settings), found[name_of(topic, settings)].partitions
    wanted = _count(topic, settings, found)
    if topic is EVENTS or count == wanted:
        return
    has = f"topic {name} has {count} partitions and must have {wanted}"
    tool = f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers}"
    if count < wanted and topic is not CHANGELOG:
        raise TopicMismatch(f"{has}: {tool} --alter --topic {name} --partitions {wanted}")
    if topic is CHANGELOG:
        # Customers change partitions with the count, and their profiles would stay behind.
        group = variable("kafka_group_id")
        raise TopicMismatch(
            f"{has}: start a new group with its own changelog, from the log's beginning: {group}=NAME;"
            " or let this one start afresh: churn-signals reset"
        )
    raise TopicMismatch(f"{has}: {tool} --delete --topic {name}, then churn-signals topics create")


def _verify_config(topic: Topic, found: Mapping[str, Found], settings: Settings, key: str, wanted: str) -> None:
    has = found[name_of(topic, settings)].configs[key]
    if set(has.split(",")) != set(wanted.split(",")) and topic is not EVENTS:
        _mismatch(topic, found, settings, key, wanted)


def _verify_tombstones(found: Mapping[str, Found], settings: Settings) -> None:
    """A store that is younger than the tombstones is caught up: were they gone, what was removed would return."""
    key = "delete.retention.ms"
    if int(found[name_of(CHANGELOG, settings)].configs[key]) < TOMBSTONE_RETENTION_MS:
        _mismatch(CHANGELOG, found, settings, key, str(TOMBSTONE_RETENTION_MS))


def _mismatch(topic: Topic, found: Mapping[str, Found], settings: Settings, key: str, wanted: str) -> None:
    name = name_of(topic, settings)
    has = found[name].configs[key]
    value = f"[{wanted}]" if "," in wanted else wanted
    tool = f"kafka-configs.sh --bootstrap-server {settings.kafka_bootstrap_servers}"
    repair = f"{tool} --alter --entity-type topics --entity-name {name} --add-config {key}={value}"
    raise TopicMismatch(f"topic {name} has {key}={has} and must have {wanted}: {repair}")


def _count(topic: Topic, settings: Settings, found: Mapping[str, Found]) -> int:
    if topic.partitions is Partitions.ONE:
        return 1
    if topic.partitions is Partitions.CONFIGURED:
        return settings.partitions
    return found[name_of(EVENTS, settings)].partitions


def _limit(topic: Topic, settings: Settings, found: Mapping[str, Found]) -> int | None:
    if topic.limit == "input":
        return found[name_of(EVENTS, settings)].limit_bytes + DEAD_LETTER_HEADROOM_BYTES
    return topic.limit if isinstance(topic.limit, int) else None


async def _create(admin: AIOKafkaAdminClient, topic: Topic, settings: Settings, found: Mapping[str, Found]) -> bool:
    configs = {"cleanup.policy": topic.cleanup, **topic.configs}
    limit = _limit(topic, settings, found)
    if limit is not None:
        configs["max.message.bytes"] = str(limit)
    name = name_of(topic, settings)
    wanted = NewTopic(name, _count(topic, settings, found), 1, topic_configs=configs)
    wanted.replication_factor = settings.kafka_replication_factor  # its constructor refuses -1, the broker's default
    response = await admin.create_topics([wanted])
    code, reason = response.topic_errors[0][1], response.topic_errors[0][2]
    if code == TopicAlreadyExistsError.errno:
        return False  # somebody else was faster: verified afterwards like any other
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
    """aiokafka gives one error for every reason for which no broker lets us in."""
    address, protocol = settings.kafka_bootstrap_servers, settings.kafka_security_protocol
    why = f"{variable('kafka_bootstrap_servers')} and whether the broker runs"
    if protocol != "PLAINTEXT":
        why += f", {variable('kafka_security_protocol')}={protocol}"
    if protocol.startswith("SASL"):
        why += f", user name or password ({variable('kafka_sasl_username')}, {variable('kafka_sasl_password')})"
    if "SSL" in protocol:
        why += f", the authority of its certificate ({variable('kafka_ssl_cafile')})"
    return f"no broker at {address} lets us in; check {why}"


async def _appear(admin: AIOKafkaAdminClient, name: str) -> None:
    # A created topic reaches the brokers' metadata a moment after the controller said yes.
    for _ in range(_APPEAR_TRIES):
        if name in await admin.list_topics():
            return
        await asyncio.sleep(_APPEAR_WAIT_S)
    raise ConfigurationError(f"topic {name} was created but does not appear; run churn-signals topics create again")


async def _vanish(admin: AIOKafkaAdminClient, name: str) -> None:
    for _ in range(_APPEAR_TRIES):
        if name not in await admin.list_topics():
            return
        await asyncio.sleep(_APPEAR_WAIT_S)
    raise ConfigurationError(f"topic {name} was deleted but does not go away; try again")


async def _found(admin: AIOKafkaAdminClient, settings: Settings) -> dict[str, Found]:
    # All topics, not ours by name: a broker with auto.create.topics.enable creates what is asked for.
    wanted = {name_of(topic, settings) for topic in TOPICS}
    counts = {
        described["topic"]: len(described["partitions"])
        for described in await admin.describe_topics()
        if described["topic"] in wanted
    }
    if not counts:
        return {}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in counts])
    found = {}
    for response in responses:
        for resource in response.to_object()["resources"]:
            if resource["error_code"]:
                failed = for_code(resource["error_code"]).__name__
                raise ConfigurationError(f"topic {resource['resource_name']} cannot be described: {failed}")
            configs = {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
            found[resource["resource_name"]] = Found(counts[resource["resource_name"]], configs)
    return found
