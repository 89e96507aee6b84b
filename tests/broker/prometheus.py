"""A real Prometheus that scrapes a run's processes, with the product's own rules at a faster pace."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import held_port
from tools.docs import DOCS

RULES = DOCS.parent / "ops" / "prometheus" / "rules.yml"
# A rule's five minutes are then 2.5 s, in which there are two scrapes at least.
FASTER = 120
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\[|offset |for: )(\d+)([smhd])\b")
_AGE = re.compile(r"(time\(\) - \w+ > )(\d+)")

_CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 250ms}
rule_files: [rules.yml]
scrape_configs:
  - job_name: churn-signals
    file_sd_configs: [{files: ["%s/http/*.json"], refresh_interval: 1s}]
"""


def hastened(rules: str) -> str:
    r"""The rules with every window, offset, `for` and age divided; nothing else of them changes.

    >>> hastened("expr: rate(x[5m] offset 1d) and time() - y > 3600\nfor: 1m")
    'expr: rate(x[2500ms] offset 720000ms) and time() - y > 30\nfor: 500ms'
    """

    def duration(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) * _UNITS_MS[found[3]] // FASTER}ms"

    return _AGE.sub(lambda found: f"{found[1]}{int(found[2]) // FASTER}", _DURATION.sub(duration, rules))


class Prometheus:
    """The JSON response of its HTTP API."""

    def __init__(self, address: str) -> None:
        self._address = address

    def firing(self) -> set[tuple[str, str]]:
        """(rule, what scraped it or the group) of every alert that fires. Raises OSError while it starts."""
        alerts = [alert for alert in self._ask("alerts")["alerts"] if alert["state"] == "firing"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("instance", alert["labels"].get("group", "")))
            for alert in alerts
        }

    def value(self, query: str) -> float | None:
        """Of a query with one result; None if it has none. Raises OSError while it starts."""
        found = self._ask(f"query?query={urllib.parse.quote(query)}")["result"]
        return float(found[0]["value"][1]) if found else None

    def examples(self, series: str) -> list[dict[str, str]]:
        """The labels of the examples that were scraped with a histogram within the last minute."""
        now = time.time()
        found = self._ask(f"query_exemplars?query={series}&start={now - 60}&end={now}")
        return [example["labels"] for one in found for example in one["exemplars"]]

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]


@contextmanager
def prometheus(directory: Path, data_dir: str) -> Iterator[Prometheus]:
    """Scrape the processes of a data directory as long as the `with` lasts."""
    directory.mkdir()
    (directory / "rules.yml").write_text(hastened(RULES.read_text()))
    (directory / "prometheus.yml").write_text(_CONFIG % data_dir)
    with held_port() as port:
        command = [
            "prometheus",
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield Prometheus(f"127.0.0.1:{port}")
        finally:
            process.kill()
            process.wait()
