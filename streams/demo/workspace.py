"""Where the demo lives: a directory that it alone uses, its settings, and the broker; removed in the end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import logging
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import IO

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.devbroker.kafka_jars import BrokerUnavailable
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.settings import Settings, variable

DEFAULT_DIRECTORY = Path(".data/demo")

# One worker has them all; two, so that a customer's events do go to a partition of their own.
PARTITIONS = 2
# A snapshot is some 0.5 MB and is read by the worker at once: learning shows within seconds.
SNAPSHOT_INTERVAL_MS = 3_000
# So that hours of a demo do not fill the disk: events that were applied are of no use here. 64 MiB are some 200,000
# events, several times what the feed sends ahead of the worker.
_BROKER_PROPERTIES = {
    "log.retention.bytes": str(64 * 1024 * 1024),
    "log.segment.bytes": str(16 * 1024 * 1024),
    "log.retention.check.interval.ms": "10000",
    "log.segment.delete.delay.ms": "1000",
}
_DELETE_TIMEOUT_S = 10.0

_OURS = ("broker", "stores", "worker.log", "trainer.log", "console.log", "demo.log")


class Workspace:
    """Claimed by `with`: a lock says that nobody else runs here, and what an earlier demo left is removed.

    With CHURN_KAFKA_BOOTSTRAP_SERVERS in the environment that cluster is used, with topics of names of their own, which
    are deleted in the end; otherwise a broker is started.

    Raises:
        ConfigurationError: another demo runs in the directory, or it cannot be written.
        SettingsError: the environment holds an unknown setting, or a wrong value.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        given = Settings.from_environment()
        self.embedded: EmbeddedBroker | None = None
        if os.environ.get(variable("kafka_bootstrap_servers")):
            self.settings = _own(given, self.directory, _names(f"churn-demo-{secrets.token_hex(4)}"))
        else:
            self.embedded = EmbeddedBroker(self.directory / "broker", properties=_BROKER_PROPERTIES)
            self.settings = _own(Settings(), self.directory, {})
        self.keep_logs = False
        self._lock: IO[str] | None = None
        self._handler: logging.Handler | None = None

    def __enter__(self) -> Workspace:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self.directory / "lock").open("a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove(*_OURS)
            self._log_to(self.directory / "demo.log")
        except BlockingIOError:
            self._release()
            raise ConfigurationError(
                f"another demo runs in {self.directory}: stop it first, or give this one a --data-dir of its own"
            ) from None
        except OSError as error:
            self._release()
            raise ConfigurationError(f"{self.directory} cannot be written: {error.strerror or error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.embedded is not None:
            self.embedded.stop()
        if self.keep_logs:
            self._remove("stores", "broker/log")
        else:
            self._remove(*_OURS, "lock")
        self._release()
        with contextlib.suppress(OSError):  # logs, or somebody's own files
            self.directory.rmdir()

    def start_broker(self) -> None:
        """Start Kafka, if there is none to be used.

        Raises:
            ChurnSignalsError: it cannot run here; the message says why and how to use a broker that exists.
        """
        if self.embedded is None:
            return
        try:
            self.embedded.start()
        except BrokerUnavailable as unavailable:
            raise ChurnSignalsError(str(unavailable)) from None
        self.settings = dataclasses.replace(self.settings, kafka_bootstrap_servers=self.embedded.address)

    def environment(self) -> dict[str, str]:
        """The settings as the variables that a child reads."""
        values = {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Settings)}
        return {variable(n): str(v).lower() if isinstance(v, bool) else str(v) for n, v in values.items()}

    async def forget_topics(self) -> None:
        """Delete what was created on somebody's cluster; an embedded broker's data go with the directory."""
        if self.embedded is None:
            from aiokafka.admin import AIOKafkaAdminClient

            from streams.topics import TOPICS, name_of

            admin = AIOKafkaAdminClient(**self.settings.connection())
            async with asyncio.timeout(_DELETE_TIMEOUT_S):
                await admin.start()
                try:
                    await admin.delete_topics([name_of(topic, self.settings) for topic in TOPICS])
                finally:
                    await admin.close()

    def _log_to(self, file: Path) -> None:
        """What libraries have to say goes beside the other logs, not between the alerts."""
        self._handler = logging.FileHandler(file)
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        logging.getLogger().addHandler(self._handler)

    def _release(self) -> None:
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
        if self._lock is not None:
            self._lock.close()

    def _remove(self, *names: str) -> None:
        for path in (self.directory / name for name in names):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _own(given: Settings, directory: Path, names: dict[str, str]) -> Settings:
    return dataclasses.replace(
        given,
        **names,  # type: ignore[arg-type]
        kafka_group_instance_id="",
        partitions=PARTITIONS,
        data_dir=str(directory / "stores"),
        clock="event",  # the log's own time runs much faster than ours
        snapshot_interval_ms=SNAPSHOT_INTERVAL_MS,
        log_level="INFO",
        console_token="",
        console_hosts="",
        log_format="text",  # its last lines are shown to people
    )


def _names(prefix: str) -> dict[str, str]:
    topics = [field.name for field in dataclasses.fields(Settings) if field.name.startswith("topic_")]
    return {"kafka_group_id": prefix} | {name: f"{prefix}-{name.removeprefix('topic_')}" for name in topics}
