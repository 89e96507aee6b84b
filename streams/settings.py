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

from streams.errors import SettingsError

PREFIX = "CHURN_"
MASK = "********"


def _setting(
    default: Any, sentence: str, *, unit: str = "", secret: bool = False, choices: tuple[str, ...] = (), low: int = 0
) -> Any:
    metadata = {"sentence": sentence, "unit": unit, "secret": secret, "choices": choices, "low": low}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The effective settings. Kafka settings keep Kafka's names: `session.timeout.ms` is
    `CHURN_KAFKA_SESSION_TIMEOUT_MS`."""

    # Connection and authentication
    kafka_bootstrap_servers: str = _setting(
        "127.0.0.1:9092", "Brokers for the initial connection to the cluster.", unit="host:port, comma separated"
    )
    kafka_security_protocol: str = _setting(
        "PLAINTEXT",
        "Protocol for connections to the brokers.",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    kafka_sasl_mechanism: str = _setting(
        "PLAIN", "SASL mechanism for authentication.", choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    kafka_sasl_username: str = _setting("", "SASL user name.")
    kafka_sasl_password: str = _setting("", "SASL password.", secret=True)
    kafka_ssl_cafile: str = _setting("", "Trusted CA certificates; empty uses the system's.", unit="PEM file")
    kafka_ssl_certfile: str = _setting("", "Client certificate for mutual TLS.", unit="PEM file")
    kafka_ssl_keyfile: str = _setting("", "Private key of the client certificate.", unit="PEM file")
    kafka_ssl_key_password: str = _setting("", "Password of the private key.", secret=True)
    kafka_ssl_check_hostname: bool = _setting(True, "Reject a broker whose certificate does not match its host name.")

    # Group and ownership
    kafka_group_id: str = _setting(
        "churn-signals", "Consumer group of the workers. It also names the changelog and fences partition owners."
    )
    kafka_group_instance_id: str = _setting(
        "", "Static membership, one name per worker: a restart within the session timeout keeps the partitions."
    )
    kafka_session_timeout_ms: int = _setting(
        10_000,
        "Time without heartbeats after which a worker's partitions are reassigned: the outage after a crash.",
        unit="ms",
        low=6_000,
    )
    kafka_heartbeat_interval_ms: int = _setting(2_500, "Interval between a worker's heartbeats.", unit="ms", low=100)
    kafka_rebalance_timeout_ms: int = _setting(
        20_000, "How long a rebalance waits for a worker to finish its batch and rejoin.", unit="ms", low=6_000
    )
    kafka_max_poll_interval_ms: int = _setting(
        300_000, "A worker whose main loop is blocked for longer loses its partitions.", unit="ms", low=10_000
    )
    kafka_transaction_timeout_ms: int = _setting(
        15_000,
        "Time after which the broker aborts the transaction of a dead owner. Consumers wait until then.",
        unit="ms",
        low=1_000,
    )
    kafka_request_timeout_ms: int = _setting(
        12_000, "Time after which a request or a batch counts as failed.", unit="ms", low=1_000
    )

    # Performance
    kafka_max_poll_records: int = _setting(
        12_000,
        "Maximum number of events in one transaction. On a backlog, 12,000 cost 10% less per event than 5,000.",
        unit="events",
        low=1,
    )
    kafka_max_partition_fetch_bytes: int = _setting(
        8 * 1024 * 1024, "Maximum bytes fetched from one partition at a time.", unit="bytes", low=1024
    )
    kafka_fetch_max_wait_ms: int = _setting(
        100,
        "Maximum time that the broker holds an empty fetch. A partition can wait this long for the others.",
        unit="ms",
        low=1,
    )
    kafka_compression_type: str = _setting(
        "auto",
        "Compression of published records; auto: zstd for scores, none for other topics. The changelog uses snappy"
        " instead of none.",
        choices=("auto", "none", "gzip", "snappy", "lz4", "zstd"),
    )

    # Topics
    kafka_replication_factor: int = _setting(
        -1, "Replication factor of created topics; -1: the broker's default.", unit="brokers", low=-1
    )
    partitions: int = _setting(
        4,
        "Partitions of the events topic, if churn-signals creates it. Do not change it later.",
        unit="partitions",
        low=1,
    )
    topic_events: str = _setting("customer-events", "Input events.")
    topic_dead_letters: str = _setting("customer-events.dlq", "Rejected events, byte for byte.")
    topic_alerts: str = _setting("churn-alerts", "Alert lifecycle events.")
    topic_undelivered: str = _setting("churn-alerts.dlq", "Alert events that could not be delivered to a webhook.")
    topic_scores: str = _setting("churn-scores", "Latest score per customer.")
    topic_labels: str = _setting("churn-labels", "Matured training examples.")
    topic_model: str = _setting("churn-model", "Model snapshots.")
    topic_metrics: str = _setting("churn-metrics", "Retention accounting and model quality.")

    # Process
    data_dir: str = _setting(
        ".data", "Directory of the local stores. They are a cache and safe to delete.", unit="directory"
    )
    config: str = _setting("churn.toml", "Churn definition.", unit="file")
    notify_routes: str = _setting("notify.toml", "Alert routes for `notify`.", unit="file")
    clock: str = _setting(
        "auto",
        "Clock that detects inactivity: event time (for replays), wall time, or chosen per partition.",
        choices=("auto", "event", "wall"),
    )
    model_name: str = _setting("churn", "Key of the model snapshots that workers score with.")
    snapshot_interval_ms: int = _setting(
        10_000, "Minimum time between two model snapshots of the trainer.", unit="ms", low=100
    )
    accept_lost_input: bool = _setting(
        False, "Continue although events were deleted before they were applied. They stay missing."
    )
    console_token: str = _setting(
        "", "Login token of the console; required if the console listens beyond loopback.", secret=True
    )
    console_hosts: str = _setting(
        "",
        "Host names that the console accepts, in addition to IP addresses and localhost.",
        unit="comma separated",
    )
    explain_process: str = _setting(
        "auto",
        "Whether a worker renders explanations in a separate process on another core; auto: for larger batches, if"
        " there is another core.",
        choices=("auto", "on", "off"),
    )
    cpu: str = _setting(
        "auto",
        "Core to which a worker pins its threads, which take turns; auto: a core that no other worker of the machine"
        " or container uses, and another one if it is busy; none: all cores.",
        unit="auto | none | number",
    )
    http_host: str = _setting(
        "127.0.0.1",
        "Address on which a worker, trainer or notifier serves /healthz, /readyz and /metrics.",
        unit="address",
    )
    http_port: int = _setting(
        0,
        "Port of these endpoints; 0: a free port, written to a file in `http` under CHURN_DATA_DIR; -1: disabled.",
        unit="port",
        low=-1,
    )
    log_level: str = _setting("INFO", "Minimum level of log messages.", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _setting(
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
        values = {}
        for name, text in variables.items():
            if not name.startswith(PREFIX) or name.startswith("CHURN_FAILPOINT"):
                continue
            if name not in known:
                nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise SettingsError(f"{name} is not a setting; the nearest one is {nearest}")
            values[known[name].name] = _parse(known[name], text)
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

    def masked(self) -> Iterator[tuple[str, str]]:
        """(variable, value) of every setting, with secrets masked. Settings are never printed in another way."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            yield variable(field.name), MASK if field.metadata["secret"] and value else _text(value)

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}={value}" for name, value in self.masked()) + ")"

    def connection(self) -> dict[str, Any]:
        """Keyword arguments for every aiokafka client: brokers, protocol and credentials.

        Raises:
            SettingsError: a certificate or key file cannot be read.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.kafka_bootstrap_servers.split(","),
            "security_protocol": self.kafka_security_protocol,
        }
        if "SSL" in self.kafka_security_protocol:
            arguments["ssl_context"] = self._ssl_context()
        if self.kafka_security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.kafka_sasl_mechanism
            arguments["sasl_plain_username"] = self.kafka_sasl_username
            arguments["sasl_plain_password"] = self.kafka_sasl_password
        return arguments

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.kafka_ssl_cafile or None)
            if self.kafka_ssl_certfile:
                context.load_cert_chain(
                    self.kafka_ssl_certfile, self.kafka_ssl_keyfile or None, self.kafka_ssl_key_password or None
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
        lines.append(f"#{variable(field.name)}={_text(field.default)}\n")
    return "\n".join(lines)


def _parse(field: dataclasses.Field[Any], text: str) -> Any:
    name, meta = variable(field.name), field.metadata
    kind = get_type_hints(Settings)[field.name]
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise SettingsError(f"{name}={text!r} must be true or false")
        return text.lower() == "true"
    if kind is int:
        try:
            number = int(text.replace("_", ""))
        except ValueError:
            raise SettingsError(f"{name}={text!r} must be a whole number ({meta['unit']})") from None
        if number < meta["low"]:
            raise SettingsError(f"{name}={number} must be at least {meta['low']} ({meta['unit']})")
        return number
    choices = meta["choices"]
    if choices and text not in choices:
        raise SettingsError(f"{name}={text!r} must be one of {', '.join(choices)}")
    return text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
