"""Delivery of alert events to a receiver on loopback: what is sent, when it is tried again, and when it is given up."""

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
def test_examples_in_the_docstrings_are_true(module: object) -> None:
    """Rule: they are part of the documentation too; one of them is the specification's own."""
    ran = doctest.testmod(module)  # type: ignore[arg-type]
    assert ran.attempted > 0
    assert ran.failed == 0


def one(answer: Callable[[web.Request, int], Any], record: Any = None, **route: Any) -> tuple[Receiver, Any, list[Any]]:
    """Deliver one record; the receiver, the delivery and its dead letters."""

    async def body() -> tuple[Receiver, Any, list[Any]]:
        async with Receiver(answer).listening() as receiver, delivering(receiver.url, **route) as (running, letters):
            assert await running.deliver(record or records("c-1")[0])
            return receiver, running, letters

    return asyncio.run(body())


def test_an_event_is_sent_as_a_cloud_event_that_is_signed() -> None:
    """Rule: binary mode, the value byte for byte; whoever has the key can tell who sent it and when."""
    record, sent_s = records("c/é 1%")[0], time.time()
    receiver, running, letters = one(lambda request, count: 200, record, headers={"Authorization": "Bearer x"})
    [(headers, body)] = receiver.got
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
    assert (running.ends, letters) == ({"delivered": 1, "skipped": 0, "dead_letter": 0}, [])


def test_every_reason_of_a_dead_letter_is_documented() -> None:
    """Rule: one row each, and no other."""
    page = (DOCS / "topics.md").read_text(encoding="utf-8").split("## `churn-alerts.dlq`")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(REASONS)


def test_the_page_s_own_check_knows_a_genuine_request_from_another() -> None:
    """Rule: with any of the keys in use; not with another key, body, id or time."""
    [code] = [part for part in re.findall(r"```python\n(.*?)```", ALERTS, re.DOTALL) if "def genuine" in part]
    names: dict[str, Any] = {}
    exec(code, names)
    genuine, key = names["genuine"], "whsec_" + base64.b64encode(KEY).decode()
    receiver, *_ = one(lambda request, count: 200, keys=(b"n" * 32, KEY))
    [(headers, body)] = receiver.got
    assert genuine(headers, body, key)
    assert genuine(headers, body, key.removeprefix("whsec_"))
    assert not genuine(headers, body, base64.b64encode(b"x" * 32).decode())
    assert not genuine(headers, body + b" ", key)
    assert not genuine({**headers, "webhook-id": "other"}, body, key)
    assert not genuine({**headers, "webhook-timestamp": str(int(time.time()) - 301)}, body, key)


def test_two_keys_sign_so_that_a_receiver_can_change_its_own() -> None:
    """Rule: one signature a key; no key, no signature."""
    receiver, *_ = one(lambda request, count: 200, keys=(KEY, b"n" * 32))
    assert receiver.got[0][0]["webhook-signature"].count("v1,") == 2
    receiver, *_ = one(lambda request, count: 200, keys=())
    assert "webhook-signature" not in receiver.got[0][0]


def test_a_body_of_its_own_is_no_cloud_event() -> None:
    """Rule: what does not hold the event does not carry its type; the id stays, to recognise a repetition."""
    body = BodyTemplate({"text": "{{ customer.id }}", "blocks": [{"n": 1, "t": "{{ severity }}"}]})
    receiver, *_ = one(lambda request, count: 200, records("<!channel>")[0], body=body)
    [(headers, sent)] = receiver.got
    assert json.loads(sent) == {"text": "&lt;!channel&gt;", "blocks": [{"n": 1, "t": "elevated"}]}
    assert not [name for name in headers if name.startswith("ce-")]
    assert headers["webhook-id"].endswith("-1")


@pytest.mark.parametrize("status", [500, 503, 429, 408, 425])
def test_what_may_pass_is_tried_again_with_the_same_id(status: int) -> None:
    """Rule: the third try succeeds here; each is signed anew."""
    receiver, running, letters = one(lambda request, count: status if count < 3 else 202)
    assert len(receiver.got) == 3
    assert len(set(receiver.ids)) == 1
    assert running.attempts == {"delivered": 1, "failed": 2, "refused": 0, "redirected": 0}
    assert letters == []


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [(400, "refused", "bad & <b>"), (404, "refused", ""), (410, "refused", ""), (302, "redirected", "not followed")],
)
def test_what_will_not_pass_is_a_dead_letter_at_once(status: int, reason: str, said: str) -> None:
    """Rule: the event as it was, and headers that say which route and why; no redirect is followed."""
    answer = web.Response(status=status, text="bad & <b>\x1b" if status == 400 else "", headers={"Location": "/again"})
    record = records("c-1")[0]
    receiver, running, [letter] = one(lambda request, count: answer, record)
    assert len(receiver.got) == 1
    assert (letter.topic, letter.partition, letter.key, letter.value) == ("undelivered", 1, b"c-1", record.value)
    assert letter.timestamp_ms is None
    headers = dict(letter.headers)
    assert letter.headers[: len(record.headers)] == list(record.headers)
    assert headers["churn.reason"] == reason.encode()
    assert headers["churn.route"] == b"desk"
    assert headers["__streams.errors.offset"] == b"0"
    message = headers["__streams.errors.message"].decode()
    assert str(status) in message
    assert said in message
    assert "\x1b" not in message
    assert running.ends == {"delivered": 0, "skipped": 0, "dead_letter": 1}


def test_it_is_given_up_after_so_many_tries() -> None:
    """Rule: the number of tries is the route's."""
    receiver, _, [letter] = one(lambda request, count: 500)
    assert len(receiver.got) == QUICK.tries
    assert dict(letter.headers)["churn.reason"] == b"gave_up"
    assert b"tried 4 times; the last time: status 500" in dict(letter.headers)["__streams.errors.message"]


def test_nobody_listening_and_nobody_answering_are_tried_again() -> None:
    """Rule: no address is in what is said of it: it may be a secret."""

    async def body() -> None:
        async with delivering("http://127.0.0.1:1/secret") as (running, letters):
            assert await running.deliver(records("c-1")[0])
            assert running.attempts["failed"] == 4
            message = dict(letters[0].headers)["__streams.errors.message"].decode()
            assert "ClientConnectorError" in message
            assert "127.0.0.1" not in message

    asyncio.run(body())
    pace = RetryPolicy(2, 0.01, 0.02, 0.05, 1)
    _, _, [letter] = one(lambda request, count: asyncio.sleep(1, 200), pace=pace)
    assert b"no answer within 0.05 s" in dict(letter.headers)["__streams.errors.message"]


def test_a_pause_that_the_receiver_asks_for_holds_for_the_whole_route() -> None:
    """Setup: 429 with a second of pause to the first of three customers. The others wait too."""

    async def body() -> None:
        limited = web.Response(status=429, headers={"Retry-After": "1"})
        async with (
            Receiver(lambda request, count: limited if count == 1 else 200).listening() as receiver,
            delivering(receiver.url, RetryPolicy(4, 0.01, 0.02, 5, concurrency=1)) as (running, letters),
        ):
            begun = time.monotonic()
            await asyncio.gather(*(running.deliver(records(customer)[0]) for customer in ("a", "b", "c")))
            assert time.monotonic() - begun > 0.9
            assert len(receiver.got) == 4
            assert letters == []

    asyncio.run(body())


def test_an_answer_is_read_to_its_limit_and_never_unpacked() -> None:
    """Setup: a bomb, 10 MB of zeros packed to 10 KB, and an answer of which no end comes."""
    bomb = gzip.compress(bytes(10_000_000))
    _, _, [letter] = one(
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

    _, running, _ = one(lambda request, count: endless(request))
    assert running.ends["delivered"] == 1


def test_what_is_no_alert_event_is_a_dead_letter_and_what_is_not_wanted_is_passed_over() -> None:
    """Rule: neither is sent; a body that cannot be made of an alert is a dead letter too."""
    good = records("c-1")[0]
    bad = [
        SimpleNamespace(**{**vars(good), "headers": ()}),
        SimpleNamespace(**{**vars(good), "value": b"no json"}),
        SimpleNamespace(**{**vars(good), "value": None}),
        SimpleNamespace(**{**vars(good), "value": b"[1]"}),
        SimpleNamespace(**{**vars(good), "headers": (("ce_id", b"a.b"), ("ce_type", b"churn.alert.opened.v1"))}),
    ]
    for record in bad:
        receiver, _, [letter] = one(lambda request, count: 200, record)
        assert (receiver.got, dict(letter.headers)["churn.reason"]) == ([], b"unreadable")
    receiver, running, letters = one(lambda request, count: 200, good, filter=Filter(types=("resolved",)))
    assert (receiver.got, running.ends["skipped"], letters) == ([], 1, [])
    receiver, _, [letter] = one(
        lambda request, count: 200, good, body=BodyTemplate({"text": "{{ reasons[9].sentence }}"})
    )
    assert (receiver.got, dict(letter.headers)["churn.reason"]) == ([], b"bad_body")
