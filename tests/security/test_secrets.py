"""Claim 2: secrets are never displayed."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import re
import traceback

import pytest
from aiokafka.errors import KafkaError
from click.testing import CliRunner

from streams.cli.main import main
from streams.errors import ChurnSignalsError
from streams.settings import MASK, Settings, variable
from streams.topics import verify_topics
from tests.security.sources import trees

SECRETS = [field.name for field in dataclasses.fields(Settings) if field.metadata["secret"]]
VALUES = {name: f"s3cr3t-of-{name}" for name in SECRETS}
# A new setting with such a name must be declared secret, or be excluded here with a reason.
LOOKS_SECRET = re.compile(r"password|secret|token|credential|(?<!ssl_)key(?!file)")


def test_settings_that_look_secret_are_declared_secret() -> None:
    """Rule: passwords, tokens and keys."""
    named = [field.name for field in dataclasses.fields(Settings) if LOOKS_SECRET.search(field.name)]
    assert {"kafka_sasl_password", "kafka_ssl_key_password"} <= set(named)
    assert set(named) <= set(SECRETS)


def test_config_command_masks_secrets() -> None:
    """Rule: the output shows that a secret is set, but not its value."""
    given = {variable(name): value for name, value in VALUES.items()}
    result = CliRunner().invoke(main, ["config", "--settings"], env={**given, "CHURN_KAFKA_GROUP_ID": "staging"})
    assert result.exit_code == 0, result.output
    assert "CHURN_KAFKA_GROUP_ID=staging" in result.output.splitlines()
    for name in SECRETS:
        assert f"{variable(name)}={MASK}" in result.output.splitlines()
    assert "s3cr3t" not in result.output


def test_representations_of_settings_mask_secrets() -> None:
    shown = Settings(**VALUES)  # type: ignore[arg-type]
    for text in (repr(shown), str(shown), f"{shown}", str(dict(shown.masked()))):
        assert MASK in text
        assert "s3cr3t" not in text


def test_only_settings_reads_kafka_secrets() -> None:
    """Rule: other modules cannot print what they do not read. `Settings.connection` alone passes them to aiokafka."""
    kafka = {name for name in SECRETS if name.startswith("kafka_")}
    readers = {
        path
        for path, tree in trees("streams")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in kafka
    }
    assert readers == {"streams/settings.py"}


def test_connection_errors_do_not_contain_passwords() -> None:
    """Setup: SASL with a port on which nothing listens, and an unreadable certificate."""
    unreachable = Settings(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_username="user",
        **VALUES,  # type: ignore[arg-type]
    )
    with pytest.raises((ChurnSignalsError, KafkaError)) as raised:
        asyncio.run(verify_topics(unreachable))
    assert "CHURN_KAFKA_SASL_PASSWORD" in str(raised.value)
    text = "".join(traceback.format_exception(raised.value))
    unreadable = dataclasses.replace(unreachable, kafka_security_protocol="SSL", kafka_ssl_certfile="/nowhere.pem")
    with pytest.raises(ChurnSignalsError) as failed:
        unreadable.connection()
    assert "s3cr3t" not in text + "".join(traceback.format_exception(failed.value))


def test_misspelt_variable_is_reported_without_its_value() -> None:
    with pytest.raises(ChurnSignalsError) as refused:
        Settings.from_environment({"CHURN_KAFKA_SASL_PASSWORT": "s3cr3t"})
    assert "CHURN_KAFKA_SASL_PASSWORD" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
