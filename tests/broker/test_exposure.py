"""Exposure of running processes with a feed full of personal data: sockets, metrics, logs and pages."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.kafka.publisher import publish_events
from streams.topics import ALERTS, EVENTS, SCORES, name_of
from tests.broker.asked import ask, ready
from tests.crash.harness import Run, scenario
from tests.security.asking import Answer
from tests.security.sockets import is_loopback, listening_on
from tests.security.test_customer_data import MARKER, feed
from tests.streams.scoring.test_event_processor import CHURN, HERE
from tests.waiting import until

PRODUCT = Path(__file__).with_name("product.py")
ALARMED = CHURN + '\n[alerts]\nenter = 0.0\nexit = 0.0\ndwell = "0d"\n'
EVIL = '"><script>alert(1)</script>'
PAGES = ("/", "/customers", f"/customer?id={urllib.parse.quote(EVIL)}", "/model", "/pipeline", "/?state=ended")


async def console_of(run: Run, name: str = "console", options: str = "", **environment: str) -> str:
    """Start a console and return its address."""
    run.start(name, program=PRODUCT, PRODUCT_ROLE=f"console --port 0{options}", **environment)
    pattern = r"The console is at http://\S+:(\d+)/"
    found = await until("a console", lambda: re.search(pattern, run.log_of(name)), context=lambda: run.log_of(name))
    assert found is not None
    return f"http://127.0.0.1:{found[1]}"


async def raw(run: Run, topic: Any) -> list[tuple[int, bytes, bytes | None]]:
    return await run.read(name_of(topic, run.settings))


async def alarmed(run: Run) -> str:
    """Start a worker and a trainer, with personal data in every field of every event family, and a customer whose id is
    a script. Wait for alerts of both kinds of customers, and return the id of an alert of the latter."""
    for role in ("worker", "trainer"):
        run.start(role, program=PRODUCT, PRODUCT_ROLE=role)
    named = [json.loads(record.value or b"") for record in feed()]
    values = [*named, *({**call, "userId": EVIL, "messageId": f"e{n}"} for n, call in enumerate(named[:8]))]
    values.sort(key=lambda call: call["timestamp"])
    await publish_events(run.settings, [orjson.dumps(call) for call in values])
    await publish_events(run.settings, [b'{"type":"page","userId":"' + MARKER.encode() + b'","timestamp":"then"}'])
    alerts = await until("alerts of both", lambda: opened(run))
    return str(next(alert["alert_id"] for alert in alerts if alert["customer"]["id"] == EVIL))


async def opened(run: Run) -> list[dict[str, Any]]:
    """Return the published alerts once there are some of both kinds of customers."""
    found = [orjson.loads(value) for _, _, value in await raw(run, ALERTS) if value]
    return found if {alert["customer"]["id"] for alert in found} >= {HERE, EVIL} else []


@pytest.fixture
def new_exposed(new_run: Callable[..., Run], tmp_path: Path) -> Callable[[], Run]:
    (tmp_path / "churn.toml").write_text(ALARMED)
    changes = {"clock": "event", "log_level": "DEBUG", "explain_process": "on"}
    return lambda: new_run(partitions=2, config=str(tmp_path / "churn.toml"), **changes)


def test_processes_listen_on_loopback_and_expose_no_customer_data(
    new_exposed: Callable[[], Run], broker: EmbeddedBroker
) -> None:
    """Rule: broker, worker, trainer and console bind only loopback addresses, according to the kernel. Metrics and logs
    contain no customer id and no event data."""

    async def body(run: Run) -> None:
        address = await console_of(run)
        await alarmed(run)
        sent = b"".join(value or b"" for _, _, value in await raw(run, EVENTS))
        assert sent.count(MARKER.encode()) > 1_000
        for topic in (ALERTS, SCORES):
            assert not [key for _, key, value in await raw(run, topic) if MARKER.encode() in key + (value or b"")]
        pids = {name: process.pid for name, process in run.workers.items()} | {"broker": broker.pid}
        for name, pid in pids.items():
            bound = listening_on(pid or 0)
            assert bound, f"{name} listens nowhere: nothing was looked at"
            assert all(is_loopback(host) for host, _ in bound), (name, bound)
        assert ("127.0.0.1", int(address.rpartition(":")[2])) in listening_on(pids["console"] or 0)
        for role in ("worker", "trainer"):
            ready(run, role)
            responses = [ask(run, role, path) for path in ("/metrics", "/readyz", "/healthz", "/")]
            assert [status for status, _ in responses] == [200] * 4
            assert "churn_signals_" in responses[0][1]
            for _, text in responses:
                assert not [word for word in (MARKER, HERE, EVIL) if word in text]
        for page in PAGES:
            Answer(address + page)
        assert [run.stop(name) for name in ("console", "trainer", "worker")] == [0, 0, 0]
        for name in run.workers:
            log = run.log_of(name)
            assert len(log.splitlines()) > (0 if name == "console" else 10), log
            assert not [word for word in (MARKER, HERE, EVIL) if word in log]

    scenario(new_exposed(), body)


def test_console_pages_run_no_foreign_script_and_resist_forged_requests(new_exposed: Callable[[], Run]) -> None:
    """Rule: every page has a strict content security policy and shows event data as text. No GET and no form of another
    site publishes an event; the page's own form does."""

    async def body(run: Run) -> None:
        address, alert_id = await console_of(run), await alarmed(run)
        await until("the alert", lambda: alert_id in Answer(f"{address}/?sort=newest").text)
        shown = ""
        for page in PAGES:
            answer = Answer(address + page)
            assert answer.status == 200, page
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert not re.search(r"<script(?! src=\"/)|\son\w+=|javascript:", answer.text), page
            shown += answer.text
        assert shown.count("&lt;script&gt;") >= 3
        events = len(await raw(run, EVENTS))
        csrf = re.findall(r'name="csrf" value="(\w+)"', shown)[0]
        form = {"alert_id": alert_id, "kind": "acknowledge", "csrf": csrf}
        query = urllib.parse.urlencode(form)
        for path in ("/", "/customers", "/customer", "/model", "/pipeline", "/login"):
            assert Answer(f"{address}{path}?{query}").status in (200, 404)
        for path in ("/handle", "/payload", "/logout"):
            assert Answer(f"{address}{path}?{query}").status == 405
        for headers, wrong in (
            ({"Origin": "http://evil.example"}, form),
            ({"Sec_Fetch_Site": "cross-site"}, form),
            ({}, {**form, "csrf": "0" * 64}),
            ({}, {name: value for name, value in form.items() if name != "csrf"}),
        ):
            assert Answer(f"{address}/handle", wrong, **headers).status == 403
        assert Answer(f"{address}/", Host="evil.example").status == 421
        assert len(await raw(run, EVENTS)) == events
        assert Answer(f"{address}/handle", form, Origin=address).status == 303
        assert len(await raw(run, EVENTS)) == events + 1

    scenario(new_exposed(), body)
