"""Known vulnerabilities of every pinned dependency: asks pip-audit, and says so if nobody answered.

pip-audit ends with 0 and "No known vulnerabilities found" also when the service of advisories knew none of the
packages: an answer that was never given must not look like a good one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.paths import ROOT

LOCK = ROOT / "requirements.lock"
# PyPI's advisories first; OSV has the same and more, and may be reachable where PyPI's are not.
SERVICES = ("pypi", "osv")
CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
# A hundred packages take half a minute; a service that does not answer is given up.
_TIMEOUT_S = 300

Ask = Callable[[str], str]
"""Service -> pip-audit's report as JSON; anything that is no report counts as no answer."""


class Audit(NamedTuple):
    """What one service said: packages that it knew, that it did not, and (package, version, advisory, repaired in)."""

    audited: int
    unknown: int
    found: Sequence[tuple[str, str, str, str]]


def ask(service: str) -> str:
    """pip-audit over the lock file, from its pins alone: nothing is installed or resolved."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(LOCK), "--require-hashes", "--disable-pip"]
    options = ["--progress-spinner", "off", "-f", "json", "-s", service]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    return done.stdout


def read(report: str) -> Audit:
    """A report; one that cannot be read is no answer."""
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


def run(ask: Ask = ask, say: Callable[[str], None] = print) -> int:
    """Ask one service after the other until one knows every package; the exit code says what came of it."""
    audited = 0
    for service in SERVICES:
        try:
            audit = read(ask(service))
        except subprocess.TimeoutExpired:
            audit = Audit(0, 0, ())
        for name, version, advisory, repaired in audit.found:
            say(f"VULNERABLE {name} {version}: {advisory}, repaired in {repaired}")
        if audit.found:
            return VULNERABLE
        if audit.audited and not audit.unknown:
            say(f"audit: {audit.audited} packages, no known vulnerability ({service})")
            return CLEAN
        audited = max(audited, audit.audited)
        say(f"audit: {service} answered for {audit.audited} packages and not for {audit.unknown}")
    say(f"NOT AUDITED: no service of advisories knew all packages ({audited} at best); this says nothing about them")
    return NOT_AUDITED


if __name__ == "__main__":
    sys.exit(run())
