"""Settings: from the environment only, checked before anything starts, secrets never shown."""

from __future__ import annotations

import dataclasses
import doctest

import pytest

from streams import settings, topics
from streams.engine import position
from streams.errors import SettingsError
from streams.settings import Settings, env_example, variable


@pytest.mark.parametrize("module", [position, settings, topics])
def test_examples_in_the_documentation_are_true(module: object) -> None:
    """Rule: a value in a docstring is what the code gives."""
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_an_unknown_variable_names_the_nearest_known_one() -> None:
    """Rule: a misspelt setting stops the program instead of being ignored."""
    with pytest.raises(SettingsError, match=r"CHURN_KAFKA_BOOTSTRAP_SERVER is not.*CHURN_KAFKA_BOOTSTRAP_SERVERS$"):
        Settings.from_environment({"CHURN_KAFKA_BOOTSTRAP_SERVER": "x:1"})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CHURN_PARTITIONS", "many", "whole number"),
        ("CHURN_PARTITIONS", "0", "at least 1"),
        ("CHURN_CLOCK", "sun", "one of auto, event, wall"),
        ("CHURN_ACCEPT_LOST_INPUT", "yes", "true or false"),
        ("CHURN_KAFKA_HEARTBEAT_INTERVAL_MS", "9000", "at most a third"),
        ("CHURN_KAFKA_REQUEST_TIMEOUT_MS", "60000", "at most CHURN_KAFKA_TRANSACTION_TIMEOUT_MS"),
    ],
)
def test_error_for_an_invalid_value_names_the_valid_ones(name: str, value: str, message: str) -> None:
    """Rule: the message names the variable, the value and what is allowed."""
    with pytest.raises(SettingsError, match=message) as refused:
        Settings.from_environment({name: value})
    assert name in str(refused.value)


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    """Rule: no password in `config`, in logs or in a traceback."""
    shown = Settings(kafka_sasl_password="hunter2", kafka_ssl_key_password="hunter3")
    assert "hunter" not in repr(shown)
    assert "hunter" not in str(dict(shown.masked()))
    assert dict(shown.masked())["CHURN_KAFKA_SASL_PASSWORD"] == settings.MASK


def test_every_setting_has_a_sentence_and_is_in_the_example_file() -> None:
    """Rule: a setting is declared once, with its description; the example file is generated from the declarations."""
    text = env_example()
    for field in dataclasses.fields(Settings):
        assert field.metadata["sentence"].endswith("."), field.name
        assert f"#{variable(field.name)}=" in text
        assert isinstance(getattr(Settings(), field.name), (str, int, bool))


def test_security_settings_reach_every_client() -> None:
    """Rule: the arguments of all clients are created in one place, which maps SASL and TLS."""
    arguments = Settings(
        kafka_bootstrap_servers="a:1,b:2",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="u",
        kafka_sasl_password="p",
    ).connection()
    assert arguments["bootstrap_servers"] == ["a:1", "b:2"]
    assert arguments["ssl_context"].check_hostname
    assert (arguments["sasl_mechanism"], arguments["sasl_plain_username"]) == ("SCRAM-SHA-512", "u")
    with pytest.raises(SettingsError, match="certificates"):
        Settings(kafka_security_protocol="SSL", kafka_ssl_cafile="/nowhere.pem").connection()
