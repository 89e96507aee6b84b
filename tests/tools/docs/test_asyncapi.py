"""docs/asyncapi.yaml is valid AsyncAPI 3.0, matches the declarations, and its examples match its schemas."""

from __future__ import annotations

import copy
import doctest
import gzip
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from models.events.event import Event, decode
from models.events.rejection import Rejected
from streams.errors import ConfigurationError
from streams.kafka.partitioner import partition_of
from streams.settings import Settings, variable
from streams.topics import ALERTS, CHANGELOG, EVENTS, LABELS, METRICS, MODEL, SCORES, TOPICS, Partitions, name_of
from tools.docs import DOCS, asyncapi
from tools.docs.messages import MESSAGES
from tools.docs.operations import OPERATIONS, ROLES
from tools.docs.schemas import schema

OFFICIAL = Path(__file__).parent / "schemas" / "asyncapi-3.0.0.json.gz"
DOCUMENT: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
WITH_EXAMPLES = ("event", "dead_letter", "alert", "undelivered", "score", "label", "metric")


@pytest.fixture(scope="module")
def official() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(gzip.decompress(OFFICIAL.read_bytes())))


def payload_schema(name: str) -> dict[str, Any]:
    """Of a message, with the file read that it refers to."""
    found: dict[str, Any] = DOCUMENT["components"]["messages"][name]["payload"]
    if "$ref" in found:
        found = json.loads((DOCS / found["$ref"]).read_text(encoding="utf-8"))
    return found


def references(node: Any) -> Iterator[str]:
    """All of a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            yield from references(inner)


# The file ------------------------------------------------------------------------------------------------------------


def test_yaml_round_trips() -> None:
    """Rule: an unquoted value that begins like a number is a number in both YAML 1.1 and 1.2."""
    plain = re.findall(r": ([-+.]?[0-9][^ \n]*)$", (DOCS / "asyncapi.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(plain) > 50
    assert [text for text in plain if not isinstance(yaml.safe_load(text), int | float)] == []


def test_text_that_looks_like_a_number_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a checksum may be digits with an e among them."""
    monkeypatch.setattr(asyncapi, "document", lambda: {"a": "12e4", "b": 12, "c": "0x1f"})
    assert asyncapi.text().splitlines()[1:] == ['a: "12e4"', "b: 12", 'c: "0x1f"']


def test_error_without_pyyaml_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is for developers only."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationError, match="pip install pyyaml"):
        asyncapi.text()


def test_doctests_pass() -> None:
    """Doctests are part of the documentation."""
    ran = doctest.testmod(asyncapi)
    assert (ran.attempted > 0, ran.failed) == (True, 0)


# It is AsyncAPI ------------------------------------------------------------------------------------------------------


def test_it_is_valid_by_the_official_schema(official: jsonschema.Draft7Validator) -> None:
    """Version 3.0.0 with the bindings of Kafka."""
    assert [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in official.iter_errors(DOCUMENT)] == []


def _no_action(document: Any) -> None:
    del document["operations"]["workerReceivesEvents"]["action"]


def _no_partition(document: Any) -> None:
    document["channels"]["events"]["bindings"]["kafka"]["partitions"] = 0


def _policy(document: Any) -> None:
    document["channels"]["events"]["bindings"]["kafka"]["topicConfiguration"]["cleanup.policy"] = "delete"


def _security(document: Any) -> None:
    document["components"]["securitySchemes"]["plain"]["type"] = "secret"


def _group(document: Any) -> None:
    document["operations"]["workerReceivesEvents"]["bindings"]["kafka"]["groupId"] = "churn-signals"


@pytest.mark.parametrize("spoil", [_no_action, _no_partition, _policy, _security, _group])
def test_official_schema_rejects_invalid_documents(
    spoil: Callable[[Any], None], official: jsonschema.Draft7Validator
) -> None:
    """The schema covers bindings and security too."""
    document = copy.deepcopy(DOCUMENT)
    spoil(document)
    assert not official.is_valid(document)


def test_every_reference_resolves() -> None:
    """Inside the file, or to a schema beside it."""
    found = set(references(DOCUMENT))
    assert len(found) > 20
    for ref in found:
        if not ref.startswith("#/"):
            assert (DOCS / ref).is_file(), ref
            continue
        node = DOCUMENT
        for part in ref.removeprefix("#/").split("/"):
            assert part in node, ref
            node = node[part]


# It matches the declarations -----------------------------------------------------------------------------------------


def test_every_topic_is_a_channel_with_its_settings() -> None:
    """Name, partitions, cleanup, limit, retention."""
    settings = Settings()
    assert [channel["address"] for channel in DOCUMENT["channels"].values()] == [
        name_of(topic, settings) for topic in TOPICS
    ]
    for topic, channel in zip(TOPICS, DOCUMENT["channels"].values(), strict=True):
        kafka = channel["bindings"]["kafka"]
        assert kafka["topic"] == channel["address"]
        assert kafka["partitions"] == (1 if topic.partitions is Partitions.ONE else settings.partitions)
        assert "replicas" not in kafka  # the broker's default
        configs = {key: str(value) for key, value in kafka["topicConfiguration"].items() if key != "cleanup.policy"}
        limit = {"max.message.bytes": str(topic.limit)} if isinstance(topic.limit, int) else {}
        assert configs == {**topic.configs, **limit}
        assert ",".join(kafka["topicConfiguration"]["cleanup.policy"]) == topic.cleanup
        group_or_topic = "kafka_group_id" if topic is CHANGELOG else topic.role
        assert channel["x-named-by"] == variable(group_or_topic)


def test_contract_follows_the_settings(monkeypatch: pytest.MonkeyPatch, official: jsonschema.Draft7Validator) -> None:
    """Names, groups, partition counts and replication come from the settings."""
    monkeypatch.setattr(asyncapi, "samples", lambda name: [])
    names: dict[str, Any] = {"kafka_group_id": "mine", "topic_alerts": "bells", "kafka_bootstrap_servers": "k:1"}
    document = asyncapi.document(Settings(**names, partitions=7, kafka_replication_factor=3))
    assert official.is_valid(document)
    assert document["channels"]["alerts"]["address"] == "bells"
    assert document["channels"]["changelog"]["address"] == "mine-profiles-changelog"
    assert {c["bindings"]["kafka"]["replicas"] for c in document["channels"].values()} == {3}
    assert {c["bindings"]["kafka"]["partitions"] for c in document["channels"].values()} == {1, 7}
    assert document["operations"]["trainerReceivesLabels"]["bindings"]["kafka"]["groupId"]["enum"] == ["mine-trainer"]
    assert document["servers"]["sasl_ssl"]["variables"]["brokers"]["default"] == "k:1"


def test_every_protocol_and_mechanism_of_the_settings_is_offered() -> None:
    """There is one server per protocol. SASL servers list all mechanisms. No server without TLS is called secure."""
    fields = Settings.__dataclass_fields__
    protocols = fields["kafka_security_protocol"].metadata["choices"]
    assert [server["title"] for server in DOCUMENT["servers"].values()] == list(protocols)
    mechanisms = fields["kafka_sasl_mechanism"].metadata["choices"]
    for server in DOCUMENT["servers"].values():
        assert (server["protocol"] == "kafka-secure") == (server["title"] in ("SSL", "SASL_SSL"))
        assert len(server.get("security", ())) == {"PLAINTEXT": 0, "SSL": 1}.get(server["title"], len(mechanisms))
        assert server["variables"]["brokers"]["default"] == Settings().kafka_bootstrap_servers


def test_operations_match_the_topics_page() -> None:
    """The contract has the producers and consumers of docs/topics.md."""
    assert len(DOCUMENT["operations"]) == len(OPERATIONS)
    assert {tag["name"] for operation in DOCUMENT["operations"].values() for tag in operation["tags"]} == set(ROLES)
    table = (DOCS / "topics.md").read_text(encoding="utf-8").split("## Producers and consumers")[1].split("\n\n")[1]
    rows = {row.split("|")[1].strip(" `"): row.split("|")[2:4] for row in table.splitlines()[2:]}
    for topic in TOPICS:
        for action, cell in zip(("send", "receive"), rows[name_of(topic, Settings())], strict=True):
            roles = {o.role for o in OPERATIONS if o.topic is topic and o.action == action}
            for role in ("worker", "trainer", "notifier"):
                assert (role in roles) == (role in cell), (topic.role, action, role)
    outside = {(o.role, o.action, o.topic.role) for o in OPERATIONS}
    assert {("publisher", "send", EVENTS.role), ("alert-consumer", "receive", ALERTS.role)} <= outside
    assert {("score-consumer", "receive", SCORES.role), ("dashboard", "receive", METRICS.role)} <= outside


def test_only_group_members_have_a_group() -> None:
    """Workers and trainers have their own groups; other consumers need different group ids."""
    groups = {
        name: operation["bindings"]["kafka"]["groupId"]
        for name, operation in DOCUMENT["operations"].items()
        if "bindings" in operation
    }
    settings = Settings()
    assert groups["workerReceivesEvents"]["enum"] == [settings.kafka_group_id]
    assert groups["trainerReceivesLabels"]["enum"] == [settings.trainer_group]
    validator = jsonschema.Draft7Validator(groups["alertConsumerReceivesAlerts"])
    assert validator.is_valid("desk")
    assert not validator.is_valid(settings.kafka_group_id)
    notifiers = jsonschema.Draft7Validator(groups["notifierReceivesAlerts"])
    assert notifiers.is_valid(settings.notify_group("desk"))
    assert not notifiers.is_valid("desk")
    inside = [name for name in groups if name.startswith(("worker", "trainer", "notifier"))]
    assert sorted(inside) == [
        "notifierReceivesAlerts",
        "notifierReceivesUndelivered",
        "trainerReceivesLabels",
        "workerReceivesEvents",
    ]
    assert not any("Sends" in name for name in groups)


# The examples --------------------------------------------------------------------------------------------------------


def test_every_public_message_has_an_example() -> None:
    """All messages except those of the model and the changelog, whose formats are internal."""
    with_examples = tuple(name for name, message in DOCUMENT["components"]["messages"].items() if "examples" in message)
    assert with_examples == WITH_EXAMPLES
    assert {MESSAGES[topic.role].name for topic in TOPICS if topic not in (MODEL, CHANGELOG)} == set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_match_their_schemas(name: str) -> None:
    """The examples are valid under JSON Schema 2020-12, as in the files, and draft 07, as in AsyncAPI."""
    message = DOCUMENT["components"]["messages"][name]
    for dialect in (jsonschema.Draft202012Validator, jsonschema.Draft7Validator):
        validator = dialect(payload_schema(name))
        for example in message["examples"]:
            assert [error.message for error in validator.iter_errors(example["payload"])] == []
            if "headers" in example:
                jsonschema.validate(example["headers"], message["headers"])
        assert not validator.is_valid([])


def test_example_headers_match_the_declared_headers() -> None:
    """For messages that the program writes: no header is missing, and none is undeclared."""
    for name in ("dead_letter", "alert"):
        message = DOCUMENT["components"]["messages"][name]
        for example in message["examples"]:
            assert list(example["headers"]) == list(message["headers"]["properties"]) == message["headers"]["required"]


def test_example_events_are_accepted_and_the_example_dead_letter_is_not() -> None:
    """The workers' decoder accepts the examples."""
    for example in DOCUMENT["components"]["messages"]["event"]["examples"]:
        assert isinstance(decode(json.dumps(example["payload"]).encode(), [], None), Event)
    (letter,) = DOCUMENT["components"]["messages"]["dead_letter"]["examples"]
    refused = decode(letter["payload"].encode(), [], None)
    assert isinstance(refused, Rejected)
    assert refused.reason == letter["headers"]["churn.reason"] == letter["name"]


def test_contract_refers_to_the_published_schemas() -> None:
    """Each of the four public schemas is a file."""
    for topic in (EVENTS, ALERTS, SCORES, LABELS):
        message = MESSAGES[topic.role]
        assert payload_schema(message.name) == schema(message.name)
        assert payload_schema(message.name)["title"] == name_of(topic, Settings())
    assert partition_of(b"c-1042", Settings().partitions) == 3  # the partition in the dead letter's example
