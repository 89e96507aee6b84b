"""Every setting of the process, declared once: environment variable, type, default, unit and one sentence."""

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
    """The effective settings. Kafka's settings have Kafka's own names, so `session.timeout.ms` is
    `CHURN_KAFKA_SESSION_TIMEOUT_MS`."""

    # Where Kafka is, and how to be let in
    kafka_bootstrap_servers: str = _setting(
        "127.0.0.1:9092", "Brokers to find the cluster by.", unit="host:port, comma separated"
    )
    kafka_security_protocol: str = _setting(
        "PLAINTEXT",
        "How to talk to the brokers.",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    )
    kafka_sasl_mechanism: str = _setting(
        "PLAIN", "How to prove who we are.", choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    kafka_sasl_username: str = _setting("", "User name for SASL.")
    kafka_sasl_password: str = _setting("", "Password for SASL.", secret=True)
    kafka_ssl_cafile: str = _setting("", "Certificates to trust (empty: those of the system).", unit="PEM file")
    kafka_ssl_certfile: str = _setting("", "Our own certificate, for mutual TLS.", unit="PEM file")
    kafka_ssl_keyfile: str = _setting("", "The private key of our certificate.", unit="PEM file")
    kafka_ssl_key_password: str = _setting("", "Password of the private key.", secret=True)
    kafka_ssl_check_hostname: bool = _setting(True, "Refuse a broker whose certificate is for another host.")

    # Group and ownership
    kafka_group_id: str = _setting(
        "churn-signals", "Consumer group of the workers; also names the changelog and fences its partitions."
    )
    kafka_group_instance_id: str = _setting(
        "", "Static membership: a restart within the session timeout keeps the partitions (one name per worker)."
    )
    kafka_session_timeout_ms: int = _setting(
        10_000, "After this silence a worker's partitions go to others: the outage after a crash.", unit="ms", low=6_000
    )
    kafka_heartbeat_interval_ms: int = _setting(2_500, "How often a worker says that it lives.", unit="ms", low=100)
    kafka_rebalance_timeout_ms: int = _setting(
        20_000, "How long the group waits for a worker to finish its batch and rejoin.", unit="ms", low=6_000
    )
    kafka_max_poll_interval_ms: int = _setting(
        300_000, "A worker whose main loop stands still for this long gives its partitions away.", unit="ms", low=10_000
    )
    kafka_transaction_timeout_ms: int = _setting(
        15_000, "The broker aborts a dead owner's transaction after this; readers wait for it.", unit="ms", low=1_000
    )
    kafka_request_timeout_ms: int = _setting(
        12_000, "A request or a batch that takes longer has failed.", unit="ms", low=1_000
    )

    # Speed
    kafka_max_poll_records: int = _setting(
        12_000,
        "Most events of one transaction; of a backlog, 12,000 cost a tenth less each than 5,000.",
        unit="events",
        low=1,
    )
    kafka_max_partition_fetch_bytes: int = _setting(
        8 * 1024 * 1024, "Most bytes of one partition in one fetch.", unit="bytes", low=1024
    )
    kafka_fetch_max_wait_ms: int = _setting(
        100, "An empty fetch is answered after this; a partition may wait so long for others.", unit="ms", low=1
    )
    kafka_compression_type: str = _setting(
        "auto",
        "Compression of what we write; auto: of the scores zstd, of all else none; none of the changelog means snappy.",
        choices=("auto", "none", "gzip", "snappy", "lz4", "zstd"),
    )

    # Topics
    kafka_replication_factor: int = _setting(
        -1, "Copies of each topic we create (-1: the broker's default).", unit="brokers", low=-1
    )
    partitions: int = _setting(
        4, "Partitions of the events topic when we create it; fixed from then on.", unit="partitions", low=1
    )
    topic_events: str = _setting("customer-events", "Events in.")
    topic_dead_letters: str = _setting("customer-events.dlq", "Rejected events, byte for byte.")
    topic_alerts: str = _setting("churn-alerts", "Alert lifecycle events out.")
    topic_undelivered: str = _setting("churn-alerts.dlq", "Alert events that a webhook did not take.")
    topic_scores: str = _setting("churn-scores", "Latest score per customer.")
    topic_labels: str = _setting("churn-labels", "Matured training examples.")
    topic_model: str = _setting("churn-model", "Model snapshots.")
    topic_metrics: str = _setting("churn-metrics", "Retention accounting and model quality.")

    # This process
    data_dir: str = _setting(".data", "Where local stores are kept; a cache, safe to delete.", unit="directory")
    config: str = _setting("churn.toml", "The churn definition.", unit="file")
    notify_routes: str = _setting("notify.toml", "Where alerts go: the routes of `notify`.", unit="file")
    clock: str = _setting(
        "auto",
        "When silence is looked at: event time (replays), wall time, or found out per partition.",
        choices=("auto", "event", "wall"),
    )
    model_name: str = _setting("churn", "Key of the model snapshots that workers score with.")
    snapshot_interval_ms: int = _setting(
        10_000, "The trainer publishes what it has learned at most this often.", unit="ms", low=100
    )
    accept_lost_input: bool = _setting(
        False, "Go on although events were deleted before they were applied (they stay missing)."
    )
    console_token: str = _setting("", "What the console asks for at the login; needed beyond loopback.", secret=True)
    console_hosts: str = _setting(
        "", "Host names under which the console may be asked, besides addresses and localhost.", unit="comma separated"
    )
    explain_process: str = _setting(
        "auto",
        "Whether a worker has scores explained by a process of its own, on another core; auto: those of larger batches,"
        " if there is one.",
        choices=("auto", "on", "off"),
    )
    cpu: str = _setting(
        "auto",
        "The processor that a worker's threads share, since they compute in turns; auto: one that no other worker of"
        " the machine (or container) has, and another one if it is busy; none: all of them.",
        unit="auto | none | number",
    )
    http_host: str = _setting(
        "127.0.0.1", "Where a worker, trainer or `notify` answers /healthz, /readyz and /metrics.", unit="address"
    )
    http_port: int = _setting(
        0,
        "The port of that; 0 takes a free one and writes it to a file of `http` under CHURN_DATA_DIR, -1 is off.",
        unit="port",
        low=-1,
    )
    log_level: str = _setting("INFO", "How much is logged.", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    log_format: str = _setting(
        "auto",
        "How a line of the log looks: JSON for machines, text for people; found out by whether a terminal reads it.",
        choices=("auto", "text", "json"),
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; an unknown `CHURN_` variable is an error, not a silent default.

        Raises:
            SettingsError: a variable is unknown (the nearest known one is named) or its value is not allowed.

        >>> Settings.from_environment({"CHURN_KAFKA_GROUP_ID": "mine"}).kafka_group_id
        'mine'
        """
        variables = os.environ if environment is None else environment
        known = {variable(field.name): field for field in dataclasses.fields(cls)}
        values = {}
        for name, text in variables.items():
            if not name.startswith(PREFIX) or name.startswith("CHURN_FAILPOINT"):
                continue
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise SettingsError(f"{name} is not a setting; the nearest one is {near}")
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
            raise SettingsError(f"{variable('cpu')}={self.cpu!r} must be auto, none or the number of a processor")

    def masked(self) -> Iterator[tuple[str, str]]:
        """(variable, value) of every setting, secrets masked: the only way in which settings are printed."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            yield variable(field.name), MASK if field.metadata["secret"] and value else _text(value)

    def __repr__(self) -> str:
        return "Settings(" + ", ".join(f"{name}={value}" for name, value in self.masked()) + ")"

    def connection(self) -> dict[str, Any]:
        """The keyword arguments with which every aiokafka client of this program is made."""
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
        except OSError as failure:  # ssl.SSLError is one too
            raise SettingsError(f"the certificates cannot be read: {failure}") from failure
        context.check_hostname = self.kafka_ssl_check_hostname
        return context

    def client_id(self, role: str) -> str:
        """What a member of a group calls itself, so that `churn-signals lag` can say which process has a partition."""
        return f"{role}-{socket.gethostname()}-{os.getpid()}"

    @property
    def trainer_group(self) -> str:
        """Consumer group of the trainers."""
        return f"{self.kafka_group_id}-trainer"

    def notify_group(self, route: str) -> str:
        """Consumer group of the processes that deliver to a route: each route has a position of its own."""
        return f"{self.kafka_group_id}-notify-{route}"

    @property
    def compression(self) -> str | None:
        """aiokafka's name for the compression of whatever has none of its own."""
        return None if self.kafka_compression_type in ("auto", "none") else self.kafka_compression_type

    def compression_of(self, topic: str) -> str | None:
        """aiokafka's name for the compression of a topic.

        Scores are most of what is written, and alike: a fourteenth of the bytes is left.
        """
        if self.kafka_compression_type == "auto" and topic == self.topic_scores:
            return "zstd"
        return self.compression

    @property
    def store_dir(self) -> Path:
        """Where the local stores of this group are."""
        return Path(self.data_dir) / "store" / self.kafka_group_id


def variable(field_name: str) -> str:
    """The environment variable of a setting.

    >>> variable("kafka_group_id")
    'CHURN_KAFKA_GROUP_ID'
    """
    return PREFIX + field_name.upper()


def env_example() -> str:
    """The text of `.env.example`: every variable with its sentence, unit, choices and default."""
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
