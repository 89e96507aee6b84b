"""Claim 9: the console requires a token beyond loopback and changes nothing on GET."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.security.asking import Answer
from tests.security.sockets import is_loopback, listening_on
from tests.waiting import WAIT_S, wait_until

TOKEN = "a-token-that-is-long-enough"
PAGES = ("/", "/customers", "/customer?id=%3Cscript%3E", "/model", "/pipeline", "/?state=ended")


class Started(NamedTuple):
    """Process of a console, and its address on this machine."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str


Starter = Callable[..., Started]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Start the real command, without a broker."""
    folder = tmp_path_factory.mktemp("consoles")
    running: list[subprocess.Popen[bytes]] = []

    def started(*options: str, **environment: str) -> Started:
        log = folder / f"{len(running)}.log"
        given = {
            **os.environ,
            "CHURN_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
            "CHURN_DATA_DIR": str(folder),
            **environment,
        }
        command = [
            sys.executable,
            "-c",
            "from streams.cli.main import main; main()",
            "console",
            "--port",
            "0",
            *options,
        ]
        with log.open("wb") as file:
            process = subprocess.Popen(command, env=given, stdout=file, stderr=file)
        running.append(process)

        def address() -> str | None:
            match = re.search(r"The console is at http://\S+:(\d+)/", log.read_text())
            return f"http://127.0.0.1:{match[1]}" if match is not None else None

        wait_until("a console or its end", lambda: address() or process.poll() is not None, context=log.read_text)
        return Started(process, log, address() or "")

    yield started
    for process in running:
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) is not None


@pytest.fixture(scope="module")
def running(start: Starter) -> Started:
    """A console with default settings."""
    return start()


@pytest.fixture(scope="module")
def locked(start: Starter) -> Started:
    """A console on every address of this machine, with a token."""
    return start("--host", "0.0.0.0", CHURN_CONSOLE_TOKEN=TOKEN)


def log_in(console: Started, token: str = TOKEN) -> Answer:
    return Answer(f"{console.address}/login", {"token": token})


def test_console_listens_on_loopback_by_default(running: Started) -> None:
    """Rule: the kernel reports two sockets on loopback, one for pages, one for health and metrics."""
    sockets = listening_on(running.process.pid)
    assert len(sockets) == 2
    assert all(is_loopback(host) for host, _ in sockets)
    assert running.address.rpartition(":")[2] in {str(port) for _, port in sockets}
    assert Answer(running.address).status == 200


def test_console_beyond_loopback_requires_a_token(start: Starter) -> None:
    bare = start("--host", "0.0.0.0")
    assert bare.process.wait(WAIT_S) == 2
    assert "set CHURN_CONSOLE_TOKEN" in bare.log.read_text()


def test_nothing_is_served_before_login(locked: Started) -> None:
    """Rule: neither pages nor the live stream. Scripts and other sites cannot use the session cookie."""
    outside = [host for host, _ in listening_on(locked.process.pid) if not is_loopback(host)]
    assert len(outside) == 1
    for page in PAGES:
        answer = Answer(locked.address + page)
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert Answer(f"{locked.address}/live").status == 403
    assert Answer(f"{locked.address}/handle", {"kind": "dismiss"}).status == 403
    assert log_in(locked, TOKEN[:-1] + "x").status == 403
    cookie = log_in(locked).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert Answer(f"{locked.address}/model", Cookie=cookie.partition(";")[0]).status == 200
    assert Answer(f"{locked.address}/model", Cookie="churn_console=guessed").status == 303
    assert TOKEN not in locked.log.read_text()


def test_pages_allow_own_scripts_and_styles_only(running: Started) -> None:
    """Rule: the content security policy forbids other sources and frames. Query parameters are rendered as text."""
    for page in PAGES:
        answer = Answer(running.address + page)
        policy = answer.headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "script-src 'self'", "form-action 'self'", "frame-ancestors 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert not re.search(r"<script(?! src=\"/)|\son\w+=|\sstyle=|https?://", answer.text), page
    assert "&lt;script&gt;" in Answer(running.address + PAGES[2]).text
    assert Answer(running.address, Host="evil.example").status == 421


def test_get_changes_nothing_and_cross_site_forms_are_rejected(locked: Started) -> None:
    """Rule: actions reject GET. A form needs the CSRF token of its page and no foreign origin. With both, the console
    looks up the alert. The session cookie alone is not sufficient."""
    session = log_in(locked).headers["Set-Cookie"].partition(";")[0]
    [csrf] = re.findall(r'name="csrf" value="(\w+)"', Answer(f"{locked.address}/model", Cookie=session).text)
    form = {"alert_id": "a", "kind": "acknowledge", "csrf": csrf}
    for path in ("/handle", "/payload", "/logout"):
        assert Answer(f"{locked.address}{path}?alert_id=a&kind=acknowledge&csrf={csrf}", Cookie=session).status == 405
    assert Answer(f"{locked.address}/model", Cookie=session).status == 200, "the session is still valid"
    rejected: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"Origin": "http://evil.example"}, form),
        ({"Sec_Fetch_Site": "cross-site"}, form),
        ({"Sec_Fetch_Site": "same-site"}, form),
        ({}, {**form, "csrf": "0" * 64}),
        ({}, {}),
    ]
    for headers, sent in rejected:
        assert Answer(f"{locked.address}/handle", sent, Cookie=session, **headers).status == 403
    answer = Answer(f"{locked.address}/handle", form, Cookie=session, Origin=locked.address)
    assert answer.status == 409, "the alert does not exist"
