"""Foreign records on the alerts topic: they become dead letters, reach no receiver and stop no route."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from streams.errors import ChurnSignalsError
from streams.kafka.unusable_records import UnusableRecords
from streams.notify.filter import Filter
from streams.notify.notifier import run_routes
from streams.notify.redelivery import OriginalRecord
from streams.notify.template import BodyTemplate
from tests.foreign_records import ForeignRecord, foreign_records, odd_metadata
from tests.streams.notify.receiver import Receiver, delivering, records

FILTER = Filter(
    types=("opened",), band=1, reasons=("SILENCE",), min_revenue_at_risk=1.0, max_age_ms=10**15, route="success"
)
BODY = BodyTemplate({"text": "{{ customer.id }}: {{ '%.0f'|format(100 * score.probability) }}%"})


def deliver(foreign: list[ForeignRecord], **route: Any) -> tuple[Receiver, Any, list[Any]]:
    async def body() -> tuple[Receiver, Any, list[Any]]:
        [good, *_] = records("c-1")
        async with (
            Receiver(lambda request, count: 200).listening() as receiver,
            delivering(receiver.url, **route) as (delivery, letters),
        ):
            for each in foreign:
                good.key, good.value, good.headers = each.key, each.value, tuple(each.headers)
                assert await delivery.deliver(good)
            return receiver, delivery, letters

    return asyncio.run(body())


@pytest.mark.parametrize(
    "route", [{}, {"filter": FILTER}, {"filter": FILTER, "body": BODY}], ids=["all", "filter", "body"]
)
def test_foreign_alerts_become_dead_letters(route: dict[str, Any]) -> None:
    """Rule: 50 kinds with the headers of an alert; none reaches the receiver, none raises."""
    [good, *_] = records("c-1")
    foreign = foreign_records(good.key, good.value, list(good.headers))
    receiver, delivery, letters = deliver(foreign, **route)
    assert receiver.requests == []
    assert delivery.outcomes == {"delivered": 0, "skipped": 0, "dead_letter": len(foreign)}
    reasons = {dict(letter.headers)["churn.reason"] for letter in letters}
    assert reasons == {b"unreadable"}


def test_good_alerts_with_odd_headers_are_delivered() -> None:
    [good, *_] = records("c-1")
    odd = odd_metadata(good.key, good.value, list(good.headers))
    receiver, delivery, _ = deliver(odd, body=BODY)
    assert len(receiver.requests) == len(odd) == delivery.outcomes["delivered"]
    assert json.loads(receiver.requests[0][1]) == {"text": "c-1: 72%"}


@pytest.mark.parametrize("number", [b"", b"x", b"-1", b"1e3", b"\xff", b"9" * 5_000, None])
def test_redelivery_skips_records_that_no_notifier_wrote(number: bytes | None) -> None:
    [record, *_] = records("c-1")
    record.headers = (("__streams.errors.partition", number), ("__streams.errors.offset", b"1"))
    unusable = UnusableRecords(lambda *_: None)
    assert unusable.use(record, OriginalRecord.of) is None
    assert unusable.total == 1


def test_route_that_ends_without_an_error_ends_the_notifier() -> None:
    """Rule: no route dies silently while others run: neither by a return nor by a cancellation of a library."""

    async def returns() -> None:
        await asyncio.sleep(0)

    async def cancelled() -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def fails() -> None:
        raise KeyError

    async def stops() -> None:
        await stop.wait()

    async def body() -> None:
        for end in (returns, cancelled):
            with pytest.raises(ChurnSignalsError, match="route b ended unexpectedly"):
                await run_routes({"a": stops(), "b": end()}, stop)
        with pytest.raises(KeyError):
            await run_routes({"a": stops(), "b": fails()}, stop)
        stop.set()
        await run_routes({"a": stops(), "b": stops()}, stop)

    stop = asyncio.Event()
    asyncio.run(body())
