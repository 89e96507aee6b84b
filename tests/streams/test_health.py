"""Health: a process says whether it lives and serves, and why not."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.errors import ConfigurationError
from streams.health import SILENT_MAX_S, Check, Health, Pulse
from streams.monitoring.broker_probe import BrokerProbe
from streams.monitoring.http_server import HttpServer, directory_of
from streams.settings import Settings
from tests.waiting import WAIT_S


class Loop:
    """An event loop that answers when told to."""

    def __init__(self) -> None:
        self.running = True
        self.asked: list[Any] = []

    def is_running(self) -> bool:
        return self.running

    def call_soon_threadsafe(self, answer: Any) -> None:
        self.asked.append(answer)


def ask(address: str | None, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=WAIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_a_loop_that_stands_still_for_long_is_dead_and_a_busy_one_is_not() -> None:
    """Rule: half a minute without an answer; what answers late lives."""
    now, loop = [0.0], Loop()
    pulse = Pulse("main loop", lambda: loop, lambda: now[0])  # type: ignore[arg-type, return-value]
    pulse.ask()
    now[0] = SILENT_MAX_S - 1
    assert pulse.check().ok
    now[0] = SILENT_MAX_S + 1
    pulse.ask()
    assert len(loop.asked) == 1
    assert pulse.check() == Check("main loop", False, "the main loop has stood still for 31 s")
    loop.asked[0]()
    assert pulse.check().ok
    loop.running = False
    assert not pulse.check().ok


def test_brokers_that_stop_answering_are_unreachable_after_ten_seconds() -> None:
    """Rule: an election is no outage."""
    now = [0.0]
    watch = BrokerProbe(Settings(), "events", lambda: {0: None}, lambda: now[0])
    assert not watch.checks()[0].ok
    watch.answered({0: (3, 3)})
    now[0] = 9.0
    assert watch.checks()[0].ok
    now[0] = 11.0
    assert not watch.checks()[0].ok


def test_the_server_says_why_and_stands_in_a_file_while_it_runs(tmp_path: Path) -> None:
    """Rule: not ready until everything is, not ready from the moment it is told to stop, alive until the end."""

    async def body() -> None:
        stop, settings = asyncio.Event(), Settings(data_dir=str(tmp_path))
        directory_of(settings).mkdir(parents=True)
        (directory_of(settings) / "worker-999999999.json").write_text("[]")  # of one that was killed
        health = Health("worker", stop)
        main, holds = asyncio.get_running_loop(), [False]
        health.pulses.append(Pulse("main loop", lambda: main))
        health.readiness.append(lambda: [Check("models", holds[0], "as told")])
        server = HttpServer(settings, health, CollectorRegistry())
        server.start()
        try:
            [file] = directory_of(settings).iterdir()
            assert file.name == f"worker-{os.getpid()}.json"
            [said] = json.loads(file.read_text())
            assert said["targets"] == [server.address]
            assert (await asyncio.to_thread(ask, server.address, "/healthz"))[0] == 200
            assert (await asyncio.to_thread(ask, server.address, "/readyz"))[0] == 503
            health.started, holds[0] = True, True
            assert (await asyncio.to_thread(ask, server.address, "/readyz"))[0] == 200
            holds[0] = False
            status, body = ask(server.address, "/readyz")  # the main loop waits here, and it is answered all the same
            assert (status, body["ready"]) == (503, False)
            assert body["checks"]["models"] == {"ok": False, "why": "as told"}
            holds[0] = True
            stop.set()
            assert ask(server.address, "/readyz")[1]["checks"]["stopping"]["ok"] is False
            assert ask(server.address, "/healthz")[0] == 200
        finally:
            server.stop()
        assert not list(directory_of(settings).iterdir())

    asyncio.run(body())


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    """Rule: a fixed port of two processes on one host stops the second with what to set."""
    settings = Settings(data_dir=str(tmp_path))
    first = HttpServer(settings, Health("worker", asyncio.Event()), CollectorRegistry())
    first.start()
    try:
        assert first.address is not None
        taken = Settings(data_dir=str(tmp_path), http_port=int(first.address.rsplit(":", 1)[1]))
        with pytest.raises(ConfigurationError, match="CHURN_HTTP_PORT=0 takes a free port"):
            HttpServer(taken, Health("worker", asyncio.Event()), CollectorRegistry()).start()
    finally:
        first.stop()


def test_off_listens_nowhere(tmp_path: Path) -> None:
    """Rule: -1 is off."""
    server = HttpServer(
        Settings(data_dir=str(tmp_path), http_port=-1), Health("worker", asyncio.Event()), CollectorRegistry()
    )
    server.start()
    server.stop()
    assert server.address is None
    assert not list(tmp_path.iterdir())
