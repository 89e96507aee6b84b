"""HTTP server of a process: `/healthz`, `/readyz` and `/metrics`, on a separate thread.

The main loop is blocked while a batch is computed, or forever by a bug. The thread responds in both cases and reports
it. Tested by tests/streams/test_health.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streams.errors import ConfigurationError
from streams.health import Check, Health
from streams.logs import get_logger
from streams.monitoring.http_limits import HttpLimits, LimitedRunner
from streams.private_files import SHARED_FILE, shared_directory
from streams.runtime.background_tasks import BackgroundTask, BackgroundTasks, Work
from streams.settings import Settings, variable

log = get_logger(__name__)

OFF = -1
_PULSE_EVERY_S = 0.5
_CLOSE_TIMEOUT_S = 1.0
_START_TIMEOUT_S = 10.0
# Orchestrators and Prometheus need a handful.
LIMITS = HttpLimits(connections=64)


class HttpServer:
    """Serves from `start` to `stop`, and publishes its address in a file of `<data_dir>/http` meanwhile.

    Args:
        settings: address and port; port 0 selects a free one, -1 disables the server.
        health: checks of `/healthz` and `/readyz`.
        registry: metrics of `/metrics`.
        background: runs on the same thread while the server runs; cancelled on stop.

    Attributes:
        address: `host:port` once it listens.
        runner: counts connections, once it listens.
        tasks: the probes, once it listens.
    """

    def __init__(
        self,
        settings: Settings,
        health: Health,
        registry: CollectorRegistry,
        background: Work | None = None,
    ) -> None:
        self.address: str | None = None
        self.runner: LimitedRunner | None = None
        self.tasks: BackgroundTasks | None = None
        self._settings = settings
        self._health = health
        self._registry = registry
        self._background = background
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread and wait until it listens.

        Raises:
            ConfigurationError: the address is in use, or does not belong to this machine.
        """
        settings = self._settings
        if settings.http_port == OFF:
            return
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http", daemon=True)
        self._thread.start()
        self._started.wait(_START_TIMEOUT_S)
        if self._failure is not None:
            raise ConfigurationError(
                f"cannot listen on {settings.http_host}:{settings.http_port}: {self._failure.strerror};"
                f" set {variable('http_port')}=0 for a free port, or {OFF} to disable the server"
            ) from self._failure

    def stop(self) -> None:
        """Stop serving and remove the address file."""
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join(2 * _CLOSE_TIMEOUT_S)

    async def _serve(self) -> None:
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        runner = self.runner = LimitedRunner(app, LIMITS, _CLOSE_TIMEOUT_S)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            await runner.setup()
            try:
                await web.TCPSite(runner, self._settings.http_host, self._settings.http_port).start()
            except OSError as failure:
                self._failure = failure
                return
            host, port = runner.addresses[0][:2]
            self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            log.info("health and metrics on http://%s", self.address)
            with _address_file(self._settings, self._health.role, self.address):
                tasks = self.tasks = self._tasks()
                self._health.liveness.append(tasks.liveness)
                tasks.start()
                self._started.set()
                await self._stop.wait()
                await tasks.stop(_CLOSE_TIMEOUT_S)
        finally:
            self._started.set()
            await runner.cleanup()

    def _tasks(self) -> BackgroundTasks:
        """Without the probes, `/healthz` and `/readyz` would repeat their last results forever."""
        tasks = [BackgroundTask("probe of the event loops", self._probe_loops)]
        if self._background is not None:
            tasks.append(BackgroundTask("probe of the brokers", self._background))
        return BackgroundTasks(*tasks)

    async def _probe_loops(self, task: BackgroundTask) -> None:
        while True:
            for pulse in self._health.pulses:
                pulse.probe()
            task.succeeded()
            await asyncio.sleep(_PULSE_EVERY_S)

    async def _index(self, request: web.Request) -> web.Response:
        return _json({"role": self._health.role, "paths": ["/healthz", "/readyz", "/metrics"]}, 200)

    async def _healthz(self, request: web.Request) -> web.Response:
        return self._response("alive", self._health.alive())

    async def _readyz(self, request: web.Request) -> web.Response:
        return self._response("ready", self._health.ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        return metrics_response(request, self._registry)

    def _response(self, verdict: str, checks: list[Check]) -> web.Response:
        return verdict_response(self._health.role, verdict, checks, checks)


def metrics_response(request: web.Request, registry: CollectorRegistry) -> web.Response:
    """Build a response to `/metrics`."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(registry), headers={"Content-Type": content_type})


def verdict_response(role: str, verdict: str, checks: list[Check], shown: list[Check]) -> web.Response:
    """Build a response to `/healthz` or `/readyz`: 200 if all checks are ok, otherwise 503; lists those in `shown`."""
    ok = all(check.ok for check in checks)
    body = {verdict: ok, "role": role, "checks": {check.name: {"ok": check.ok, "why": check.why} for check in shown}}
    return _json(body, 200 if ok else 503)


def _json(body: object, status: int) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)


def address_directory(settings: Settings) -> Path:
    """Return the directory with one address file per process, in the format of Prometheus' `file_sd_configs`."""
    return Path(settings.data_dir) / "http"


@contextlib.contextmanager
def _address_file(settings: Settings, role: str, address: str) -> Iterator[None]:
    """Keep `<role>-<pid>.json` while the context is open, and remove files of processes that no longer run."""
    directory, pid = address_directory(settings), os.getpid()
    file = directory / f"{role}-{pid}.json"
    labels = {"role": role, "group": settings.kafka_group_id}
    try:
        shared_directory(directory)  # Prometheus reads it, as another user
        for old in directory.glob("*-*.json"):
            if not _is_running(old.stem.rsplit("-", 1)[1]):
                old.unlink(missing_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(orjson.dumps([{"targets": [address], "labels": labels}]))
        part.chmod(SHARED_FILE)
        part.replace(file)
    except OSError as failure:  # not fatal: a trainer can run without a writable directory
        log.warning("cannot write %s, so that service discovery does not find this process: %s", file, failure)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
