"""Publishing without a broker: a stop does not wait for acknowledgements that do not come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from streams.errors import ChurnSignalsError
from streams.kafka import publisher
from streams.kafka.publisher import Publisher, publish_events
from streams.settings import Settings
from tests import virtual_clock


@pytest.mark.parametrize(("acknowledged", "within_s"), [(True, 1.5), (False, 9.0)])
def test_stop_waits_for_acknowledgements_for_a_limited_time(
    acknowledged: bool, within_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: SIGTERM ends a command that publishes within 9 s, with a sentence if events may be missing."""

    async def enter(self: Publisher) -> Publisher:
        return self

    async def leave(self: Publisher, *_: object) -> None:
        await asyncio.sleep(0 if acknowledged else 3_600)

    async def send(self: Publisher, _value: bytes) -> None:
        self.sent += 1
        await asyncio.sleep(0.5)

    for name, replacement in (("__aenter__", enter), ("__aexit__", leave), ("send", send)):
        monkeypatch.setattr(publisher.Publisher, name, replacement)

    async def body() -> tuple[float, Any]:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.call_later(2.2, stop.set)
        try:
            result: Any = await publish_events(Settings(), [b"{}"] * 1_000, stop=stop)
        except ChurnSignalsError as error:
            result = str(error)
        return loop.time() - 2.2, result

    late_s, result = virtual_clock.run(body())
    assert late_s < within_s
    if acknowledged:
        assert result.events == 5
    else:
        assert "stopped after about 5 events, and the broker has not acknowledged all of them" in result
