"""Measure the console with many customers: startup time, response time per page, memory and disk use.

    python -m benchmarks.console [--customers N] [--alerts N] [--json OUT]

Publishes scores and open alerts (100,000 and 10,000) as workers do, starts `churn-signals console`, and requests its
pages while it reads the topics and afterwards. The broker runs on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.console import records
from benchmarks.machine import describe, machine, progress
from benchmarks.throughput import kafka, world
from streams.devbroker.embedded_broker import EmbeddedBroker

CUSTOMERS, ALERTS = 100_000, 10_000
_COMMAND = [sys.executable, "-c", "from streams.cli.main import main; main()", "console", "--port", "0"]
_PAGES = ("", "?band=critical&sort=newest", "?page=100", "customers", "customer?id=c000007", "model", "pipeline")
_REQUESTS = 20
_WAIT_S = 300.0
_POLL_S = 0.1


class Console:
    """The console's process, its address once it has one, and its response times."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self._log = directory / "console.log"
        self.directory = directory / "temporary"
        self.directory.mkdir()
        self.started_s = time.perf_counter()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                _COMMAND, stdout=log, stderr=log, env={**os.environ, **environment, "TMPDIR": str(self.directory)}
            )

    def until(self, what: str, pattern: str, page: str | None = None) -> tuple[float, list[float], re.Match[str]]:
        """Wait until a page (or the log) matches; seconds since the start, and response times until then (ms)."""
        response_ms: list[float] = []
        while self.process.poll() is None and self._elapsed_s < _WAIT_S:
            if page is None:
                text = self._log.read_text()
            else:
                milliseconds, text = self.request(page)
                response_ms.append(milliseconds)
            if found := re.search(pattern, text):
                return self._elapsed_s, response_ms, found
            time.sleep(_POLL_S)
        raise SystemExit(f"the console did not reach {what}: {self._log.read_text()[-2000:]}")

    def request(self, page: str) -> tuple[float, str]:
        """Request a page; milliseconds and the page's text."""
        begun_s = time.perf_counter()
        with urllib.request.urlopen(self.address + page, timeout=60) as response:
            text = response.read().decode()
        return (time.perf_counter() - begun_s) * 1000, text

    @property
    def address(self) -> str:
        found = re.search(r"The console is at (\S+)", self._log.read_text())
        assert found is not None
        return found[1]

    @property
    def _elapsed_s(self) -> float:
        return time.perf_counter() - self.started_s

    def memory_mib(self, line: str) -> float:
        """Read VmRSS or VmHWM of the process."""
        found = re.search(rf"^{line}:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0

    def disk_mib(self) -> float:
        """Size of its temporary files."""
        return sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file()) / 2**20


def run(directory: Path, customers: int, alerts: int) -> dict[str, Any]:
    """Measure all figures; see the module docstring."""
    progress("scoring sample customers")
    model = world.learned_model()
    samples = records.samples(model)
    with EmbeddedBroker(directory / "broker") as broker:
        settings = kafka.settings_of(broker.address, "console", "events", directory)
        asyncio.run(kafka.publish_model(settings, model))
        progress(f"publishing {customers:,} scores and {alerts:,} alerts")
        size = asyncio.run(records.publish(settings, samples, customers, alerts))
        progress("waiting for the console to read them")
        console = Console(kafka.environment(settings), directory)
        try:
            console.until("an address", r"The console is at (\S+)")
            first_s, _, _ = console.until("its first page", "<h1>Alerts</h1>", "")
            alerts_s, _, _ = console.until("all alerts", rf"{alerts:,} alerts, page 1", "")
            all_s, meanwhile, _ = console.until("all customers", rf"{customers:,} customers have a score", "customers")
            pages = {page: sorted(console.request(page)[0] for _ in range(_REQUESTS)) for page in _PAGES}
            return {
                "customers": customers,
                "alerts": alerts,
                "score_bytes": size / customers,
                "first_page_s": first_s,
                "alerts_s": alerts_s,
                "all_s": all_s,
                "meanwhile_ms": {"median": sorted(meanwhile)[len(meanwhile) // 2], "most": max(meanwhile)},
                "pages_ms": {page: {"median": ms[_REQUESTS // 2], "most": ms[-1]} for page, ms in pages.items()},
                "resident_mib": console.memory_mib("VmRSS"),
                "peak_mib": console.memory_mib("VmHWM"),
                "disk_mib": console.disk_mib(),
            }
        finally:
            console.process.terminate()
            console.process.wait(timeout=30)


def render(found: dict[str, Any]) -> str:
    """Format the figures as a table."""
    scores = f"scores of {found['score_bytes']:,.0f} bytes"
    lines = [
        f"{found['customers']:,} customers ({scores}), {found['alerts']:,} open alerts",
        f"first page after           {found['first_page_s']:7.1f} s",
        f"all alerts after           {found['alerts_s']:7.1f} s",
        f"all customers after        {found['all_s']:7.1f} s",
        f"memory                     {found['resident_mib']:7.0f} MiB, peak {found['peak_mib']:.0f}",
        f"temporary file             {found['disk_mib']:7.0f} MiB",
        f"{'page':<27}{'median':>7} {'max':>7}  ms",
        f"{'/customers while reading':<27}{found['meanwhile_ms']['median']:7.0f} {found['meanwhile_ms']['most']:7.0f}",
    ]
    lines += [f"/{page:<26}{ms['median']:7.0f} {ms['most']:7.0f}" for page, ms in found["pages_ms"].items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.console", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--customers", type=int, default=CUSTOMERS, help=f"(default {CUSTOMERS:,})")
    parser.add_argument("--alerts", type=int, default=ALERTS, help=f"(default {ALERTS:,})")
    parser.add_argument("--json", metavar="OUT", type=Path)
    options = parser.parse_args()
    if not 1 <= options.alerts <= options.customers <= 1_000_000:
        parser.error("--alerts must be at least 1 and at most --customers, which must be at most 1,000,000")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SIGTERM stops the broker too
    found = machine()
    with tempfile.TemporaryDirectory(prefix="churn-console-bench-") as name:
        result = {"machine": found, **run(Path(name), options.customers, options.alerts)}
    print(describe(found) + "\n" + render(result), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
