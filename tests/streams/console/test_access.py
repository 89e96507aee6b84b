"""Access to the console: limited logins, sessions and their streams, health paths, and answers to broken requests."""

from __future__ import annotations

import asyncio
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
import yarl
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient

from streams.console import live_streams, security
from streams.console.login_attempts import PER_ADDRESS
from streams.console.security import COOKIE
from streams.console.server import serve_console
from streams.settings import Settings
from tests.streams.console.consoles import TOKEN, opened
from tests.waiting import until

Client = TestClient[Any, Any]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "_WRONG_TOKEN_DELAY_S", 0.0)
    monkeypatch.setattr(live_streams, "_NOTIFY_EVERY_S", 0.01)


async def log_in(client: Client, token: str = TOKEN, **headers: str) -> Any:
    return await client.post("/login", data={"token": token}, headers=headers, allow_redirects=False)


def test_failed_logins_are_limited_and_logged_without_the_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule: after ten failures, also the right token is refused for some minutes; open sessions continue."""

    async def visit() -> None:
        async with opened(tmp_path, TOKEN) as (client, console):
            assert (await log_in(client)).status == 303
            session = client.session.cookie_jar.filter_cookies(client.make_url("/"))[COOKIE].value
            for _ in range(PER_ADDRESS):
                assert (await log_in(client, "a-wrong-token-that-is-secret")).status == 403
            refused = await log_in(client)
            assert refused.status == 429
            assert int(refused.headers["Retry-After"]) > 200
            assert "Content-Security-Policy" in refused.headers
            assert (await client.get("/", headers={"Cookie": f"{COOKIE}={session}"})).status == 200
            assert console.security.attempts.outcomes == {"accepted": 1, "wrong": 10, "limited": 1}
            assert console.security.sessions == 1

    with caplog.at_level(logging.INFO):
        asyncio.run(visit())
    assert "login failed from 127.0.0.1" in caplog.text
    assert "secret" not in caplog.text
    assert TOKEN not in caplog.text


def test_clients_behind_a_trusted_proxy_are_limited_one_by_one(tmp_path: Path) -> None:
    """Rule: without the setting, a client cannot escape its limit by a header."""

    async def failures(proxies: str) -> list[int]:
        async with opened(tmp_path / (proxies or "none"), TOKEN, proxies) as (client, _):
            addresses = [f"192.0.2.{i}" for i in range(PER_ADDRESS + 2)]
            return [(await log_in(client, "wrong", **{"X-Forwarded-For": address})).status for address in addresses]

    for name in ("none", "127.0.0.1"):
        (tmp_path / name).mkdir()
    assert asyncio.run(failures("")) == [403] * PER_ADDRESS + [429] * 2
    assert asyncio.run(failures("127.0.0.1")) == [403] * (PER_ADDRESS + 2)


@pytest.mark.parametrize(("proxies", "secure"), [("", False), ("127.0.0.1", True)])
def test_cookie_is_secure_behind_a_trusted_proxy_with_tls(tmp_path: Path, proxies: str, secure: bool) -> None:
    async def visit() -> None:
        async with opened(tmp_path, TOKEN, proxies) as (client, _):
            cookie = (await log_in(client, **{"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]
            assert ("Secure" in cookie) is secure
            assert "HttpOnly" in cookie
            assert "Secure" not in (await log_in(client)).headers["Set-Cookie"]

    asyncio.run(visit())


def test_stream_ends_with_its_session(tmp_path: Path) -> None:
    """Rule: at logout at once, at expiry with the next heartbeat. Streams of other sessions continue."""

    async def visit() -> None:
        async with opened(tmp_path, TOKEN) as (client, console):
            cookies = []
            for _ in range(2):
                cookies.append((await log_in(client)).headers["Set-Cookie"].partition(";")[0])
                client.session.cookie_jar.clear()
            first, second = [await client.get("/live", headers={"Cookie": cookie}) for cookie in cookies]
            page = await (await client.get("/model", headers={"Cookie": cookies[0]})).text()
            [csrf] = re.findall(r'name="csrf" value="(\w+)"', page)
            await client.post("/logout", data={"csrf": csrf}, headers={"Cookie": cookies[0]}, allow_redirects=False)
            await asyncio.wait_for(first.content.read(), 5)
            assert len(console.streams) == 1
            for session in console.security._sessions:
                console.security._sessions[session] = 0.0
            console.streams.notify("alerts")
            text = (await asyncio.wait_for(second.content.read(), 5)).decode()
            assert "event: alerts" not in text
            assert (len(console.streams), console.security.sessions) == (0, 0)
            assert (await client.get("/live", headers={"Cookie": cookies[1]})).status == 403

    asyncio.run(visit())


def test_streams_are_limited_per_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: one session cannot take the streams of all others. A closed page frees its place."""
    monkeypatch.setattr(live_streams, "MAX_PER_SESSION", 2)

    async def visit() -> None:
        async with opened(tmp_path, TOKEN) as (client, console):
            await log_in(client)
            pages = [await client.get("/live") for _ in range(2)]
            assert (await client.get("/live")).status == 429
            client.session.cookie_jar.clear()
            await log_in(client)
            other = await client.get("/live")
            assert other.status == 200
            pages[0].close()
            console.streams.notify("alerts")
            await until("the end of a stream", lambda: len(console.streams) == 2)

    asyncio.run(visit())


def test_all_streams_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_streams, "MAX_LISTENERS", 2)

    async def visit() -> None:
        async with opened(tmp_path) as (client, _):
            assert [(await client.get("/live")).status for _ in range(3)] == [200, 200, 503]

    asyncio.run(visit())


def test_health_paths_need_no_login_and_then_show_no_reasons(tmp_path: Path) -> None:
    """Rule: an orchestrator has no token. Without a broker the console is alive, but not ready."""

    async def visit() -> None:
        async with opened(tmp_path, TOKEN) as (client, console):
            await until("the problem with the broker", lambda: console.follower.problem)
            alive, ready = await client.get("/healthz"), await client.get("/readyz")
            assert (alive.status, await alive.json()) == (200, {"alive": True, "role": "console", "checks": {}})
            assert (ready.status, await ready.json()) == (503, {"ready": False, "role": "console", "checks": {}})
            assert (await client.get("/metrics", allow_redirects=False)).status == 303
            await log_in(client)
            checks = (await (await client.get("/readyz")).json())["checks"]
            assert "127.0.0.1:1" in checks["lag sampler"]["why"]
            assert (await client.get("/metrics")).status == 200

    asyncio.run(visit())


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/?page=%00&customer=%ff%fe&reason=%ed%a0%80", {}),
        ("/customers?q=%ed%a0%80&page=99999999999999999999", {}),
        ("/customer?id=%00%ff", {}),
        ("/?min_at_risk=1e999&sort=%27;drop", {}),
        ("/", {"Cookie": "churn_console=\xff\xfe; =; ;;"}),
        ("/", {"Host": "[::1"}),
        ("/static/..%2f..%2fsettings.py", {}),
    ],
)
def test_no_request_makes_the_console_fail(tmp_path: Path, path: str, headers: dict[str, str]) -> None:
    async def visit() -> None:
        async with opened(tmp_path) as (client, _):
            answer = await client.get(yarl.URL(path, encoded=True), headers=headers)
            assert answer.status in (200, 404, 421), answer.status

    asyncio.run(visit())


@pytest.mark.parametrize("origin", ["http://[", "null", "http://127.0.0.1.evil", "http://127.0.0.1:1@evil"])
def test_strange_origin_is_rejected(tmp_path: Path, origin: str) -> None:
    async def visit() -> None:
        async with opened(tmp_path) as (client, _):
            assert (await client.post("/login", data={"token": "x"}, headers={"Origin": origin})).status == 403

    asyncio.run(visit())


def test_console_exports_its_metrics_and_checks_like_other_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: on its own port and on that of CHURN_HTTP_PORT, whose address is in a file for Prometheus. The temporary
    data is gone afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1", data_dir=str(tmp_path / "data"))

    async def visit() -> None:
        stop, found = asyncio.Event(), asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(serve_console(settings, "127.0.0.1", 0, found.set_result, stop))
        async with ClientSession() as client:
            text = await (await client.get(f"{await found}metrics")).text()
            for name in (
                "churn_signals_console_sessions 0.0",
                'churn_signals_console_logins_total{outcome="wrong"} 0.0',
                'churn_signals_task_failures_total{task="lag sampler"} 0.0',
                'churn_signals_http_connections{server="console"} 1.0',
                'churn_signals_ready{role="console"} 0.0',
            ):
                assert name in text
            [file] = (tmp_path / "data" / "http").iterdir()
            [target] = orjson.loads(file.read_bytes())
            assert target["labels"]["role"] == "console"
            async with client.get(f"http://{target['targets'][0]}/readyz") as answer:
                assert answer.status == 503
                assert {"broker", "lag sampler", "scores"} <= set((await answer.json())["checks"])
            assert list(tmp_path.glob("churn-console-*"))
        stop.set()
        await serving

    asyncio.run(visit())
    assert not list(tmp_path.glob("churn-console-*"))


def test_bug_of_a_page_is_logged_and_answered_with_500(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: with the security headers, and without the reason."""

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            monkeypatch.setattr(console.database, "count", lambda: 1 / 0)
            async with client.get("/customers") as answer:
                assert answer.status == 500
                assert "Content-Security-Policy" in answer.headers
                assert "division" not in await answer.text()

    asyncio.run(visit())
    assert "GET /customers failed" in caplog.text
