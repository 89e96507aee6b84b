"""Write the software bill of materials (SBOM) of what the image installs, in CycloneDX 1.6.

`python -m tools.sbom FILE`. The same lock file gives the same bytes: it holds no time and no random number.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from tools.licenses import license_of
from tools.lock_file import PROJECT, ROOT, RUN_LOCK, LockedPackage, locked_packages

SPEC: Final = "1.6"


def document(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """Build the SBOM of a lock file and of this project's table in pyproject.toml.

    The package index is the only source of the components, so their hashes are those of its files.
    """
    packages = locked_packages(lock)
    root = f"pkg:pypi/{PROJECT}@{project['version']}"
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, root + lock)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": PROJECT,
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"expression": project["license"]}],
                "purl": root,
            }
        },
        "components": [_component(package) for package in packages],
        "dependencies": _dependencies(packages, root),
    }


def main(path: Path) -> None:
    """Write the SBOM of this checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = json.dumps(document(RUN_LOCK.read_text(encoding="utf-8"), project), indent=2, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path} written")


def _reference(package: LockedPackage) -> str:
    return f"pkg:pypi/{package.name}@{package.version}"


def _component(package: LockedPackage) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "licenses": [{"expression": license_of(package.name)}],
        "purl": _reference(package),
        "externalReferences": [
            {
                "type": "distribution",
                "url": f"https://pypi.org/project/{package.name}/{package.version}/",
                "comment": "the files of all platforms, any of which may be installed",
                "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
            }
        ],
    }
    if package.marker:
        component["properties"] = [{"name": f"{PROJECT}:marker", "value": package.marker}]
    return component


def _dependencies(packages: list[LockedPackage], root: str) -> list[dict[str, Any]]:
    references = defaultdict(list, {PROJECT: [root]})
    for package in packages:
        references[package.name].append(_reference(package))
    needs: dict[str, list[str]] = {reference: [] for found in references.values() for reference in found}
    for package in packages:
        for parent in package.required_by:
            for reference in references[parent]:
                needs[reference].append(_reference(package))
    return [{"ref": reference, "dependsOn": sorted(set(found))} for reference, found in needs.items()]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
