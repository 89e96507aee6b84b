"""`notify` on a real broker: delivery at least once and in order through crashes, outages and rejections."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable

from streams.kafka.topic_reader import read_topic
from streams.scoring.dead_letters import DeadLetter
from streams.topics import ALERTS, UNDELIVERED, name_of
from tests import waiting
from tests.broker.test_alerts_command import publish_alerts
from tests.broker.test_health import PRODUCT, ask, ready
from tests.crash.harness import Run, scenario
from tests.ports import held_port
from tests.streams.notify.receiver import Receiver

ROUTE = """\
[routes.{name}]
url = "{url}"
allow_private = true
secret_from = "DESK_KEY"
start = "beginning"
first_wait = "1s"
longest_wait = "1s"
"""
VARIABLES = {"PRODUCT_ROLE": "notify", "DESK_KEY": "a2V5" * 8}


async def until(what: str, so: Callable[[], object], run: Run, life: str) -> None:
    await waiting.until(what, so, context=lambda: run.log_of(life))


def in_order(receiver: Receiver) -> dict[str, list[int]]:
    """Return the received changes by customer."""
    found: dict[str, list[int]] = {}
    for headers, _ in receiver.requests:
        found.setdefault(headers["ce-subject"], []).append(int(headers["ce-id"].rpartition("-")[2]))
    return found


def test_events_survive_crashes_and_outages_and_rejected_ones_are_kept(new_run: Callable[..., Run]) -> None:
    """Setup: alerts of two customers with four changes each. The process is killed after a delivery and before its
    commit, and its successor repeats the delivery. Then the receiver is down while a third customer's alert is
    published. Then a second route starts, whose receiver rejects everything."""
    run = new_run(partitions=2)
    file = run.directory / "notify.toml"

    async def body(run: Run) -> None:
        await publish_alerts(run, ["a", "b"])
        variables = {**VARIABLES, "CHURN_NOTIFY_ROUTES": str(file)}

        first = Receiver()
        async with first.listening(port):
            file.write_text(ROUTE.format(name="desk", url=first.url))
            process = run.start("life-1", program=PRODUCT, **variables, CHURN_FAILPOINT="before-notify-commit")
            await until("the death of life-1", lambda: process.poll() is not None, run, "life-1")
            assert process.returncode == -signal.SIGKILL
            assert first.requests
            first.requests, killed = [], list(first.requests)

            run.start("life-2", program=PRODUCT, **variables)
            await until("eight deliveries", lambda: len(first.requests) >= 8, run, "life-2")
            again = {headers["ce-id"]: body for headers, body in first.requests}
            assert len(again) == len(first.requests) == 8
            assert all(again[headers["ce-id"]] == body for headers, body in killed)
            assert in_order(first) == {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]}
            checks = (await asyncio.to_thread(ready, run, "notify"))["checks"]
            assert checks["route desk"] == {"ok": True, "why": "2 partitions"}

        await publish_alerts(run, ["c"])
        failed = 'churn_signals_notify_attempts_total{outcome="failed",route="desk"} 0.0'
        await until("a failed attempt", lambda: failed not in ask(run, "notify", "/metrics")[1], run, "life-2")
        assert ask(run, "notify", "/readyz")[0] == 200
        back = Receiver()
        async with back.listening(port):
            await until("four deliveries", lambda: len(back.requests) >= 4, run, "life-2")
            assert in_order(back) == {"c": [1, 2, 3, 4]}
            assert await asyncio.to_thread(run.stop, "life-2") == 0

            file.write_text(file.read_text() + ROUTE.format(name="wrong", url=back.url.replace("/hook", "/wrong")))
            back._respond = lambda request, count: 404 if request.path == "/wrong" else 204
            back.requests.clear()
            run.start("life-3", program=PRODUCT, **variables)
            await publish_alerts(run, ["d"])
            await until("twenty deliveries", lambda: len(back.requests) >= 20, run, "life-3")
            desk = [headers["ce-subject"] for headers, _ in back.requests].count("d")
            assert (len(back.requests), desk) == (
                20,
                8,
            )  # four changes of d to desk, and all sixteen to the other route, once each
            dead = 'churn_signals_notify_events_total{outcome="dead_letter",route="wrong"} 16.0'
            await until("16 dead letters", lambda: dead in ask(run, "notify", "/metrics")[1], run, "life-3")
            lag = 'churn_signals_notify_lag_records{partition="%d",route="%s"} 0.0'
            for route in ("desk", "wrong"):
                for partition in range(2):
                    none = lag % (partition, route)
                    await until("no lag", lambda: none in ask(run, "notify", "/metrics")[1], run, "life-3")  # noqa: B023
            assert await asyncio.to_thread(run.stop, "life-3") == 0
        assert "a2V5" not in run.log_of("life-2") + run.log_of("life-3")

        records = [record async for record in read_topic(run.settings, name_of(UNDELIVERED, run.settings))]
        letters = [DeadLetter.of(record) for record in records]
        assert {(letter.reason, letter.exception) for letter in letters} == {("refused", "Undelivered")}
        assert {dict(record.headers)["churn.route"] for record in records} == {b"wrong"}
        records = [record async for record in read_topic(run.settings, name_of(ALERTS, run.settings))]
        assert {letter.source: (letter.partition, letter.value, letter.headers) for letter in letters} == {
            f"{one.topic}/{one.partition}@{one.offset}": (one.partition, one.value, tuple(one.headers))
            for one in records
        }
        assert json.loads(letters[0].value or b"")["seq"] == 1

        mended = Receiver()
        async with mended.listening(port):
            for life, expected in (("again-1", "wrong: 16 delivered"), ("again-2", "wrong: 0 delivered")):
                process = run.start(life, program=PRODUCT, **{**variables, "PRODUCT_ROLE": "notify --again"})
                await until(f"the end of {life}", lambda: process.poll() is not None, run, life)  # noqa: B023
                assert process.returncode == 0, run.log_of(life)
                assert f"{expected}, 0 skipped, 0 dead letter" in run.log_of(life)
        assert in_order(mended) == {customer: [1, 2, 3, 4] for customer in "abcd"}
        assert {headers["ce-id"]: body for headers, body in mended.requests} == {
            dict(one.headers)["ce_id"].decode(): one.value for one in records
        }

    with held_port() as port:
        scenario(run, body)
