"""Delivery of alert events to a receiver on loopback: request format, retries and dead letters."""

from __future__ import annotations

import asyncio
import base64
import doctest
import gzip
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from streams.notify import alert_event, delivery, sender, signature
from streams.notify.filter import Filter
from streams.notify.outcomes import REASONS
from streams.notify.routes import RetryPolicy
from streams.notify.template import BodyTemplate
from tests.streams.notify.receiver import KEY, QUICK, Receiver, delivering, records
from tools.docs import DOCS

ALERTS = (DOCS / "alerts.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", [alert_event, delivery, sender, signature], ids=lambda module: module.__name__)
def test_docstring_examples_are_correct(module: object) -> None:
    """Rule: every doctest passes. One of them is the example of the Standard Webhooks specification."""
    ran = doctest.testmod(module)  # type: ignore[arg-type]
    assert ran.attempted > 0
    assert ran.failed == 0


def deliver_one(
    respond: Callable[[web.Request, int], Any], record: Any = None, **route: Any
) -> tuple[Receiver, Any, list[Any]]:
    """Deliver one record; return the receiver, the delivery and its dead letters."""

    async def body() -> tuple[Receiver, Any, list[Any]]:
        async with Receiver(respond).listening() as receiver, delivering(receiver.url, **route) as (delivery, letters):
            assert await delivery.deliver(record or records("c-1")[0])
            return receiver, delivery, letters

    return asyncio.run(body())


def test_event_is_sent_as_a_signed_cloud_event() -> None:
    """Rule: binary mode, with the value byte for byte. The signature covers id, time and body."""
    record, sent_s = records("c/é 1%")[0], time.time()
    receiver, attempted, letters = deliver_one(
        lambda request, count: 200, record, headers={"Authorization": "Bearer x"}
    )
    [(headers, body)] = receiver.requests
    assert body == record.value
    alert = json.loads(body)
    assert {name: value for name, value in headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": f"{alert['alert_id']}-1",
        "ce-source": "/churn-signals",
        "ce-type": "churn.alert.opened.v1",
        "ce-time": alert["time"],
        "ce-subject": "c/%C3%A9%201%25",
    }
    assert headers["content-type"] == "application/json"
    assert headers["authorization"] == "Bearer x"
    assert headers["user-agent"].startswith("churn-signals/")
    assert headers["webhook-id"] == headers["ce-id"]
    assert sent_s - 1 <= int(headers["webhook-timestamp"]) <= time.time()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert (attempted.outcomes, letters) == ({"delivered": 1, "skipped": 0, "dead_letter": 0}, [])


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    """Rule: docs/topics.md has exactly one row per reason."""
    page = (DOCS / "topics.md").read_text(encoding="utf-8").split("## `churn-alerts.dlq`")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(REASONS)


def test_documented_verification_accepts_genuine_requests_only() -> None:
    """Rule: the code in docs/alerts.md accepts any key in use, and rejects another key, body, id or time."""
    [code] = [part for part in re.findall(r"```python\n(.*?)```", ALERTS, re.DOTALL) if "def genuine" in part]
    names: dict[str, Any] = {}
    exec(code, names)
    genuine, key = names["genuine"], "whsec_" + base64.b64encode(KEY).decode()
    receiver, *_ = deliver_one(lambda request, count: 200, keys=(b"n" * 32, KEY))
    [(headers, body)] = receiver.requests
    assert genuine(headers, body, key)
    assert genuine(headers, body, key.removeprefix("whsec_"))
    assert not genuine(headers, body, base64.b64encode(b"x" * 32).decode())
    assert not genuine(headers, body + b" ", key)
    assert not genuine({**headers, "webhook-id": "other"}, body, key)
    assert not genuine({**headers, "webhook-timestamp": str(int(time.time()) - 301)}, body, key)


def test_request_has_one_signature_per_key() -> None:
    """Rule: two keys allow a receiver to rotate its secret. Without a key there is no signature."""
    receiver, *_ = deliver_one(lambda request, count: 200, keys=(KEY, b"n" * 32))
    assert receiver.requests[0][0]["webhook-signature"].count("v1,") == 2
    receiver, *_ = deliver_one(lambda request, count: 200, keys=())
    assert "webhook-signature" not in receiver.requests[0][0]


def test_templated_body_is_not_a_cloud_event() -> None:
    """Rule: a templated body has no CloudEvents headers. It keeps the id for deduplication."""
    body = BodyTemplate({"text": "{{ customer.id }}", "blocks": [{"n": 1, "t": "{{ severity }}"}]})
    receiver, *_ = deliver_one(lambda request, count: 200, records("<!channel>")[0], body=body)
    [(headers, sent)] = receiver.requests
    assert json.loads(sent) == {"text": "&lt;!channel&gt;", "blocks": [{"n": 1, "t": "elevated"}]}
    assert not [name for name in headers if name.startswith("ce-")]
    assert headers["webhook-id"].endswith("-1")


@pytest.mark.parametrize("status", [500, 503, 429, 408, 425])
def test_temporary_failure_is_retried_with_the_same_id(status: int) -> None:
    """Setup: the third attempt succeeds."""
    receiver, attempted, letters = deliver_one(lambda request, count: status if count < 3 else 202)
    assert len(receiver.requests) == 3
    assert len(set(receiver.ids)) == 1
    assert attempted.attempts == {"delivered": 1, "failed": 2, "refused": 0, "redirected": 0}
    assert letters == []


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [(400, "refused", "bad & <b>"), (404, "refused", ""), (410, "refused", ""), (302, "redirected", "not followed")],
)
def test_permanent_failure_is_dead_lettered_without_retry(status: int, reason: str, text: str) -> None:
    """Rule: the dead letter is the event as received, with route and reason in headers. Redirects are not followed."""
    response = web.Response(
        status=status, text="bad & <b>\x1b" if status == 400 else "", headers={"Location": "/again"}
    )
    record = records("c-1")[0]
    receiver, attempted, [letter] = deliver_one(lambda request, count: response, record)
    assert len(receiver.requests) == 1
    assert (letter.topic, letter.partition, letter.key, letter.value) == ("undelivered", 1, b"c-1", record.value)
    assert letter.timestamp_ms is None
    headers = dict(letter.headers)
    assert letter.headers[: len(record.headers)] == list(record.headers)
    assert headers["churn.reason"] == reason.encode()
    assert headers["churn.route"] == b"desk"
    assert headers["__streams.errors.offset"] == b"0"
    message = headers["__streams.errors.message"].decode()
    assert str(status) in message
    assert text in message
    assert "\x1b" not in message
    assert attempted.outcomes == {"delivered": 0, "skipped": 0, "dead_letter": 1}


def test_event_is_dead_lettered_after_the_last_attempt() -> None:
    """Rule: the route sets the number of attempts."""
    receiver, _, [letter] = deliver_one(lambda request, count: 500)
    assert len(receiver.requests) == QUICK.tries
    assert dict(letter.headers)["churn.reason"] == b"gave_up"
    assert b"gave up after 4 attempts; last: status 500" in dict(letter.headers)["__streams.errors.message"]


def test_connection_failure_and_timeout_are_retried() -> None:
    """Rule: the message does not contain the URL, which may be a secret."""

    async def body() -> None:
        async with delivering("http://127.0.0.1:1/secret") as (delivery, letters):
            assert await delivery.deliver(records("c-1")[0])
            assert delivery.attempts["failed"] == 4
            message = dict(letters[0].headers)["__streams.errors.message"].decode()
            assert "ClientConnectorError" in message
            assert "127.0.0.1" not in message

    asyncio.run(body())
    retry = RetryPolicy(2, 0.01, 0.02, 0.05, 1)
    _, _, [letter] = deliver_one(lambda request, count: asyncio.sleep(1, 200), retry=retry)
    assert b"no response within 0.05 s" in dict(letter.headers)["__streams.errors.message"]


def test_retry_after_applies_to_the_whole_route() -> None:
    """Setup: the receiver responds 429 with `Retry-After: 1` to the first of three customers. The others wait too."""

    async def body() -> None:
        limited = web.Response(status=429, headers={"Retry-After": "1"})
        async with (
            Receiver(lambda request, count: limited if count == 1 else 200).listening() as receiver,
            delivering(receiver.url, RetryPolicy(4, 0.01, 0.02, 5, concurrency=1)) as (delivery, letters),
        ):
            started = time.monotonic()
            await asyncio.gather(*(delivery.deliver(records(customer)[0]) for customer in ("a", "b", "c")))
            assert time.monotonic() - started > 0.9
            assert len(receiver.requests) == 4
            assert letters == []

    asyncio.run(body())


def test_response_is_read_up_to_a_limit_and_never_decompressed() -> None:
    """Setup: a decompression bomb (10 MB of zeros compressed to 10 KB), and a response that does not end."""
    bomb = gzip.compress(bytes(10_000_000))
    _, _, [letter] = deliver_one(
        lambda request, count: web.Response(status=400, body=bomb, headers={"Content-Encoding": "gzip"})
    )
    assert len(dict(letter.headers)["__streams.errors.message"]) < 5_000

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        await response.prepare(request)
        for _ in range(50):
            await response.write(b"x" * 10_000)
        await asyncio.sleep(3)
        return response

    _, attempted, _ = deliver_one(lambda request, count: endless(request))
    assert attempted.outcomes["delivered"] == 1


def test_invalid_records_are_dead_lettered_and_filtered_events_skipped() -> None:
    """Rule: neither is sent. An event whose body cannot be rendered is dead-lettered too."""
    good = records("c-1")[0]
    bad = [
        SimpleNamespace(**{**vars(good), "headers": ()}),
        SimpleNamespace(**{**vars(good), "value": b"no json"}),
        SimpleNamespace(**{**vars(good), "value": None}),
        SimpleNamespace(**{**vars(good), "value": b"[1]"}),
        SimpleNamespace(**{**vars(good), "headers": (("ce_id", b"a.b"), ("ce_type", b"churn.alert.opened.v1"))}),
    ]
    for record in bad:
        receiver, _, [letter] = deliver_one(lambda request, count: 200, record)
        assert (receiver.requests, dict(letter.headers)["churn.reason"]) == ([], b"unreadable")
    receiver, attempted, letters = deliver_one(lambda request, count: 200, good, filter=Filter(types=("resolved",)))
    assert (receiver.requests, attempted.outcomes["skipped"], letters) == ([], 1, [])
    receiver, _, [letter] = deliver_one(
        lambda request, count: 200, good, body=BodyTemplate({"text": "{{ reasons[9].sentence }}"})
    )
    assert (receiver.requests, dict(letter.headers)["churn.reason"]) == ([], b"bad_body")
