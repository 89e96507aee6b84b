"""Claim 2: secrets are never displayed."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import re
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from click.testing import CliRunner

from streams.cli.main import main
from streams.credentials import tls_context, token_provider
from streams.errors import ChurnSignalsError, SettingsError
from streams.kafka import aiokafka_internals
from streams.settings import MASK, Settings, variable
from streams.topics import verify_topics
from tests.security.sources import trees

SECRETS = [field.name for field in dataclasses.fields(Settings) if field.metadata["secret"]]
VALUES = {name: f"s3cr3t-of-{name}".ljust(40, "-") for name in SECRETS}
# A new setting with such a name must be declared secret, or be excluded here with a reason.
LOOKS_SECRET = re.compile(r"(?:password|secret|token|credential|(?<!ssl_)key(?!file))(?!.*_(?:file|provider)$)")
# Values that a mistake leaves in a variable.
ODD = ("\ns3cr3t", "s3cr3t\0", "s3cr3t\x1b[2J", "s3cr3t\udcff", "s3cr3t, ,", "%s3cr3t{0}")


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
        if (isinstance(node, ast.Attribute) and node.attr in kafka)
        or (isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".secret") and _first(node) in kafka)
    }
    assert readers == {"streams/settings.py"}


def _first(call: ast.Call) -> object:
    return call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None


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


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_error_about_a_secret_does_not_quote_it(name: str, value: str, tmp_path: Path) -> None:
    """Rule: whatever is wrong with a secret, in a variable or in a file, neither error nor traceback shows it."""
    file = tmp_path / "file"
    file.write_bytes(value.encode("utf-8", "surrogateescape"))
    for given in ({variable(name): value}, {f"{variable(name)}_FILE": str(file)}):
        text = _outcome({**given, "CHURN_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"})
        assert variable(name) in text
        assert "s3cr3t" not in text


def _outcome(environment: dict[str, str]) -> str:
    """Return the settings as shown, or the traceback of what is wrong with them."""
    try:
        settings = Settings.from_environment(environment)
        settings.connection()
    except ChurnSignalsError as failure:
        return "".join(traceback.format_exception(failure))
    return repr(settings)


@pytest.mark.parametrize("name", SECRETS)
def test_secret_comes_from_a_file_as_of_now(name: str, tmp_path: Path) -> None:
    """Rule: the file is read again after it was replaced. While it cannot be read, the last content stays in use."""
    file, value = tmp_path / "file", VALUES[name]
    file.write_text("first-" + value + "\n")
    settings = Settings.from_environment({f"{variable(name)}_FILE": str(file)})
    assert settings.secret(name) == "first-" + value
    (tmp_path / "next").write_text("second-" + value)
    (tmp_path / "next").replace(file)
    assert settings.secret(name) == "second-" + value
    for broken in (b"", b"x" * 20_000, b"\xff\n"):
        file.write_bytes(broken)
        assert settings.secret(name) == "second-" + value
    file.unlink()
    assert settings.secret(name) == "second-" + value
    assert value not in repr(settings)


@pytest.mark.parametrize("name", SECRETS)
def test_unusable_file_of_a_secret_is_an_error_at_the_start(name: str, tmp_path: Path) -> None:
    setting = f"{variable(name)}_FILE"
    for content, message in ((None, "cannot be read: No such file"), (b"", "1 to 16,384 bytes"), (b"\n", "is empty")):
        file = tmp_path / f"file-{message[0]}"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SettingsError, match=message) as failed:
            Settings.from_environment({setting: str(file)})
        assert setting in str(failed.value)
    with pytest.raises(SettingsError, match="are both set"):
        Settings.from_environment({variable(name): VALUES[name], setting: str(file)})


def test_login_after_a_rotation_uses_the_new_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup: a client was made before the rotation, and connects again. Rule: SASL sends the password as of now."""
    sent: list[str] = []

    async def handshake(connection: Any) -> None:
        sent.append(connection.authenticator_plain()._sasl_plain_password)

    monkeypatch.setattr(AIOKafkaConnection, "_do_sasl_handshake", handshake)
    monkeypatch.setattr(aiokafka_internals, "_handshake", None)
    aiokafka_internals.read_passwords_at_login()
    file = tmp_path / "file"
    file.write_text("before")
    settings = Settings(kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_password_file=str(file))

    async def log_in_twice() -> None:
        arguments = {name: value for name, value in settings.connection().items() if name != "bootstrap_servers"}
        connection = AIOKafkaConnection("127.0.0.1", 1, **arguments)
        await connection._do_sasl_handshake()
        (tmp_path / "next").write_text("after")
        (tmp_path / "next").replace(file)
        await connection._do_sasl_handshake()

    asyncio.run(log_in_twice())
    assert sent == ["before", "after"]


class Tokens(AbstractTokenProvider):
    """A provider as people write it."""

    async def token(self) -> str:
        return "s3cr3t-token"


class Broken(Tokens):
    """A provider whose error quotes a credential."""

    def __init__(self) -> None:
        raise ValueError("s3cr3t-credential is wrong")


def test_token_provider_is_a_class_of_the_settings() -> None:
    """Rule: OAUTHBEARER passes an instance of it to each client, and no password."""
    path = f"{__name__}:Tokens"
    environment = {
        "CHURN_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "CHURN_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "CHURN_KAFKA_SASL_TOKEN_PROVIDER": path,
    }
    arguments = Settings.from_environment(environment).connection()
    assert isinstance(arguments["sasl_oauth_token_provider"], Tokens)
    assert not {"sasl_plain_username", "sasl_plain_password"} & set(arguments)
    for missing in environment.keys() - {"CHURN_KAFKA_SECURITY_PROTOCOL"}:
        with pytest.raises(SettingsError, match="CHURN_KAFKA_SASL_TOKEN_PROVIDER must be set if"):
            Settings.from_environment({name: value for name, value in environment.items() if name != missing})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere:Tokens", "cannot be loaded: ModuleNotFoundError"),
        (f"{__name__}:Missing", "cannot be loaded: AttributeError"),
        (f"{__name__}:Broken", "cannot be loaded: ValueError"),
        (__name__, "cannot be loaded: AttributeError"),
        ("", "cannot be loaded: ValueError"),
        ("decimal:Decimal", "must be a subclass of aiokafka.abc.AbstractTokenProvider"),
    ],
)
def test_unusable_token_provider_is_an_error(path: str, message: str) -> None:
    """Rule: one sentence that names the setting, and quotes no credential."""
    with pytest.raises(SettingsError, match=message) as failed:
        token_provider(path, "CHURN_KAFKA_SASL_TOKEN_PROVIDER")
    assert str(failed.value).startswith("CHURN_KAFKA_SASL_TOKEN_PROVIDER=")
    assert "s3cr3t" not in str(failed.value)


def test_encrypted_key_without_a_password_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the process does not wait for a password to be typed."""
    asked: list[object] = []

    class Context:
        def load_cert_chain(self, certfile: str, keyfile: str | None, password: object) -> None:
            asked.append(password)

    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: Context())
    tls_context("", "client.pem", "client.key", "")
    assert asked == [""], "None would ask on the terminal"


def test_misspelt_variable_is_reported_without_its_value() -> None:
    with pytest.raises(ChurnSignalsError) as refused:
        Settings.from_environment({"CHURN_KAFKA_SASL_PASSWORT": "s3cr3t"})
    assert "CHURN_KAFKA_SASL_PASSWORD" in str(refused.value)
    assert "s3cr3t" not in str(refused.value)
