"""Generates docs/asyncapi.yaml, an AsyncAPI 3.0 document, from the declarations of topics, messages and operations."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final

from streams.errors import ConfigurationError
from streams.settings import Settings, variable
from streams.topics import CHANGELOG, DEAD_LETTER_HEADROOM_BYTES, TOPICS, Partitions, Topic, name_of
from tools.docs.messages import MESSAGES, Message
from tools.docs.operations import OPERATIONS, ROLES, Operation
from tools.docs.samples import samples

HEAD: Final = "# Generated: change streams/topics.py or tools/docs, then run `make docs`.\n"
BINDING: Final = "0.5.0"  # the newest Kafka binding that AsyncAPI 3.0.0 supports
WIDTH: Final = 120
_NUMBER: Final = re.compile(r"-?[0-9]+")
SECURITY: Final = {
    "PLAIN": "plain",
    "SCRAM-SHA-256": "scramSha256",
    "SCRAM-SHA-512": "scramSha512",
    "OAUTHBEARER": "bearer",
}


def text() -> str:
    """Render the document as YAML.

    Raises:
        ConfigurationError: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as missing:
        raise ConfigurationError(
            "writing docs/asyncapi.yaml needs PyYAML: pip install pyyaml, or make docs"
        ) from missing

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # PyYAML writes YAML 1.1, in which `12e4` is a string. Parsers of YAML 1.2 read it as a number unless quoted.
        style = '"' if re.match(r"[-+.0-9]", value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, represent_text)
    return HEAD + yaml.dump(document(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)


def document(settings: Settings | None = None) -> dict[str, Any]:
    """Build the document for these settings, or for the defaults."""
    settings = settings or Settings()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "churn-signals",
            "version": version("churn-signals"),
            "description": (
                "churn-signals consumes customer events and publishes churn scores and alerts exactly once. Topic"
                " names, consumer groups and partition counts are the defaults; x-named-by is the setting that changes"
                " a name. Consumers set isolation.level=read_committed; topics.md has all consumer requirements. The"
                " tag of an operation is the role that performs it. Payloads use JSON Schema 2020-12. A draft 07"
                " validator checks slightly less and rejects no valid record."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "tags": [{"name": name, "description": sentence} for name, sentence in ROLES.items()],
        },
        "defaultContentType": "application/json",
        "servers": _servers(settings),
        "channels": {channel(topic): _channel(topic, settings) for topic in TOPICS},
        "operations": {operation.name: _operation(operation, settings) for operation in OPERATIONS},
        "components": {
            "securitySchemes": _schemes(),
            "messages": {message.name: _message(message) for message in MESSAGES.values()},
        },
    }


def channel(topic: Topic) -> str:
    """Name of a topic in the document, independent of its name on the broker.

    >>> channel(CHANGELOG)
    'changelog'
    """
    return topic.role.removeprefix("topic_")


def _kafka(**fields: Any) -> dict[str, Any]:
    return {"kafka": fields | {"bindingVersion": BINDING}}


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}


# Servers -------------------------------------------------------------------------------------------------------------


def _servers(settings: Settings) -> dict[str, Any]:
    fields = Settings.__dataclass_fields__
    meta, brokers = fields["kafka_security_protocol"].metadata, fields["kafka_bootstrap_servers"]
    found: dict[str, Any] = {}
    for protocol in meta["choices"]:
        server: dict[str, Any] = {
            "host": "{brokers}",
            "protocol": "kafka-secure" if protocol.endswith("SSL") else "kafka",
            "title": protocol,
            "description": f"A cluster with {variable('kafka_security_protocol')}={protocol}.",
            "variables": {
                "brokers": {
                    "default": settings.kafka_bootstrap_servers,
                    "description": f"{brokers.metadata['sentence']} {variable('kafka_bootstrap_servers')}.",
                }
            },
        }
        if protocol.startswith("SASL"):
            server["security"] = [_ref("components", "securitySchemes", name) for name in SECURITY.values()]
        elif protocol == "SSL":
            server["security"] = [_ref("components", "securitySchemes", "certificate")]
        found[protocol.lower()] = server | {"bindings": _kafka()}
    return found


def _schemes() -> dict[str, Any]:
    user, password = variable("kafka_sasl_username"), variable("kafka_sasl_password")
    mechanisms = Settings.__dataclass_fields__["kafka_sasl_mechanism"].metadata["choices"]
    found: dict[str, Any] = {
        SECURITY[name]: {"type": SECURITY[name], "description": f"SASL {name}: {user}, {password}."}
        for name in mechanisms
        if name != "OAUTHBEARER"
    }
    found["bearer"] = {
        "type": "http",
        "scheme": "bearer",
        "description": f"SASL OAUTHBEARER: tokens of {variable('kafka_sasl_token_provider')}.",
    }
    found["certificate"] = {
        "type": "X509",
        "description": f"Mutual TLS, if the brokers require it: {variable('kafka_ssl_certfile')}.",
    }
    return found


# Channels and operations ---------------------------------------------------------------------------------------------


def _channel(topic: Topic, settings: Settings) -> dict[str, Any]:
    named_by = variable("kafka_group_id" if topic is CHANGELOG else topic.role)
    count = 1 if topic.partitions is Partitions.ONE else settings.partitions
    binding: dict[str, Any] = {"topic": name_of(topic, settings), "partitions": count}
    if settings.kafka_replication_factor > 0:
        binding["replicas"] = settings.kafka_replication_factor
    configuration: dict[str, Any] = {"cleanup.policy": topic.cleanup.split(",")}
    if isinstance(topic.limit, int):
        configuration["max.message.bytes"] = topic.limit
    configuration |= {key: int(value) if _NUMBER.fullmatch(value) else value for key, value in topic.configs.items()}
    message = MESSAGES[topic.role]
    return {
        "address": name_of(topic, settings),
        "title": name_of(topic, settings),
        "description": _description(topic),
        "messages": {message.name: _ref("components", "messages", message.name)},
        "bindings": _kafka(**binding, topicConfiguration=configuration),
        "x-named-by": named_by,
    }


def _description(topic: Topic) -> str:
    text = f"{topic.value[0].upper()}{topic.value[1:]}. Partitions: {topic.partitions.value}."
    if topic.limit == "input":
        text += f" max.message.bytes: at least that of the events topic + {DEAD_LETTER_HEADROOM_BYTES:,}."
    return text + f" Replicas: {variable('kafka_replication_factor')}."


def _operation(operation: Operation, settings: Settings) -> dict[str, Any]:
    address, message = channel(operation.topic), MESSAGES[operation.topic.role]
    found: dict[str, Any] = {
        "action": operation.action,
        "channel": _ref("channels", address),
        "summary": operation.summary,
        "tags": [{"name": operation.role}],
        "messages": [_ref("channels", address, "messages", message.name)],
    }
    if operation.group is not None:
        found["bindings"] = _kafka(groupId=operation.group(settings))
    return found


def _message(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": message.name,
        "title": message.title,
        "contentType": message.content_type,
        "payload": message.payload,
        "bindings": _kafka(key=message.key),
    }
    if message.headers is not None:
        found["headers"] = message.headers
    examples = [
        {"name": sample.name} | ({"headers": sample.headers} if sample.headers else {}) | {"payload": sample.payload}
        for sample in samples(message.name)
    ]
    return found | ({"examples": examples} if examples else {})
