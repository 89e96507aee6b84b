"""The bill of materials is complete and valid, and its licenses are those of the packages."""

from __future__ import annotations

import doctest
import json
import re
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, distribution, files
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.spdx import is_expression
from cyclonedx.validation.json import JsonStrictValidator

from tests.paths import ROOT
from tools import licenses, lock_file, sbom
from tools.licenses import BUNDLED, STATED, license_of
from tools.lock_file import RUN_LOCK, locked_packages

LOCK = RUN_LOCK.read_text(encoding="utf-8")
PACKAGES = locked_packages(LOCK)
NAMES = sorted({package.name for package in PACKAGES})
PROJECT = {"version": "1.2.3", "description": "a program", "license": "Apache-2.0"}


@pytest.mark.parametrize("module", [licenses, lock_file], ids=lambda module: module.__name__)
def test_docstring_examples_hold(module: Any) -> None:
    ran = doctest.testmod(module)
    assert (ran.attempted > 0, ran.failed) == (True, 0)


def test_document_is_valid_cyclonedx(tmp_path: Path) -> None:
    """Rule: it satisfies the schema, which knows every SPDX identifier, and rejects an unknown member."""
    sbom.main(tmp_path / "out" / "sbom.json")
    text = (tmp_path / "out" / "sbom.json").read_text(encoding="utf-8")
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"purl"', '"url"')) is not None
    sbom.main(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == text


def test_document_has_every_locked_package_with_its_hashes() -> None:
    """Rule: what pip may install, it lists; its dependency graph reaches every package from this program."""
    document = sbom.document(LOCK, PROJECT)
    pins = re.findall(r"^([\w.\-]+)==([\w.\-+!]+)", LOCK, re.MULTILINE)
    assert [(component["name"], component["version"]) for component in document["components"]] == pins
    assert len(pins) > 40
    text = json.dumps(document)
    hashes = re.findall(r"sha256:([0-9a-f]{64})", LOCK)
    assert [digest for digest in hashes if digest not in text] == []
    needs = {entry["ref"]: entry["dependsOn"] for entry in document["dependencies"]}
    reached, waiting = set(), [document["metadata"]["component"]["bom-ref"]]
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.add(reference)
            waiting += needs[reference]
    assert reached == set(needs) == {*(c["bom-ref"] for c in document["components"]), "pkg:pypi/churn-signals@1.2.3"}


@pytest.mark.parametrize("name", NAMES)
def test_license_is_an_spdx_expression(name: str) -> None:
    """Rule: nothing is left to interpretation; only what SPDX does not list is a reference."""
    assert is_expression(license_of(name).replace("LicenseRef-Repoze", "BSD-3-Clause"))
    assert not is_expression("BSD AND Apache 2")


@pytest.mark.parametrize("name", sorted(STATED))
def test_license_is_stated_only_where_the_metadata_is_incomplete(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name in NAMES
    monkeypatch.setattr(licenses, "STATED", {})
    try:
        alone = license_of(name)
    except LookupError:
        alone = ""
    assert alone != STATED[name]


@pytest.mark.parametrize("name", ["numpy", "scipy"])
def test_licenses_of_bundled_libraries_are_stated(name: str) -> None:
    """Rule: for each library that the wheel bundles, its license file names the license, and so does the table."""
    texts = [file.read_text() for file in files(name) or [] if re.search(r"dist-info.*/LICENSE\.txt$", str(file))]
    stated = re.findall(r"^Files: (\S+)\n(?:.*\n){1,4}?License: (.+)$", "\n".join(texts), re.MULTILINE)
    libraries = [str(file) for file in files(name) or [] if file.parts[0] == f"{name}.libs"]
    if not libraries:
        pytest.skip("the wheel of this platform bundles nothing")
    for library in libraries:
        assert any(fnmatch(library, f"{pattern}*") for pattern, _ in stated), library
    parts = set(re.split(r" AND ", license_of(name)))
    assert {found for pattern, found in stated if pattern.startswith(f"{name}.libs")} <= parts
    assert set(BUNDLED.split(" AND ")) <= parts


@pytest.mark.parametrize("name", ["faust-streaming", "jinja2", "mode-streaming"])
def test_stated_license_is_that_of_the_license_file(name: str) -> None:
    """Rule: the third clause of BSD-3-Clause is in the text."""
    [path] = [file for file in files(name) or [] if re.search(r"/LICENSE(\.txt)?$", str(file))]
    text = re.sub(r"\s+", " ", path.read_text())
    assert STATED[name] == "BSD-3-Clause"
    assert re.search(r"endorse or promote products derived", text)


def test_unknown_license_is_an_error() -> None:
    with pytest.raises(LookupError, match="add its license"):
        license_of("no-such-package")


def test_make_and_ci_write_it() -> None:
    assert "-m tools.sbom .data/sbom.cdx.json" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "make sbom" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_every_package_of_the_lock_is_installed_or_stated() -> None:
    """Rule: a package for another platform has its license stated, as it cannot be read here."""
    for name in NAMES:
        try:
            distribution(name)
        except PackageNotFoundError:
            assert name in STATED
