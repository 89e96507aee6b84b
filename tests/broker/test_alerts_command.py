"""`alerts` on a real broker: the newest alerts in order, filters, and new alerts with --follow."""

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


async def publish_alerts(run: Run, customers: list[str], more: list[bytes] = []) -> None:  # noqa: B006
    """Publish all changes of customers' alerts in order of event time, each in a separate transaction."""
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


def test_alerts_are_listed_in_order_over_all_partitions_and_filtered(new_run: Callable[..., Run]) -> None:
    """Setup: four customers with an alert of four changes each, and two records that are not alerts."""
    run = new_run(partitions=3)
    call(run, "topics", "create")
    assert call(run, "alerts").output == "no alerts\n"
    customers, types = ["a", "b", "c", "d"], ["opened", "acknowledged", "snoozed", "resolved"]
    asyncio.run(publish_alerts(run, customers, [b"not json", b'{"severity":"high","state":"open"}']))
    everything = [(customer, kind) for kind in types for customer in customers]

    filtered = call(run, "alerts", "--format", "json", "--state", "open", "--state", "resolved", "--band", "elevated")
    assert filtered.exit_code == 0
    assert lines(filtered.stdout) == [
        (customer, kind) for customer, kind in everything if kind in ("opened", "resolved")
    ]
    assert "/0@" in filtered.stderr
    assert "not JSON" in filtered.stderr
    text = call(run, "alerts", "--last", "5")
    assert [line.split()[3] for line in text.stdout.splitlines() if line.startswith("2024-")] == ["snoozed"] + types[
        -1:
    ] * 4
    assert text.stderr.count("which this version cannot read") == 2
    assert text.stderr.splitlines()[-1] == "2 records skipped"
    assert call(run, "alerts", "--band", "critical", "--format", "json").stdout == ""
    assert call(run, "alerts", "--since", "2030-01-01").output == "no alerts match these options\n"
    assert lines(call(run, "alerts", "--since", "2020-01-01", "--last", "5", "--band", "elevated", "--state", "snoozed",
                      "--format", "json").stdout) == [(customer, "snoozed") for customer in customers]  # fmt: skip
    [first, *_] = call(run, "alerts", "--since", "2020-01-01", "--format", "json", "--headers").stdout.splitlines()
    with_headers = json.loads(first)
    assert with_headers["ce_id"] == f"{with_headers['alert_id']}-1"
    assert with_headers["ce_type"] == "churn.alert.opened.v1"
    assert "content-type" not in with_headers


def test_follow_shows_new_alerts_until_ctrl_c(new_run: Callable[..., Run]) -> None:
    """Rule: only new alerts are shown by default, --last also shows earlier ones, and the exit code is 0."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    asyncio.run(publish_alerts(run, ["before"]))
    later: list[str] = []

    def came(printed: str) -> bool:
        if printed and not later:
            asyncio.run(publish_alerts(run, ["later"]))
            later.append("later")
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
