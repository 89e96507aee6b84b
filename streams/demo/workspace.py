"""The demo's workspace: a locked directory, its settings and its broker, removed at the end."""

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
from streams.private_files import open_lock, private_directory
from streams.settings import Settings, variable

DEFAULT_DIRECTORY = Path(".data/demo")

# One worker owns both. Two, so that the demo shows events going to their customer's partition.
PARTITIONS = 2
# A snapshot has about 0.5 MB and the worker loads it at once, so learning shows within seconds.
SNAPSHOT_INTERVAL_MS = 3_000
# Keeps a demo of several hours from filling the disk: applied events are not needed. 64 MiB hold about 200,000 events,
# several times what the feed publishes ahead of the worker.
_BROKER_PROPERTIES = {
    "log.retention.bytes": str(64 * 1024 * 1024),
    "log.segment.bytes": str(16 * 1024 * 1024),
    "log.retention.check.interval.ms": "10000",
    "log.segment.delete.delay.ms": "1000",
}

_DEMO_FILES = ("broker", "stores", "worker.log", "trainer.log", "console.log", "demo.log")


class Workspace:
    """Entering a `with` block locks the directory and removes files of an earlier demo.

    If CHURN_KAFKA_BOOTSTRAP_SERVERS is set, the demo uses that cluster, with topics of unique names that it deletes at
    the end. Otherwise it starts a broker.

    Raises:
        ConfigurationError: another demo runs in the directory, or the directory cannot be written.
        SettingsError: the environment has an unknown setting, or a wrong value.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        settings = Settings.from_environment()
        self.embedded: EmbeddedBroker | None = None
        if os.environ.get(variable("kafka_bootstrap_servers")):
            self.settings = _demo_settings(
                settings, self.directory, _unique_names(f"churn-demo-{secrets.token_hex(4)}")
            )
        else:
            self.embedded = EmbeddedBroker(self.directory / "broker", properties=_BROKER_PROPERTIES)
            self.settings = _demo_settings(Settings(), self.directory, {})
        self.keep_logs = False
        self._lock: IO[str] | None = None
        self._handler: logging.Handler | None = None

    def __enter__(self) -> Workspace:
        try:
            private_directory(self.directory)
            self._lock = open(open_lock(self.directory / "lock"), "a+")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._remove(*_DEMO_FILES)
            self._log_to(self.directory / "demo.log")
        except BlockingIOError:
            self._release()
            raise ConfigurationError(
                f"another demo runs in {self.directory}: stop it first, or start this one with another --data-dir"
            ) from None
        except ConfigurationError:
            self._release()
            raise
        except OSError as error:
            self._release()
            raise ConfigurationError(f"cannot write {self.directory}: {error.strerror or error}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.embedded is not None:
            self.embedded.stop()
        if self.keep_logs:
            self._remove("stores", "broker/log")
        else:
            self._remove(*_DEMO_FILES, "lock")
        self._release()
        with contextlib.suppress(OSError):  # not empty: logs, or files that are not the demo's
            self.directory.rmdir()

    def start_broker(self) -> None:
        """Start Kafka, unless the demo uses an existing cluster.

        Raises:
            ChurnSignalsError: Kafka cannot run on this machine; the message says why and how to use another cluster.
        """
        if self.embedded is None:
            return
        try:
            self.embedded.start()
        except BrokerUnavailable as unavailable:
            raise ChurnSignalsError(str(unavailable)) from None
        self.settings = dataclasses.replace(self.settings, kafka_bootstrap_servers=self.embedded.address)

    def environment(self) -> dict[str, str]:
        """The settings as environment variables for a child process."""
        values = {field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Settings)}
        return {variable(n): str(v).lower() if isinstance(v, bool) else str(v) for n, v in values.items()}

    async def delete_topics(self, within_s: float) -> None:
        """Delete the demo's topics from an existing cluster. An embedded broker is removed with the directory."""
        if self.embedded is None:
            from aiokafka.admin import AIOKafkaAdminClient

            from streams.topics import TOPICS, name_of

            admin = AIOKafkaAdminClient(**self.settings.connection())
            async with asyncio.timeout(within_s):
                await admin.start()
                try:
                    await admin.delete_topics([name_of(topic, self.settings) for topic in TOPICS])
                finally:
                    await admin.close()

    def _log_to(self, file: Path) -> None:
        """Write log messages of libraries to a file, not between the alerts."""
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


def _demo_settings(settings: Settings, directory: Path, names: dict[str, str]) -> Settings:
    return dataclasses.replace(
        settings,
        **names,  # type: ignore[arg-type]
        kafka_group_instance_id="",
        partitions=PARTITIONS,
        data_dir=str(directory / "stores"),
        clock="event",  # event time runs much faster than wall time
        snapshot_interval_ms=SNAPSHOT_INTERVAL_MS,
        log_level="INFO",
        console_token="",
        console_hosts="",
        control_events="any",  # the topics are the demo's own
        control_secret="",
        log_format="text",  # people read the last lines when a process exits
    )


def _unique_names(prefix: str) -> dict[str, str]:
    topics = [field.name for field in dataclasses.fields(Settings) if field.name.startswith("topic_")]
    return {"kafka_group_id": prefix} | {name: f"{prefix}-{name.removeprefix('topic_')}" for name in topics}
