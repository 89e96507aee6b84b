"""`alerts` on a real broker: the newest in order, the chosen, and what comes while one looks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from models.outputs.alert_record import alert_headers
from streams.engine.contract import Output
from streams.engine.transactions import FencedProducer
from streams.kafka.partitioner import partition_of
from streams.topics import ALERTS, name_of
from tests.broker.commands import call, interrupt
from tests.crash.harness import Run
from tests.streams.alert_values import life


async def tell(run: Run, customers: list[str], more: list[bytes] = []) -> None:  # noqa: B006
    """Publish the lives of customers' alerts in the order of event time, each change in a transaction of its own."""
    topic = name_of(ALERTS, run.settings)
    changes = [(customer, *change) for customer in customers for change in life(customer)]
    now_ms = int(time.time() * 1000) - 60_000
    producer = await FencedProducer.open(run.settings, "teller")
    for number, (customer, event, value) in enumerate(sorted(changes, key=lambda change: change[1].at_ms)):
        key, partition = customer.encode(), partition_of(customer.encode(), run.settings.partitions)
        headers = alert_headers(event, customer)
        await producer.commit([Output(topic, partition, key, value, headers, now_ms + number)])
    for value in more:
        await producer.commit([Output(topic, 0, b"k", value)])
    await producer.close()


def lines(text: str) -> list[tuple[str, str]]:
    return [(value["customer"]["id"], value["type"]) for value in map(json.loads, text.splitlines())]


def test_alerts_are_listed_in_order_over_all_partitions_and_chosen(new_run: Callable[..., Run]) -> None:
    """Setup: four customers, an alert of four changes each, and two records that are no alerts."""
    run = new_run(partitions=3)
    call(run, "topics", "create")
    assert call(run, "alerts").output == "no alerts\n"
    customers, types = ["a", "b", "c", "d"], ["opened", "acknowledged", "snoozed", "resolved"]
    asyncio.run(tell(run, customers, [b"not json", b'{"severity":"high","state":"open"}']))
    everything = [(customer, kind) for kind in types for customer in customers]

    told = call(run, "alerts", "--format", "json", "--state", "open", "--state", "resolved", "--band", "elevated")
    assert told.exit_code == 0
    assert lines("\n".join(told.stdout.splitlines()[:-1])) == [
        (customer, kind) for customer, kind in everything if kind in ("opened", "resolved")
    ]
    assert "/0@" in told.stderr
    assert "it is no JSON object" in told.stderr
    text = call(run, "alerts", "--last", "7")
    assert [line.split()[2] for line in text.stdout.splitlines() if line.startswith("2024-")] == ["snoozed"] + types[
        -1:
    ] * 4
    assert text.stderr.count("is no alert that this version knows") == 2
    assert call(run, "alerts", "--band", "critical", "--format", "json").stdout == ""
    assert call(run, "alerts", "--since", "2030-01-01").output == "no alerts of this kind\n"
    assert lines(call(run, "alerts", "--since", "2020-01-01", "--last", "5", "--band", "elevated", "--state", "snoozed",
                      "--format", "json").stdout) == [(customer, "snoozed") for customer in customers]  # fmt: skip
    [first, *_] = call(run, "alerts", "--since", "2020-01-01", "--format", "json", "--headers").stdout.splitlines()
    with_headers = json.loads(first)
    assert with_headers["ce_id"] == f"{with_headers['alert_id']}-1"
    assert with_headers["ce_type"] == "churn.alert.opened.v1"
    assert "content-type" not in with_headers


def test_follow_shows_what_comes_and_ends_with_ctrl_c(new_run: Callable[..., Run]) -> None:
    """Rule: by default from now on; --last shows what was before too; the exit code is 0 either way."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(tell(run, ["before"]))
    told: list[str] = []

    def came(printed: str) -> bool:
        if printed and not told:
            asyncio.run(tell(run, ["later"]))
            told.append("later")
        return printed.count("\n") >= 5

    code, printed = interrupt(run, "alerts", "--follow", "--last", "1", "--format", "json", when=came)
    assert code == 0, printed
    assert lines(printed) == [
        ("before", "resolved"),
        ("later", "opened"),
        ("later", "acknowledged"),
        ("later", "snoozed"),
        ("later", "resolved"),
    ]
