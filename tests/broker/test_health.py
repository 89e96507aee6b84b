"""Health and metrics of the product's own processes, over HTTP, from their start to their end."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Run, scenario

from streams.http_server import directory_of

PRODUCT = Path(__file__).with_name("product.py")


def ask(run: Run, role: str, path: str) -> tuple[int, str]:
    """Status and body of the only process of a role; 0 while it does not answer."""
    files = list(directory_of(run.settings).glob(f"{role}-*.json"))
    if not files:
        return 0, "no file"
    [target] = json.loads(files[0].read_text())[0]["targets"]
    try:
        with urllib.request.urlopen(f"http://{target}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as failure:
        return 0, repr(failure)


def ready(run: Run, role: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        status, body = ask(run, role, "/readyz")
        if status == 200:
            return json.loads(body)
        assert time.monotonic() < deadline, (body, run.log_of(role))
        time.sleep(0.1)


def test_processes_are_ready_when_they_serve_and_never_after_sigterm(new_run: Callable[..., Run]) -> None:
    """Rule: ready means models read, partitions taken over, brokers reached; SIGTERM ends that at once."""

    async def body(run: Run) -> None:
        run.start("worker", program=PRODUCT, PRODUCT_ROLE="worker")
        run.start("trainer", program=PRODUCT, PRODUCT_ROLE="trainer")
        said = ready(run, "worker")
        assert said["checks"]["partitions"]["why"] == "4 assigned, all taken over"
        assert set(said["checks"]) == {"started", "broker", "models", "partitions"}
        ready(run, "trainer")
        for role, series in (("worker", 'churn_signals_lag_records{partition="3"} 0.0'), ("trainer", "leading 1.0")):
            assert ask(run, role, "/healthz")[0] == 200
            deadline = time.monotonic() + 10
            while series not in (text := ask(run, role, "/metrics")[1]):
                assert time.monotonic() < deadline, text
                time.sleep(0.2)
        for role in ("worker", "trainer"):
            run.workers[role].send_signal(signal.SIGTERM)
            time.sleep(0.05)  # the signal is delivered
            while run.workers[role].poll() is None:
                assert ask(run, role, "/readyz")[0] != 200
            assert run.workers[role].returncode == 0
        assert not list(directory_of(run.settings).iterdir())

    scenario(new_run(), body)
