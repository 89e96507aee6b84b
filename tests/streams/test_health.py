"""Health: liveness and readiness of a process, with reasons."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.errors import ConfigurationError
from streams.health import BLOCKED_MAX_S, UNREADY_LOG_EVERY_S, Check, Health, Pulse, UnreadyLog
from streams.monitoring.broker_probe import BrokerProbe
from streams.monitoring.http_server import LIMITS, HttpServer, address_directory
from streams.runtime import background_tasks
from streams.runtime.background_tasks import BackgroundTask
from streams.settings import Settings
from tests.waiting import WAIT_S, wait_until


class Loop:
    """An event loop that runs callbacks when the test advances it."""

    def __init__(self) -> None:
        self.running = True
        self.callbacks: list[Any] = []

    def is_running(self) -> bool:
        return self.running

    def call_soon_threadsafe(self, callback: Any) -> None:
        self.callbacks.append(callback)


def get(address: str | None, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=WAIT_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_blocked_loop_fails_liveness_and_busy_loop_does_not() -> None:
    """Rule: a loop fails after 30 s without a response. A late response makes it alive again."""
    now, loop = [0.0], Loop()
    pulse = Pulse("main loop", lambda: loop, lambda: now[0])  # type: ignore[arg-type, return-value]
    pulse.probe()
    now[0] = BLOCKED_MAX_S - 1
    assert pulse.check().ok
    now[0] = BLOCKED_MAX_S + 1
    pulse.probe()
    assert len(loop.callbacks) == 1
    assert pulse.check() == Check("main loop", False, "the main loop has been blocked for 31 s")
    loop.callbacks[0]()
    assert pulse.check().ok
    loop.running = False
    assert not pulse.check().ok


def test_brokers_are_unreachable_after_ten_seconds_without_a_response() -> None:
    """Rule: a leader election, which takes some seconds, does not make a process unready."""
    now = [0.0]
    probe = BrokerProbe(Settings(), "events", lambda: {0: None}, lambda: now[0])
    assert not probe.checks()[0].ok
    probe.record_ends({0: (3, 3)})
    now[0] = 9.0
    assert probe.checks()[0].ok
    now[0] = 11.0
    assert not probe.checks()[0].ok


def test_server_reports_reasons_and_publishes_its_address_while_it_runs(tmp_path: Path) -> None:
    """Rule: a process is ready once all parts are, unready as soon as it shuts down, and alive until the end."""

    async def body() -> None:
        stop, settings = asyncio.Event(), Settings(data_dir=str(tmp_path))
        address_directory(settings).mkdir(parents=True)
        (address_directory(settings) / "worker-999999999.json").write_text("[]")  # left by a killed process
        health = Health("worker", stop)
        main, models_ready = asyncio.get_running_loop(), [False]
        health.pulses.append(Pulse("main loop", lambda: main))
        health.readiness.append(lambda: [Check("models", models_ready[0], "set by the test")])
        server = HttpServer(settings, health, CollectorRegistry())
        server.start()
        try:
            [file] = address_directory(settings).iterdir()
            assert file.name == f"worker-{os.getpid()}.json"
            [target] = json.loads(file.read_text())
            assert target["targets"] == [server.address]
            assert (await asyncio.to_thread(get, server.address, "/healthz"))[0] == 200
            assert (await asyncio.to_thread(get, server.address, "/readyz"))[0] == 503
            health.started, models_ready[0] = True, True
            assert (await asyncio.to_thread(get, server.address, "/readyz"))[0] == 200
            models_ready[0] = False
            status, body = get(server.address, "/readyz")  # blocks the main loop; the server responds all the same
            assert (status, body["ready"]) == (503, False)
            assert body["checks"]["models"] == {"ok": False, "why": "set by the test"}
            models_ready[0] = True
            stop.set()
            assert get(server.address, "/readyz")[1]["checks"]["stopping"]["ok"] is False
            assert get(server.address, "/healthz")[0] == 200
        finally:
            server.stop()
        assert not list(address_directory(settings).iterdir())

    asyncio.run(body())


def test_half_open_connections_use_up_neither_descriptors_nor_the_server(tmp_path: Path) -> None:
    """Rule: however many clients connect and send nothing, the process keeps 64 connections and answers others."""
    health = Health("worker", asyncio.Event())
    server = HttpServer(Settings(data_dir=str(tmp_path)), health, CollectorRegistry())
    server.start()
    clients: list[socket.socket] = []
    try:
        assert server.address is not None
        assert server.runner is not None
        host, _, port = server.address.rpartition(":")
        for _ in range(300):
            clients.append(socket.create_connection((host, int(port))))
            clients[-1].sendall(b"GET /")
        assert get(server.address, "/healthz")[0] == 200
        assert server.runner.open <= LIMITS.connections
        assert server.runner.closed["limit"] >= 300 - LIMITS.connections
    finally:
        for client in clients:
            client.close()
        server.stop()


def test_failed_probe_makes_the_process_unhealthy_until_it_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: without its probes, the server would report the last results forever."""
    monkeypatch.setattr(background_tasks, "RETRY_S", 0.05)
    broken = [True]

    async def probe(task: BackgroundTask) -> None:
        if broken[0]:
            raise KeyError
        task.succeeded()
        await asyncio.sleep(3600)

    server = HttpServer(Settings(data_dir=str(tmp_path)), Health("worker", asyncio.Event()), CollectorRegistry(), probe)
    server.start()
    try:
        wait_until("the failure", lambda: get(server.address, "/healthz")[0] == 503)
        check = get(server.address, "/healthz")[1]["checks"]["probe of the brokers"]
        assert "probe of the brokers failed and is retried: KeyError" in check["why"]
        broken[0] = False
        wait_until("the recovery", lambda: get(server.address, "/healthz")[0] == 200)
    finally:
        server.stop()


def test_address_in_use_stops_the_process_with_a_repair(tmp_path: Path) -> None:
    """Rule: if two processes of a host use the same fixed port, the second stops and names the setting to change."""
    settings = Settings(data_dir=str(tmp_path))
    first = HttpServer(settings, Health("worker", asyncio.Event()), CollectorRegistry())
    first.start()
    try:
        assert first.address is not None
        taken = Settings(data_dir=str(tmp_path), http_port=int(first.address.rsplit(":", 1)[1]))
        with pytest.raises(ConfigurationError, match="set CHURN_HTTP_PORT=0 for a free port"):
            HttpServer(taken, Health("worker", asyncio.Event()), CollectorRegistry()).start()
    finally:
        first.stop()


def test_disabled_server_does_not_listen(tmp_path: Path) -> None:
    """Rule: port -1 disables the server."""
    server = HttpServer(
        Settings(data_dir=str(tmp_path), http_port=-1), Health("worker", asyncio.Event()), CollectorRegistry()
    )
    server.start()
    server.stop()
    assert server.address is None
    assert not list(tmp_path.iterdir())


def test_unready_process_reports_what_it_waits_for_once_a_minute() -> None:
    """Rule: nothing in the first minute, then one sentence a minute, and nothing for what was ready meanwhile."""
    now = [0.0]
    log = UnreadyLog(lambda: now[0])
    failing = [Check("broker", False, "no response"), Check("models", True, "read"), Check("group", False, "joining")]

    def minute() -> list[str]:
        sentences = []
        for _ in range(12):
            now[0] += UNREADY_LOG_EVERY_S / 12
            sentences += [sentence for sentence in [log.observe(failing)] if sentence is not None]
        return sentences

    assert log.observe(failing) is None
    assert minute() == ["not ready for 60 s, waiting for broker: no response; group: joining"]
    assert minute() == ["not ready for 120 s, waiting for broker: no response; group: joining"]
    assert log.observe([Check("broker", True, "responded")]) is None
    assert minute() == []
