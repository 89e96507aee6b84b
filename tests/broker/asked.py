"""Requests to the health and metrics server of a process, at the address that it has written to a file."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from streams.monitoring.http_server import address_directory
from tests.crash.harness import Run
from tests.waiting import wait_until


def ask(run: Run, role: str, path: str) -> tuple[int, str]:
    """Return status and body from the only process of a role; status 0 if there is no response."""
    files = list(address_directory(run.settings).glob(f"{role}-*.json"))
    try:
        [target] = json.loads(files[0].read_text())[0]["targets"]
    except (IndexError, FileNotFoundError):  # the file is missing or was removed at exit
        return 0, "no file"
    try:
        with urllib.request.urlopen(f"http://{target}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()
    except OSError as failure:
        return 0, repr(failure)


def ready(run: Run, role: str) -> dict[str, Any]:
    body = ""

    def answers() -> bool:
        nonlocal body
        status, body = ask(run, role, "/readyz")
        return status == 200

    wait_until(f"a ready {role}", answers, every_s=0.1, context=lambda: (body, run.log_of(role)))
    return json.loads(body)
