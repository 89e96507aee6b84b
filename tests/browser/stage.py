"""A broker, a worker, a trainer and a console as processes, with events of simulated customers, for browser tests."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import urlopen

import orjson
from aiokafka.errors import KafkaError

from models.outputs.alert_record import alert_headers
from models.profile.mergeable import DAY_MS
from streams.admin.lag import measure
from streams.demo.source import SIMULATED_FROM_MS, SIMULATED_HISTORY_MS, SimulatedSource
from streams.devbroker.embedded_broker import EmbeddedBroker
from streams.engine.contract import Output
from streams.engine.transactions import FencedProducer
from streams.errors import ChurnSignalsError
from streams.kafka.partitioner import partition_of
from streams.kafka.publisher import publish_events
from streams.topics import ALERTS, METRICS, Topic, create_topics, name_of
from streams.training.learner import QUALITY_KEY
from tests.crash.harness import Run
from tests.paths import ROOT
from tests.streams.alert_values import life
from tests.waiting import WAIT_S, until

PROGRAM = ROOT / "tests" / "broker" / "product.py"
CUSTOMERS = 100
GOALS = """
[goals.first_result]
event = "Goal Completed"
within = "7d"
[goals.invoice_paid_by_a_colleague]
event = "Invoice Paid"
"""
# The model learns from the history. The following days are scored with the learned model.
_HISTORY_END_MS = SIMULATED_FROM_MS + SIMULATED_HISTORY_MS
_END_MS = _HISTORY_END_MS + 12 * DAY_MS
BROKEN = (b"not json", b'{"type":"page"}', b'{"type":"dance","userId":"u","timestamp":"2000-01-02T00:00:00Z"}')
# By page, a text that it contains when the console has read its topics.
_LOADED = {"": "data-alert=", "customers": 'class="who"', "model": 'class="dots"', "pipeline": 'action="/payload"'}


class Stage:
    """Processes that run inside a `with` block. On entering, all events are applied and the model has learned.

    Attributes:
        broker: The only broker; a test may stop and restart it.
        address: The console's URL, ending with a slash.
    """

    def __init__(self, directory: Path, customers: int = CUSTOMERS) -> None:
        self.broker = EmbeddedBroker(directory / "broker")
        self.address = ""
        self._directory = directory
        self._customers = customers

    def __enter__(self) -> Stage:
        self.broker.start()
        config = self._directory / "churn.toml"
        config.write_text((ROOT / "churn.toml").read_text() + GOALS)
        self.run = Run(
            "browser", self.broker.address, self._directory,
            partitions=2, config=str(config), clock="event", snapshot_interval_ms=1_000,
        )  # fmt: skip
        try:
            asyncio.run(self._start())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.end()
        self.broker.stop()

    async def _start(self) -> None:
        settings = self.run.settings
        await create_topics(settings)
        for role, options in (("worker", ""), ("trainer", ""), ("console", " --port 0")):
            self.run.start(role, program=PROGRAM, PRODUCT_ROLE=role + options)
        simulated = SimulatedSource(self._customers, seed=1).items()
        items = list(itertools.takewhile(lambda item: item.time_ms < _END_MS, simulated))
        history = [item.value for item in items if item.time_ms < _HISTORY_END_MS]
        for values in ([*BROKEN, *history], [item.value for item in items[len(history) :]]):
            await publish_events(settings, values)
            await self._applied()
        self.address = await self._console_address()
        for path, sign in _LOADED.items():
            await self._shown(path, sign)

    async def _applied(self) -> None:
        """Wait until the lag is zero and the trainer has published a quality record."""

        async def applied() -> bool:
            return not any(row.lag for row in await measure(self.run.settings)) and await self._quality()

        await until("all events to be applied and learned", applied, every_s=0.2, context=self._logs)

    async def _quality(self) -> bool:
        return any(key == QUALITY_KEY for _, key, _ in await self.run.read(name_of(METRICS, self.run.settings)))

    async def _console_address(self) -> str:
        pattern = r"The console is at (\S+)"
        found = await until("the console", lambda: re.search(pattern, self.run.log_of("console")), context=self._logs)
        assert found is not None
        return found[1]

    async def _shown(self, path: str, sign: str) -> None:
        """Wait until the page contains a text."""

        async def loaded() -> bool:
            page = await asyncio.to_thread(lambda: urlopen(self.address + path, timeout=WAIT_S).read().decode())
            return sign in page

        await until(f"{sign} on /{path}", loaded, every_s=0.2, context=self._logs)

    def records_about(self, alert_id: str, topic: Topic) -> list[dict[str, Any]]:
        """Records of a topic that name an alert, in order: people's actions or its own changes."""
        found = asyncio.run(self.run.read(name_of(topic, self.run.settings)))
        return [orjson.loads(value) for _, _, value in found if value is not None and alert_id.encode() in value]

    def raise_alert(self, customer: str) -> tuple[str, float]:
        """Publish an opened alert like a worker does; return its id and the record's time (s)."""
        return asyncio.run(self._raise_alert(customer))

    async def _raise_alert(self, customer: str) -> tuple[str, float]:
        settings, (event, value) = self.run.settings, life(customer)[0]
        partition, headers = partition_of(customer.encode(), settings.partitions), alert_headers(event, customer)
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                producer = await FencedProducer.open(settings, "writer")
                record_s = time.time()
                at_ms = int(record_s * 1000)
                output = Output(name_of(ALERTS, settings), partition, customer.encode(), value, headers, at_ms)
                await producer.commit([output])
            except (KafkaError, ChurnSignalsError):  # the broker has just restarted; a duplicate record has no effect
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.5)
            else:
                await producer.close()
                return event.alert_id, record_s

    def _logs(self) -> str:
        return "\n".join(f"{name}: {self.run.log_of(name)[-2000:]}" for name in self.run.workers)
