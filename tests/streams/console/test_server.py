"""The console's pages over HTTP: access, escaping, and requests that change nothing."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from models.experience.aggregates import GOALS, ExperienceBlock, metric_key, metric_value
from models.pipeline.unreadable_record import metric_value as unreadable_value
from streams.admin.lag import PartitionLag
from streams.console import server
from streams.console.actions import action_event, log_time_ms
from streams.console.database import AlertQuery
from streams.console.model_insights import model_figures
from streams.console.security import ConsoleSecurity
from streams.errors import SettingsError
from streams.settings import Settings
from streams.training.learner import ModelLearner
from tests.streams.alert_values import life
from tests.streams.console.consoles import TOKEN, opened
from tests.streams.console.published import alerts, record, score_of, scores
from tests.streams.training.test_learner import labels
from tests.waiting import WAIT_S, until

PAGES = ("/", "/customers", "/model", "/pipeline")


def test_every_page_has_a_strict_policy_and_reports_a_missing_broker(tmp_path: Path) -> None:
    """Rule: no inline script or style, no external address, and no error without a broker."""

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            await until("the problem with the broker", lambda: console.follower.problem)
            for path in PAGES:
                async with client.get(path) as answer:
                    text = await answer.text()
                    assert answer.status == 200, path
                    policy = answer.headers["Content-Security-Policy"]
                    assert "default-src 'none'" in policy
                    assert "unsafe" not in policy
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
                    assert "127.0.0.1:1" in text  # the missing broker
                    assert not re.search(r'\sstyle=|\son\w+="|<style|https?://|<script(?! src="/)', text), path
            async with client.get("/customer", params={"id": "<x>"}) as answer:
                assert answer.status == 404
                assert "&lt;x&gt;" in await answer.text()

    asyncio.run(visit())


def test_text_from_events_is_escaped(tmp_path: Path) -> None:
    """Rule: an id, a segment or a sentence never becomes markup."""
    evil = '"><script>alert(1)</script>'

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            value = json.loads(life(evil)[0][1])
            value["customer"] |= {"segment": evil, "account": evil}
            console.database.add_alerts(alerts(json.dumps(value).encode()))
            async with client.get("/", params={"customer": evil}) as answer:
                text = await answer.text()
            assert "&lt;script&gt;alert(1)" in text
            assert "<script>alert" not in text

    asyncio.run(visit())


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)
def test_unknown_host_name_is_rejected(tmp_path: Path, host: str, status: int) -> None:
    """Rule: DNS rebinding does not work; the error response has the security headers too."""

    async def visit() -> None:
        async with opened(tmp_path) as (client, _), client.get("/", headers={"Host": host}) as answer:
            assert answer.status == status
            assert "Content-Security-Policy" in answer.headers

    asyncio.run(visit())


def test_actions_need_the_csrf_token_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: GET changes nothing; requests from other sites or without the token are rejected."""
    published: list[str] = []

    async def record_action(settings: Settings, kind: str, alert: dict[str, Any], days: int = 0) -> None:
        published.append(f"{kind} {alert['customer']} {days}")

    monkeypatch.setattr(server, "publish_action", record_action)

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            console.database.add_alerts(alerts(life("c1")[0][1]))
            alert = console.database.alerts(AlertQuery())[0][0]["alert_id"]
            text = await (await client.get("/")).text()
            csrf = re.findall(r'name="csrf" value="(\w+)"', text)[0]
            form = {"alert_id": alert, "kind": "acknowledge"}
            for headers, data in (
                ({}, form),
                ({}, {**form, "csrf": "0" * 64}),
                ({"Origin": "http://evil.example"}, {**form, "csrf": csrf}),
                ({"Sec-Fetch-Site": "cross-site"}, {**form, "csrf": csrf}),
            ):
                assert (await client.post("/handle", data=data, headers=headers)).status == 403
            assert (await client.get("/handle", params={**form, "csrf": csrf})).status == 405
            assert published == []
            good = {**form, "csrf": csrf, "back": "//evil.example"}
            answer = await client.post("/handle", data=good, allow_redirects=False)
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            text = await (await client.get("/")).text()
            assert "Acknowledge sent" in text
            snooze = {**form, "csrf": csrf, "kind": "snooze", "days": "5000"}
            assert (await client.post("/handle", data=snooze)).status == 400
            assert published == ["acknowledge c1 0"]

    asyncio.run(visit())


def test_with_a_token_every_page_needs_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: scripts and other sites cannot use the cookie; logging out ends the session."""
    monkeypatch.setattr("streams.console.security._WRONG_TOKEN_DELAY_S", 0.0)

    async def visit() -> None:
        async with opened(tmp_path, TOKEN) as (client, _):
            for path in PAGES:
                answer = await client.get(path, allow_redirects=False)
                assert (answer.status, answer.headers["Location"]) == (303, "/login")
            assert (await client.get("/live")).status == 403
            assert (await client.post("/login", data={"token": "wrong"})).status == 403
            answer = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            assert TOKEN not in cookie
            text = await (await client.get("/")).text()
            assert "<h1>Alerts</h1>" in text
            csrf = re.findall(r'name="csrf" value="(\w+)"', text)[0]
            await client.post("/logout", data={"csrf": csrf})
            assert (await client.get("/", allow_redirects=False)).status == 303

    asyncio.run(visit())


@pytest.mark.parametrize(("bind", "token"), [("0.0.0.0", ""), ("192.0.2.1", ""), ("127.0.0.1", "short")])
def test_other_addresses_need_a_long_token(bind: str, token: str) -> None:
    """Rule: the console does not start; the message names the variable to set."""
    with pytest.raises(SettingsError, match="CHURN_CONSOLE_TOKEN"):
        ConsoleSecurity(bind, token)


def test_action_has_the_event_time_of_the_log() -> None:
    """Rule: the current time if the input is live, the time of the last event in a replay."""
    now_ms = 1_900_000_000_000

    def at(event_ms: int) -> int:
        value = action_event("acknowledge", "c", "a", event_ms)
        return log_time_ms(SimpleNamespace(value=value, headers=(), timestamp=now_ms - 5_000), now_ms)

    assert at(now_ms - 10_000) == now_ms
    assert at(1_000_000_000_000) == 1_000_000_000_000


def test_pages_show_the_data_of_the_topics(tmp_path: Path) -> None:
    """Rule: scores, labels, lag and dead letters are shown, but no content of a dead letter."""
    learner = ModelLearner(Settings())
    [quality] = learner.learn(labels(400))
    letter = SimpleNamespace(
        partition=1, offset=7, timestamp=0, key=None, value=b'{"email":"secret@person"}',
        headers=[("churn.reason", b"missing_customer")],
    )  # fmt: skip

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            console.database.add_scores(scores(score_of("c 1")))
            console.database.add_alerts(alerts(life("c 1")[0][1]))
            follower = console.follower
            follower.quality = json.loads(quality.value or b"") | {
                "involuntary": {
                    "labels": 400, "positives": 7, "log_loss": {"answer": 0.0123, "prior": 0.02}, "auc": 0.961,
                    "rate": 0.0175, "mean_probability": 0.0162,
                }
            }  # fmt: skip
            published_ms = int(time.time() * 1000) - 125_000
            follower.model = model_figures(record("churn-model", b"churn", learner.snapshot(), timestamp=published_ms))
            follower.letters.add(letter)
            block = ExperienceBlock(GOALS, 0, "pro").key
            key = metric_key(1, block)
            value = metric_value(1, block, msgspec.msgpack.encode((0, {"report@66bd21a3/20": (3, 1)})))
            follower._add_metrics([record("churn-metrics", key, value)])
            counts = msgspec.msgpack.encode(([("Social Mention", "sentiment", 4, 17, 90)], False))
            follower._add_metrics([record("churn-metrics", b"unreadable/3", unreadable_value(3, counts))])
            assert follower.times_to_value()["report@66bd21a3"][0] == 3
            follower.lag = [PartitionLag("g", "customer-events", 0, 5, 0, 9, 0, 1_000, 3_500)]
            expected = {
                "/": ("72%", "silent for 11 days", "+9.0 points", "High", "spark", "Unassigned", "49.00/month"),
                "/customers": ("c 1", "35"),
                "/customer?id=c%201": (
                    "What would lower the risk",
                    "Activity in 90 days",
                    "90% interval 55-84%",
                    "Opened",
                    "+9.0 points",
                    "Show log-odds",
                    "6 of 10",
                    "detractor",
                    "mean 67% of 3 answers, top-2 67%",
                    "CX index: 66 of 100",
                    "support (csat)",
                    "low quality (2)",
                    "Involuntary churn (payment failure)",
                    "within 14 days; voluntary churn 24%",
                    "route: billing",
                    "since 2024-02-28",
                    "1 of 3 failed",
                    "2 days ago",
                ),
                "/model": (
                    "snapshot 2 min old",
                    "Predicted vs. observed churn",
                    "400",
                    "100 churned",
                    "Labels per day",
                    "0.961",
                    "7 churned",
                    "1.62%",
                ),
                "/pipeline": ("missing_customer", "email", "1@7", "None", "Social Mention", "sentiment", "3@90"),
            }
            for path, words in expected.items():
                answer = await client.get(path)
                text = await answer.text()
                assert answer.status == 200, text
                for word in words:
                    assert word in text, (path, word)
                assert "secret@person" not in text

    asyncio.run(visit())


def test_stream_reports_changed_alerts_within_a_second(tmp_path: Path) -> None:
    """Rule: an open page is notified at once; a closed one is removed."""

    async def visit() -> None:
        async with opened(tmp_path) as (client, console):
            async with client.get("/live") as answer:
                assert answer.headers["Content-Type"] == "text/event-stream"
                assert answer.headers["Cache-Control"] == "no-store"
                assert await answer.content.readline() == b"event: status\n"
                console._notify("alerts")
                started = time.monotonic()
                while await answer.content.readline() != b"event: alerts\n":
                    assert time.monotonic() - started < WAIT_S
            console.streams.end()

    asyncio.run(visit())
