"""Embedded Apache Kafka: one KRaft node in a child process, on loopback, without Docker or an installed Java.

Tested by tests/broker/test_embedded_broker.py.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from streams.devbroker.kafka_jars import BrokerUnavailable, class_path, java
from streams.private_files import private_directory

DEFAULT_DATA_DIR = Path(".data/broker")

# 250 MB resident. The serial collector keeps a small heap small and leaves a core to the program under test. Full JIT
# optimization used 0.2 cores in the first minutes, which a short run does not recoup: only the first tier is enabled.
_JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
_FORMAT_OPTIONS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# A start takes 2.2 s on an idle machine and may take twenty times as long on a busy one.
_START_TIMEOUT_S = 45.0
# Kafka's shutdown takes 1-2 s. After this time it is killed, and the next start recovers the end of the log. Its parent
# has 9 s to end (`streams.runtime.process_end`).
_STOP_TIMEOUT_S = 8.0
_POLL_S = 0.05

_PR_SET_PDEATHSIG = 1


class EmbeddedBroker:
    """One Kafka node that keeps its data, ports and log in one directory.

    A later start in the same directory serves the same data on the same port, so that clients reconnect.

    Args:
        data_dir: directory of data, ports and log.
        port: client port on 127.0.0.1; 0 selects a free port on the first start.
        properties: broker configs that override the defaults (names as in `server.properties`).

    Example:
        with EmbeddedBroker(tmp_path) as broker:
            consumer = AIOKafkaConsumer(bootstrap_servers=broker.address)
    """

    def __init__(
        self, data_dir: Path = DEFAULT_DATA_DIR, *, port: int = 0, properties: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "broker.log"
        self._port = port
        self._properties = dict(properties or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The client port, once the broker was started."""
        return self._port

    @property
    def address(self) -> str:
        """The value for `bootstrap.servers`."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> EmbeddedBroker:
        """Start the broker and wait until it accepts connections.

        Raises:
            ConfigurationError: the directory belongs to another user.
            BrokerUnavailable: there are no jars or no Java, or the node did not start. The message contains the last
                line of its log.
        """
        private_directory(self.data_dir)
        jars = class_path()
        self._choose_ports()
        configuration = self._write_configuration()
        if not (self.data_dir / "log" / "meta.properties").exists():
            self._format(jars, configuration)
        self._spawn([str(java()), *_JVM_OPTIONS, "-cp", jars, "kafka.Kafka", str(configuration)])
        self._await_listening()
        return self

    def stop(self) -> None:
        """Shut down cleanly; kill after 8 s. Does nothing if the broker is not running."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)  # a paused process would not handle SIGTERM
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Send SIGKILL, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Send SIGSTOP: connections stay open, but there are no responses."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT after `pause`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        """Block until the broker's process ends, and return its exit status."""
        return self._process.wait() if self._process is not None else 0

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _choose_ports(self) -> None:
        """Choose the ports of the last start, or free ones, so that clients keep their address over a restart."""
        ports_file = self.data_dir / "ports.json"
        if ports_file.exists():
            ports = json.loads(ports_file.read_text())
        else:
            with contextlib.ExitStack() as sockets:
                free = [
                    sockets.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2)
                ]
            ports = {"client": self._port or free[0], "controller": free[1]}
            ports_file.write_text(json.dumps(ports))
        self._port, self._controller_port = ports["client"], ports["controller"]

    def _write_configuration(self) -> Path:
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "listeners": f"CLIENT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{self._port}",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "log.dirs": str(self.data_dir / "log"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            # A killed node can register again only after its last session has expired: 4 s instead of 9 s.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "500",
            # The default of 128 MiB would be a quarter of the heap.
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            **self._properties,
        }
        path = self.data_dir / "server.properties"
        path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")
        return path

    def _format(self, jars: str, configuration: Path) -> None:
        # 22 characters. The first must not be a dash, which would be parsed as an option.
        cluster_id = "A" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        command = [str(java()), *_FORMAT_OPTIONS, "-cp", jars, "kafka.tools.StorageTool", "format", "--standalone"]
        done = subprocess.run(
            [*command, "-t", cluster_id, "-c", str(configuration)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.data_dir,
            env=_environment(),
        )
        if done.returncode:
            raise BrokerUnavailable(
                f"formatting its storage in {self.data_dir} failed: {_last_line(done.stderr or done.stdout)}"
            )

    def _spawn(self, command: list[str]) -> None:
        """Start the process from a thread that lives as long as the broker.

        Linux sends the parent-death signal when the *thread* that started the process ends.
        """
        started: Future[subprocess.Popen[bytes]] = Future()

        def run() -> None:
            try:
                with self.log_file.open("ab") as log:
                    process = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        cwd=self.data_dir,
                        env=_environment(),
                        start_new_session=True,  # Ctrl-C must not reach it: clients stop before their broker
                        preexec_fn=die_with_parent if sys.platform == "linux" else None,
                    )
            except OSError as failure:
                started.set_exception(BrokerUnavailable(str(failure)))
                return
            started.set_result(process)
            process.wait()

        threading.Thread(target=run, name="embedded broker", daemon=True).start()
        self._process = started.result()

    def _await_listening(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._process = None
                raise BrokerUnavailable(f"{_last_line(self._log_tail())} (see {self.log_file})")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(_POLL_S)
        self.kill()
        raise BrokerUnavailable(f"it did not accept connections within {_START_TIMEOUT_S:.0f} s (see {self.log_file})")

    def _log_tail(self) -> str:
        return self.log_file.read_text(errors="replace")[-4000:]


def _environment() -> dict[str, str]:
    """The environment without our settings: Kafka needs none, and some are secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    return lines[-1] if lines else "it ended without output"


def die_with_parent() -> None:
    """Request that Linux kills this process when its parent ends, so that no broker is left running."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent ended before the request took effect
        os._exit(1)
