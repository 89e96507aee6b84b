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
# Whoever adds a setting of this name must say that it is secret, or write down here why it is none.
LOOKS_SECRET = re.compile(r"password|secret|token|credential|(?<!ssl_)key(?!file)")


def test_whatever_looks_like_a_secret_is_declared_as_one() -> None:
    """Rule: a password, token or key among the settings is marked."""
    named = [field.name for field in dataclasses.fields(Settings) if LOOKS_SECRET.search(field.name)]
    assert {"kafka_sasl_password", "kafka_ssl_key_password"} <= set(named)
    assert set(named) <= set(SECRETS)


def test_config_shows_settings_with_their_secrets_masked() -> None:
    """Rule: that a secret is set can be seen, not what it is."""
    given = {variable(name): value for name, value in VALUES.items()}
    result = CliRunner().invoke(main, ["config", "--settings"], env={**given, "CHURN_KAFKA_GROUP_ID": "mine"})
    assert result.exit_code == 0, result.output
    assert "CHURN_KAFKA_GROUP_ID=mine" in result.output.splitlines()
    for name in SECRETS:
        assert f"{variable(name)}={MASK}" in result.output.splitlines()
    assert "s3cr3t" not in result.output


def test_settings_are_printed_masked() -> None:
    shown = Settings(**VALUES)  # type: ignore[arg-type]
    for text in (repr(shown), str(shown), f"{shown}", str(dict(shown.masked()))):
        assert MASK in text
        assert "s3cr3t" not in text


def test_only_the_settings_themselves_read_a_secret_of_kafka() -> None:
    """Rule: what a module does not have it cannot print. The connection's arguments are made in one place."""
    kafka = {name for name in SECRETS if name.startswith("kafka_")}
    readers = {
        path
        for path, tree in trees("streams")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in kafka
    }
    assert readers == {"streams/settings.py"}


def test_an_error_while_connecting_does_not_say_the_password() -> None:
    """Setup: SASL against a port where nobody listens, and a private key that cannot be read."""
    away = Settings(
        kafka_bootstrap_servers="127.0.0.1:1",
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_username="user",
        **VALUES,  # type: ignore[arg-type]
    )
    with pytest.raises((ChurnSignalsError, KafkaError)) as refused:
        asyncio.run(verify_topics(away))
    assert "CHURN_KAFKA_SASL_PASSWORD" in str(refused.value)
    said = "".join(traceback.format_exception(refused.value))
    unreadable = dataclasses.replace(away, kafka_security_protocol="SSL", kafka_ssl_certfile="/nowhere.pem")
    with pytest.raises(ChurnSignalsError) as failed:
        unreadable.connection()
    assert "s3cr3t" not in said + "".join(traceback.format_exception(failed.value))


def test_a_misspelt_variable_is_named_without_its_value() -> None:
    with pytest.raises(ChurnSignalsError) as refused:
        Settings.from_environment({"CHURN_KAFKA_SASL_PASSWORT": "s3cr3t"})
    assert "CHURN_KAFKA_SASL_PASSWORD" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
