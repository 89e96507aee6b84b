"""`customer` on a real broker: the newest score, and the alert as it stands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from streams.engine.contract import Output
from streams.engine.transactions import FencedProducer
from streams.kafka.partitioner import partition_of
from streams.topics import ALERTS, SCORES, name_of
from tests.broker.commands import call
from tests.crash.harness import Run
from tests.streams.alert_values import life, note


def score(customer: str, opened: dict[str, Any]) -> bytes:
    """A `churn-scores` value that knows the alert as it was opened."""
    parts = note(customer)
    document = {
        "customer": {**parts["customer"], "account": "[bold]\x1b[2J"},
        "scored_at": opened["time"],
        "trigger": "silence",
        **parts["score"],
        **{name: parts[name] for name in ("reasons", "protective", "value", "barriers", "lineage")},
        "contributions": {"recency_days": 0.9},
        "features": {"recency_days": 11.0},
        "history": [[1_709_000_000, 310_000], [1_709_596_800, 723_400]],
        "activity": {"until": "2024-03-05", "counts": [0, 3, 1]},
        "alert": {
            "id": opened["alert_id"], "state": "open", "seq": 1, "severity": "elevated", "since": opened["opened_at"]
        },
    }  # fmt: skip
    return json.dumps(document).encode()


def test_an_acknowledgement_is_seen_before_the_next_score(new_run: Callable[..., Run]) -> None:
    """Setup: a score that knows the opened alert; then the alert is acknowledged, with other customers around it."""
    run = new_run(partitions=2)
    call(run, "topics", "create")
    scores, alerts = name_of(SCORES, run.settings), name_of(ALERTS, run.settings)
    home = partition_of(b"me", 2)
    (_, opened), (_, acknowledged), *_ = life("me")

    async def write(*outputs: Output) -> None:
        producer = await FencedProducer.open(run.settings, "writer")
        await producer.commit(outputs)
        await producer.close()

    asyncio.run(
        write(
            Output(scores, home, b"me", b"an older value"),
            Output(scores, home, b"me", score("me", json.loads(opened))),
            Output(scores, home, b"other", b"{}"),
            Output(alerts, home, b"me", opened),
            Output(alerts, home, b"other", life("other")[3][1]),
        )
    )
    page = call(run, "customer", "me")
    assert page.exit_code == 0, page.output
    assert f"alert {json.loads(opened)['alert_id']}: open, elevated, since 2024-03-05T00:00:00Z" in page.output
    assert "account [bold].[2J" in page.output
    assert "\x1b" not in page.output
    assert call(run, "customer", "me", "--json").output.rstrip("\n").encode() == score("me", json.loads(opened))

    asyncio.run(write(Output(alerts, home, b"me", acknowledged)))
    assert ": acknowledged, elevated, since 2024-03-05T00:00:00Z" in call(run, "customer", "me").output
    document = json.loads(call(run, "customer", "me", "--json").output)
    assert (document["alert"]["state"], document["alert"]["seq"]) == ("acknowledged", 2)
    assert document["probability"] == 0.7234
    assert "was never scored" in call(run, "customer", "unknown").output
