"""The cells that workers publish: what `churn-signals purchases` reads is what a file's purchases give."""

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
    """Of 250 customers over four months, in order of time."""
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
    """The newest records of the topic after both partitions' workers, every batch by a processor made anew."""
    both, newest = shared(), dict[bytes, bytes | None]()
    for number in (0, 1):
        newest.update(of_partition(both, number, orders(), METRIC_PREFIX).newest)
    return newest


def test_the_topic_s_newest_cells_are_those_of_a_file(published: dict[bytes, bytes | None]) -> None:
    """Rule: as of the last line that was passed, customers, parameters and values are those of a file's purchases up to
    that day."""
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
    assert sum(one.customers for one in found.classes) == found.customers
    assert all(0 <= one.alive <= 1 and 0 <= one.returns <= one.alive for one in found.classes)


def test_the_command_says_what_the_cells_let_expect(
    published: dict[bytes, bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule: as text and as JSON, the same; a file's options need a file; nothing published is an error that says when
    there will be something."""
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
