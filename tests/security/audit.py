"""Audit of every pinned dependency for known vulnerabilities, with pip-audit.

pip-audit also exits with 0 and "No known vulnerabilities found" if the advisory service knows none of the packages.
This program reports such a result as not audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.paths import ROOT

LOCK = ROOT / "requirements.lock"
# PyPI's advisories first. OSV has the same and more, and may be reachable where PyPI's are not.
SERVICES = ("pypi", "osv")
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
# A hundred packages take half a minute.
_TIMEOUT_S = 300

Query = Callable[[str], str]
"""Service -> pip-audit's report as JSON. Any other text counts as no response."""


class Audit(NamedTuple):
    """Result of one service: number of known and unknown packages, and (package, version, advisory, fixed in)."""

    audited: int
    unknown: int
    found: Sequence[tuple[str, str, str, str]]


def query(service: str) -> str:
    """Run pip-audit on the pins of the lock file, without installation or resolution."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), "--require-hashes", "--disable-pip"]
    options = ["--progress-spinner", "off", "-f", "json", "-s", service]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    return done.stdout


def read(report: str) -> Audit:
    """Parse a report. An invalid one has no packages."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audit(0, 0, ())
    audited = [package for package in packages if "skip_reason" not in package]
    found = [
        (package["name"], package["version"], advisory["id"], ", ".join(advisory["fix_versions"]) or "none yet")
        for package in audited
        for advisory in package["vulns"]
    ]
    return Audit(len(audited), len(packages) - len(audited), found)


def run(query: Query = query, output: Callable[[str], None] = print) -> int:
    """Query the services in order until one knows every package; return the exit code."""
    audited = 0
    for service in SERVICES:
        try:
            audit = read(query(service))
        except subprocess.TimeoutExpired:
            audit = Audit(0, 0, ())
        for name, version, advisory, fixed in audit.found:
            output(f"VULNERABLE {name} {version}: {advisory}, fixed in {fixed}")
        if audit.found:
            return VULNERABLE
        if audit.audited and not audit.unknown:
            output(f"audit: {audit.audited} packages, no known vulnerability ({service})")
            return CLEAN
        audited = max(audited, audit.audited)
        output(f"audit: {service} knows {audit.audited} packages and does not know {audit.unknown}")
    output(f"NOT AUDITED: no advisory service knows all packages ({audited} at most); the result is unknown")
    return NOT_AUDITED


if __name__ == "__main__":
    sys.exit(run())
