"""The report of a changelog record that cannot be used names its offset, if it is found in time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import RequestTimedOutError

from streams.engine import damaged_record
from streams.engine.damaged_record import damaged, key_name, located
from streams.errors import RecordDamaged
from streams.settings import Settings
from tests.streams.engine.test_ownership import Lost, ownership

KEY = b"canna@example.org"
WITHOUT_OFFSET = f"changelog/3: the record {key_name(KEY)} cannot be used: it is damaged;"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a search of the changelog returns or raises, last first."""
    results: list[Any] = []

    async def newest_where(settings: Settings, topic: str, partition: int, wanted: Any) -> Any:
        result = results.pop()
        if isinstance(result, BaseException):
            raise result
        return result if result is None or wanted(result) else None

    monkeypatch.setattr(damaged_record, "newest_where", newest_where)
    return results


def test_the_offset_is_named_if_it_is_found(found: list[Any]) -> None:
    error = damaged("changelog", 3, KEY, "it is damaged")
    for result in (RequestTimedOutError(), TimeoutError(), OSError(), None, SimpleNamespace(key=b"cother", offset=8)):
        found.append(result)
        assert str(asyncio.run(located(Settings(), error))).startswith(WITHOUT_OFFSET)
    found.append(SimpleNamespace(key=KEY, offset=8))
    complete = asyncio.run(located(Settings(), error))
    assert str(complete).startswith(WITHOUT_OFFSET.replace("/3:", "/3@8:"))
    assert str(complete).endswith(f"see: churn-signals changelog show --partition 3 --key {key_name(KEY)}")
    assert complete.location == {"topic": "changelog", "partition": 3, "offset": 8, "key": key_name(KEY)}
    assert asyncio.run(located(Settings(), complete)) is complete
    assert "anna" not in str(complete)


def test_a_partition_that_stops_at_a_record_ends_the_worker_with_its_offset(found: list[Any], tmp_path: Path) -> None:
    found.append(SimpleNamespace(key=KEY, offset=8))

    async def whole() -> None:
        mine, lost = ownership(tmp_path), Lost(damaged("changelog", 3, KEY, "it is damaged"))
        mine.owned[3] = lost
        await mine._start(3)
        with pytest.raises(RecordDamaged, match="changelog/3@8: the record c:"):
            await asyncio.wait_for(mine.failed, 10)

    asyncio.run(whole())
