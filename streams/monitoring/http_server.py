"""The HTTP side of a process: `/healthz`, `/readyz` and `/metrics`, answered by a thread of its own.

The main loop stands still while a batch is computed, and would stand still for good if this program had a fault; the
thread answers all the same, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from streams.errors import ConfigurationError
from streams.health import Check, Health
from streams.logs import get_logger
from streams.settings import Settings, variable

log = get_logger(__name__)

OFF = -1
_PULSE_EVERY_S = 0.5
_CLOSE_TIMEOUT_S = 1.0
_START_TIMEOUT_S = 10.0

Beside = Callable[[], Awaitable[None]]


class HttpServer:
    """Answers from `start` to `stop`, and stands in a file of `<data_dir>/http` meanwhile.

    Args:
        settings: where to listen; port 0 takes a free one, -1 starts nothing.
        health: what is said.
        registry: what `/metrics` shows.
        beside: work that runs on the same thread as long as it serves; cancelled in the end.
    """

    def __init__(
        self, settings: Settings, health: Health, registry: CollectorRegistry, beside: Beside | None = None
    ) -> None:
        self.address: str | None = None
        self._settings = settings
        self._health = health
        self._registry = registry
        self._beside = beside
        self._listens = threading.Event()
        self._failed: OSError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: the address is taken, or not one of this machine.
        """
        settings = self._settings
        if settings.http_port == OFF:
            return
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http", daemon=True)
        self._thread.start()
        self._listens.wait(_START_TIMEOUT_S)
        if self._failed is not None:
            raise ConfigurationError(
                f"cannot listen on {settings.http_host}:{settings.http_port}: {self._failed.strerror};"
                f" {variable('http_port')}=0 takes a free port, {OFF} none"
            ) from self._failed

    def stop(self) -> None:
        """Close, and take the file away."""
        if self._loop is not None and self._end is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._end.set)
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
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_TIMEOUT_S)
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        beside: list[asyncio.Task[None]] = []
        try:
            await runner.setup()
            try:
                await web.TCPSite(runner, self._settings.http_host, self._settings.http_port).start()
            except OSError as failure:
                self._failed = failure
                return
            host, port = runner.addresses[0][:2]
            self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            log.info("health and metrics on http://%s", self.address)
            with _announced(self._settings, self._health.role, self.address):
                self._listens.set()
                beside.append(asyncio.create_task(self._ask()))
                if self._beside is not None:
                    beside.append(asyncio.ensure_future(self._beside()))
                await self._end.wait()
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside, timeout=_CLOSE_TIMEOUT_S)
        finally:
            self._listens.set()
            await runner.cleanup()

    async def _ask(self) -> None:
        while True:
            for pulse in self._health.pulses:
                pulse.ask()
            await asyncio.sleep(_PULSE_EVERY_S)

    async def _index(self, request: web.Request) -> web.Response:
        return _json({"role": self._health.role, "paths": ["/healthz", "/readyz", "/metrics"]}, 200)

    async def _healthz(self, request: web.Request) -> web.Response:
        return self._said("alive", self._health.alive())

    async def _readyz(self, request: web.Request) -> web.Response:
        return self._said("ready", self._health.ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    def _said(self, what: str, checks: list[Check]) -> web.Response:
        ok = all(check.ok for check in checks)
        body = {
            what: ok,
            "role": self._health.role,
            "checks": {check.name: {"ok": check.ok, "why": check.why} for check in checks},
        }
        return _json(body, 200 if ok else 503)


def _json(body: object, status: int) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)


def directory_of(settings: Settings) -> Path:
    """Where processes say at which address they answer: one file each, as Prometheus' `file_sd_configs` reads them."""
    return Path(settings.data_dir) / "http"


@contextlib.contextmanager
def _announced(settings: Settings, role: str, address: str) -> Iterator[None]:
    """`<role>-<pid>.json` as long as it lasts; files of processes of this machine that are dead are taken away."""
    directory, pid = directory_of(settings), os.getpid()
    file = directory / f"{role}-{pid}.json"
    labels = {"role": role, "group": settings.kafka_group_id}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.glob("*-*.json"):
            if not _lives(old.stem.rsplit("-", 1)[1]):
                old.unlink(missing_ok=True)
        part = file.with_suffix(".part")
        part.write_bytes(orjson.dumps([{"targets": [address], "labels": labels}]))
        part.replace(file)
    except OSError as failure:  # a trainer needs no directory for anything else
        log.warning("%s cannot be written, who looks there for the address finds nothing: %s", file, failure)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
