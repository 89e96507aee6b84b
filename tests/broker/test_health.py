"""Health and metrics of the product's own processes, over HTTP, from their start to their end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from streams.monitoring.http_server import address_directory
from tests.broker.asked import ask, ready
from tests.crash.harness import Run, scenario
from tests.waiting import wait_until

PRODUCT = Path(__file__).with_name("product.py")


def test_processes_are_ready_when_they_serve_and_never_after_sigterm(new_run: Callable[..., Run]) -> None:
    """Rule: ready means models read, partitions taken over, brokers reached; SIGTERM ends that at once."""

    async def body(run: Run) -> None:
        run.start("worker", program=PRODUCT, PRODUCT_ROLE="worker")
        run.start("trainer", program=PRODUCT, PRODUCT_ROLE="trainer")
        readiness = ready(run, "worker")
        assert readiness["checks"]["partitions"]["why"] == "4 assigned, all taken over"
        assert set(readiness["checks"]) == {"started", "broker", "models", "partitions"}
        ready(run, "trainer")
        for role, series in (("worker", 'churn_signals_lag_records{partition="3"} 0.0'), ("trainer", "leading 1.0")):
            assert ask(run, role, "/healthz")[0] == 200
            text = ""

            def exported(role: str = role, series: str = series) -> bool:
                nonlocal text
                text = ask(run, role, "/metrics")[1]
                return series in text

            wait_until(f"the metric {series}", exported, context=lambda: text)  # noqa: B023
        for role in ("worker", "trainer"):
            run.workers[role].send_signal(signal.SIGTERM)
            while (status := ask(run, role, "/readyz")[0]) == 200:  # the signal is on its way
                continue
            assert status == 503, f"the {role} was ready until it was gone"
            while run.workers[role].poll() is None:
                assert ask(run, role, "/readyz")[0] != 200
            assert run.workers[role].returncode == 0
        assert not list(address_directory(run.settings).iterdir())

    scenario(new_run(), body)
