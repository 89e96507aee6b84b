"""Published purchase cells: `churn-signals purchases` gives the same figures from the topic as from a file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from models.events.event import Event, decode
from models.profile.mergeable import DAY_MS
from models.value.bg_nbd import fit
from models.value.gamma_gamma import fit as fit_values
from models.value.holdout import PurchaseLog
from models.value.purchase_aggregates import METRIC_PREFIX, summarize
from models.value.purchase_counts import FIT_PERIOD_DAYS
from streams.cli import purchases
from streams.cli.main import main
from tests.laws.published import published as of_partition
from tests.streams.scoring.test_event_processor import shared

FIRST_DAY = FIT_PERIOD_DAYS * 714


def orders() -> list[bytes]:
    """Create orders of 250 customers over four months, ordered by time."""
    rng, found = np.random.default_rng(4), []
    for customer in range(250):
        day, rate = int(rng.integers(0, 40)), rng.gamma(1.0, 0.05)
        while day < 100:
            date = str(np.datetime64("1970-01-01") + FIRST_DAY + day)
            order = {"type": "track", "event": "Order Completed", "userId": f"c{customer}"}
            order |= {"messageId": f"{customer}-{day}", "timestamp": date + "T12:00:00Z"}
            value = {"revenue": round(float(rng.gamma(6, 5)) + 0.01, 2), "currency": "EUR"}
            found.append((day, json.dumps(order | {"properties": value}).encode()))
            day += 1 + int(rng.exponential(1 / max(rate, 1e-3)))
            if rng.random() < 0.15:
                break
    return [value for _, value in sorted(found, key=lambda pair: pair[0])]


@pytest.fixture(scope="module")
def published() -> dict[bytes, bytes | None]:
    """Newest records of the topic from the workers of both partitions, with a new processor for every batch."""
    both, newest = shared(), dict[bytes, bytes | None]()
    for number in (0, 1):
        newest.update(of_partition(both, number, orders(), METRIC_PREFIX).newest)
    return newest


def test_topic_and_file_give_the_same_cells(published: dict[bytes, bytes | None]) -> None:
    """Rule: as of the last complete four-week period, customers, parameters and values equal those of a file with the
    purchases up to that day."""
    found = summarize([value for value in published.values() if value is not None])
    assert found is not None
    last = FIRST_DAY + 3 * FIT_PERIOD_DAYS - 1
    log = PurchaseLog(last)
    for value in orders():
        event = decode(value, (), None)
        assert isinstance(event, Event)
        if event.time_ms < (last + 1) * DAY_MS:
            log.add(event)
    assert (found.day, found.customers, found.cells) == (last, log.cells.customers, len(log.cells.sums))
    assert (found.r, found.alpha_weeks, found.a, found.b) == fit(log.cells.as_of(last))
    values = fit_values(log.spending.spenders())
    assert found.order_value == {**values._asdict(), "mean": values.population_mean}
    assert sum(row.customers for row in found.classes) == found.customers
    assert all(0 <= row.alive <= 1 and 0 <= row.returns <= row.alive for row in found.classes)


def test_command_forecasts_from_the_published_cells(
    published: dict[bytes, bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: text and JSON have the same figures, file options require a file, and without published cells the error
    states when to expect them."""
    values = [value for value in published.values() if value is not None]

    async def read(settings: Any) -> list[bytes]:
        return values

    monkeypatch.setattr(purchases, "read_cells", read)
    data = orjson.loads(CliRunner().invoke(main, ["purchases", "--json"]).output)
    text = CliRunner().invoke(main, ["purchases"]).output
    assert f"BG/NBD of {data['customers']:,} customers" in text
    assert f"r {data['r']:.3f}" in text
    assert f"{data['predicted']:,.0f} purchases expected in the 13 weeks" in text
    for option in (["--refit"], ["--until", "2024-01-01"], ["--plot", "a.png"]):
        assert CliRunner().invoke(main, ["purchases", *option]).exit_code == 2
    assert CliRunner().invoke(main, ["purchases", "orders.jsonl"]).exit_code == 2
    values.clear()
    empty = CliRunner().invoke(main, ["purchases"])
    assert (empty.exit_code, "every four weeks" in " ".join(empty.output.split())) == (1, True)
