"""Settings of a process: each declared once, with environment variable, type, default, unit and description.

Tested by tests/tools/docs/test_settings.py and tests/ops/test_env_example.py.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from streams.credentials import SaslPassword, check_secret, read_secret, tls_context, token_provider
from streams.errors import SettingsError
from streams.setting_declaration import parse_setting, setting, setting_text

PREFIX = "CHURN_"
MASK = "********"
# A signed event shows whether a guess is right, so that a short secret could be found by trying.
CONTROL_SECRET_MIN = 32


@dataclass(frozen=True)
class Settings:
    """The effective settings. Kafka settings keep Kafka's names: `session.timeout.ms` is
    `CHURN_KAFKA_SESSION_TIMEOUT_MS`."""

    # Connection and authentication
    kafka_bootstrap_servers: str = setting(
        "127.0.0.1:9092", "Brokers for the initial connection to the cluster.", unit="host:port, comma separated"
    )
    kafka_security_protocol: str = setting(
        "PLAINTEXT",
        "Protocol for connections to the brokers.",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    kafka_sasl_mechanism: str = setting(
        "PLAIN",
        "SASL mechanism for authentication.",
        choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"),
    )
    kafka_sasl_username: str = setting("", "SASL user name.")
    kafka_sasl_password: str = setting("", "SASL password.", secret=True)
    kafka_sasl_password_file: str = setting("", "File with the SASL password, read again for each login.", unit="file")
    kafka_sasl_token_provider: str = setting(
        "",
        "Class that returns the tokens of OAUTHBEARER: a subclass of `aiokafka.abc.AbstractTokenProvider`.",
        unit="module:Class",
    )
    kafka_ssl_cafile: str = setting("", "Trusted CA certificates; empty uses the system's.", unit="PEM file")
    kafka_ssl_certfile: str = setting("", "Client certificate for mutual TLS.", unit="PEM file")
    kafka_ssl_keyfile: str = setting("", "Private key of the client certificate.", unit="PEM file")
    kafka_ssl_key_password: str = setting("", "Password of the private key.", secret=True)
    kafka_ssl_key_password_file: str = setting("", "File with the password of the private key.", unit="file")
    kafka_ssl_check_hostname: bool = setting(True, "Reject a broker whose certificate does not match its host name.")

    # Group and ownership
    kafka_group_id: str = setting(
        "churn-signals", "Consumer group of the workers. It also names the changelog and fences partition owners."
    )
    kafka_group_instance_id: str = setting(
        "", "Static membership, one name per worker: a restart within the session timeout keeps the partitions."
    )
    kafka_session_timeout_ms: int = setting(
        10_000,
        "Time without heartbeats after which a worker's partitions are reassigned: the outage after a crash.",
        unit="ms",
        low=6_000,
    )
    kafka_heartbeat_interval_ms: int = setting(2_500, "Interval between a worker's heartbeats.", unit="ms", low=100)
    kafka_rebalance_timeout_ms: int = setting(
        20_000, "How long a rebalance waits for a worker to finish its batch and rejoin.", unit="ms", low=6_000
    )
    kafka_max_poll_interval_ms: int = setting(
        300_000, "A worker whose main loop is blocked for longer loses its partitions.", unit="ms", low=10_000
    )
    kafka_transaction_timeout_ms: int = setting(
        15_000,
        "Time after which the broker aborts the transaction of a dead owner. Consumers wait until then.",
        unit="ms",
        low=1_000,
    )
    kafka_request_timeout_ms: int = setting(
        12_000, "Time after which a request or a batch counts as failed.", unit="ms", low=1_000
    )

    # Performance
    kafka_max_poll_records: int = setting(
        12_000,
        "Maximum number of events in one transaction. On a backlog, 12,000 cost 10% less per event than 5,000.",
        unit="events",
        low=1,
    )
    kafka_max_partition_fetch_bytes: int = setting(
        8 * 1024 * 1024, "Maximum bytes fetched from one partition at a time.", unit="bytes", low=1024
    )
    kafka_fetch_max_wait_ms: int = setting(
        100,
        "Maximum time that the broker holds an empty fetch. A partition can wait this long for the others.",
        unit="ms",
        low=1,
    )
    kafka_compression_type: str = setting(
        "auto",
        "Compression of published records; auto: zstd for scores, none for other topics. The changelog uses snappy"
        " instead of none.",
        choices=("auto", "none", "gzip", "snappy", "lz4", "zstd"),
    )

    # Topics
    kafka_replication_factor: int = setting(
        -1, "Replication factor of created topics; -1: the broker's default.", unit="brokers", low=-1
    )
    partitions: int = setting(
        4,
        "Partitions of the events topic, if churn-signals creates it. Do not change it later.",
        unit="partitions",
        low=1,
    )
    topic_events: str = setting("customer-events", "Input events.")
    topic_dead_letters: str = setting("customer-events.dlq", "Rejected events, byte for byte.")
    topic_alerts: str = setting("churn-alerts", "Alert lifecycle events.")
    topic_undelivered: str = setting("churn-alerts.dlq", "Alert events that could not be delivered to a webhook.")
    topic_scores: str = setting("churn-scores", "Latest score per customer.")
    topic_labels: str = setting("churn-labels", "Matured training examples.")
    topic_model: str = setting("churn-model", "Model snapshots.")
    topic_metrics: str = setting("churn-metrics", "Retention accounting and model quality.")

    # Process
    data_dir: str = setting(
        ".data", "Directory of the local stores. They are a cache and safe to delete.", unit="directory"
    )
    config: str = setting("churn.toml", "Churn definition.", unit="file")
    notify_routes: str = setting("notify.toml", "Alert routes for `notify`.", unit="file")
    clock: str = setting(
        "auto",
        "Clock that detects inactivity: event time (for replays), wall time, or chosen per partition.",
        choices=("auto", "event", "wall"),
    )
    model_name: str = setting("churn", "Key of the model snapshots that workers score with.")
    snapshot_interval_ms: int = setting(
        10_000, "Minimum time between two model snapshots of the trainer.", unit="ms", low=100
    )
    accept_lost_input: bool = setting(
        False, "Continue although events were deleted before they were applied. They stay missing."
    )
    control_events: str = setting(
        "signed",
        "Which control events workers apply: those with a valid signature of CHURN_CONTROL_SECRET, or those of any"
        " publisher.",
        choices=("signed", "any"),
    )
    control_secret: str = setting(
        "",
        "Secret that signs control events: 32 characters or more. Of several, the first signs and each one verifies.",
        unit="comma separated",
        secret=True,
    )
    control_secret_file: str = setting("", "File with these secrets, read again after it has changed.", unit="file")
    console_token: str = setting(
        "", "Login token of the console; required if the console listens beyond loopback.", secret=True
    )
    console_token_file: str = setting("", "File with the login token of the console.", unit="file")
    console_hosts: str = setting(
        "",
        "Host names that the console accepts, in addition to IP addresses and localhost.",
        unit="comma separated",
    )
    console_trusted_proxies: str = setting(
        "",
        "Reverse proxies whose X-Forwarded-For and X-Forwarded-Proto the console trusts; empty: none.",
        unit="addresses or networks, comma separated",
    )
    explain_process: str = setting(
        "auto",
        "Whether a worker renders explanations in a separate process on another core; auto: for larger batches, if"
        " there is another core.",
        choices=("auto", "on", "off"),
    )
    cpu: str = setting(
        "auto",
        "Core to which a worker pins its threads, which take turns; auto: a core that no other worker of the machine"
        " or container uses, and another one if it is busy; none: all cores.",
        unit="auto | none | number",
    )
    http_host: str = setting(
        "127.0.0.1",
        "Address on which a worker, trainer or notifier serves /healthz, /readyz and /metrics.",
        unit="address",
    )
    http_port: int = setting(
        0,
        "Port of these endpoints; 0: a free port, written to a file in `http` under CHURN_DATA_DIR; -1: disabled.",
        unit="port",
        low=-1,
    )
    log_level: str = setting("INFO", "Minimum level of log messages.", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = setting(
        "auto",
        "Format of log lines: text for people, JSON for machines; auto: text on a terminal, otherwise JSON.",
        choices=("auto", "text", "json"),
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables. An unknown `CHURN_` variable is an error.

        Raises:
            SettingsError: a variable is unknown (the message names the nearest one), or its value is not allowed.

        >>> Settings.from_environment({"CHURN_KAFKA_GROUP_ID": "staging"}).kafka_group_id
        'staging'
        """
        variables = os.environ if environment is None else environment
        known = {variable(field.name): field for field in dataclasses.fields(cls)}
        kinds, values = get_type_hints(cls), {}
        for name, text in variables.items():
            if not name.startswith(PREFIX) or name.startswith("CHURN_FAILPOINT"):
                continue
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise SettingsError(f"{name} is not a setting; the nearest one is {nearest}")
            field = known[name]
            values[field.name] = parse_setting(name, kinds[field.name], field.metadata, text)
        settings = cls(**values)
        settings._check()
        return settings

    def _check(self) -> None:
        if self.kafka_heartbeat_interval_ms * 3 > self.kafka_session_timeout_ms:
            raise SettingsError(
                f"{variable('kafka_heartbeat_interval_ms')}={self.kafka_heartbeat_interval_ms} must be at most a third"
                f" of {variable('kafka_session_timeout_ms')}={self.kafka_session_timeout_ms}"
            )
        if self.kafka_request_timeout_ms > self.kafka_transaction_timeout_ms:
            raise SettingsError(
                f"{variable('kafka_request_timeout_ms')}={self.kafka_request_timeout_ms} must be at most"
                f" {variable('kafka_transaction_timeout_ms')}={self.kafka_transaction_timeout_ms}"
            )
        if self.cpu not in ("auto", "none") and not (self.cpu.isascii() and self.cpu.isdecimal()):
            raise SettingsError(f"{variable('cpu')}={self.cpu!r} must be auto, none or the number of a core")
        self._check_secrets()

    def _check_secrets(self) -> None:
        for name in SECRETS:
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise SettingsError(f"{variable(name)} and {variable(name)}_FILE are both set: keep one of them")
            check_secret(self.secret(name), variable(name))
        self.control_keys()
        if bool(self.kafka_sasl_token_provider) != (self.kafka_sasl_mechanism == "OAUTHBEARER"):
            raise SettingsError(
                f"{variable('kafka_sasl_token_provider')} must be set if {variable('kafka_sasl_mechanism')} is"
                " OAUTHBEARER, and not with another mechanism"
            )

    def secret(self, name: str) -> str:
        """Return a secret: the value of its setting, or the current content of its file.

        Raises:
            SettingsError: the file cannot be read. The message does not quote its content.
        """
        path = getattr(self, f"{name}_file")
        return read_secret(path, variable(f"{name}_file")) if path else str(getattr(self, name))

    def control_keys(self) -> tuple[bytes, ...]:
        """Keys of the signatures of control events: the first signs, each one verifies.

        Raises:
            SettingsError: a secret is too short. The message does not quote it.
        """
        secrets = self._control_secrets()
        if any(len(secret) < CONTROL_SECRET_MIN for secret in secrets):
            raise SettingsError(
                f"each secret in {variable('control_secret')} must have {CONTROL_SECRET_MIN} characters or more;"
                " generate one with: openssl rand -hex 32"
            )
        return tuple(secret.encode() for secret in secrets)

    def secret_texts(self) -> list[str]:
        """Every text that must not be shown, the longest first."""
        texts = {*(self.secret(name) for name in SECRETS), *self._control_secrets()}
        return sorted(texts - {""}, key=len, reverse=True)

    def _control_secrets(self) -> list[str]:
        text = self.secret("control_secret")
        return [part.strip() for part in text.split(",")] if text else []

    def masked(self) -> Iterator[tuple[str, str]]:
        """(variable, value) of every setting, with secrets masked. Settings are never printed in another way."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            yield variable(field.name), MASK if field.metadata["secret"] and value else setting_text(value)

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}={value}" for name, value in self.masked()) + ")"

    def connection(self) -> dict[str, Any]:
        """Keyword arguments for every aiokafka client: brokers, protocol and credentials.

        Raises:
            SettingsError: a file with a certificate, a key or a secret cannot be read, or there is no such class.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers.split(","),
            "security_protocol": self.kafka_security_protocol,
        }
        if "SSL" in self.kafka_security_protocol:
            arguments["ssl_context"] = self._ssl_context()
        if self.kafka_security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.kafka_sasl_mechanism
            if self.kafka_sasl_mechanism == "OAUTHBEARER":
                arguments["sasl_oauth_token_provider"] = token_provider(
                    self.kafka_sasl_token_provider, variable("kafka_sasl_token_provider")
                )
            else:
                arguments["sasl_plain_username"] = self.kafka_sasl_username
                arguments["sasl_plain_password"] = SaslPassword.read_by(lambda: self.secret("kafka_sasl_password"))
        return arguments

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = tls_context(
                self.kafka_ssl_cafile,
                self.kafka_ssl_certfile,
                self.kafka_ssl_keyfile,
                self.secret("kafka_ssl_key_password"),
            )
        except OSError as failure:  # includes ssl.SSLError
            files = ", ".join(variable(f"kafka_ssl_{name}") for name in ("cafile", "certfile", "keyfile"))
            raise SettingsError(f"the TLS certificates cannot be read: {failure}; check {files}") from failure
        context.check_hostname = self.kafka_ssl_check_hostname
        return context

    def client_id(self, role: str) -> str:
        """Client id of a group member: role, host and process id, as `churn-signals lag` shows it."""
        return f"{role}-{socket.gethostname()}-{os.getpid()}"

    @property
    def trainer_group(self) -> str:
        """Consumer group of the trainers."""
        return f"{self.kafka_group_id}-trainer"

    def notify_group(self, route: str) -> str:
        """Consumer group of the notifiers of a route. Each route has its own committed offsets."""
        return f"{self.kafka_group_id}-notify-{route}"

    @property
    def compression(self) -> str | None:
        """aiokafka's name of the compression for topics without a specific one."""
        return None if self.kafka_compression_type in ("auto", "none") else self.kafka_compression_type

    def compression_of(self, topic: str) -> str | None:
        """aiokafka's name of the compression for a topic.

        Scores are most of the published bytes and similar to each other: zstd reduces them to a fourteenth.
        """
        if self.kafka_compression_type == "auto" and topic == self.topic_scores:
            return "zstd"
        return self.compression

    @property
    def store_dir(self) -> Path:
        """Directory of this group's local stores."""
        return Path(self.data_dir) / "store" / self.kafka_group_id


# Each has a second setting with the suffix `_file`.
SECRETS = tuple(field.name for field in dataclasses.fields(Settings) if field.metadata["secret"])


def variable(field_name: str) -> str:
    """Return the environment variable of a setting.

    >>> variable("kafka_group_id")
    'CHURN_KAFKA_GROUP_ID'
    """
    return PREFIX + field_name.upper()


def env_example() -> str:
    """Return the text of `.env.example`: each variable with description, unit, choices and default."""
    lines = []
    for field in dataclasses.fields(Settings):
        meta = field.metadata
        notes = [meta["unit"], " | ".join(meta["choices"])]
        lines.append(f"# {meta['sentence']}" + "".join(f" [{note}]" for note in notes if note))
        lines.append(f"#{variable(field.name)}={setting_text(field.default)}\n")
    return "\n".join(lines)
