"""Table of the packages that the image installs, with their licenses."""

from __future__ import annotations

from tools.docs.markdown import code, table
from tools.licenses import license_of
from tools.lock_file import RUN_LOCK, locked_packages


def packages() -> str:
    """One row per package, with all of its versions."""
    versions: dict[str, list[str]] = {}
    for package in locked_packages(RUN_LOCK.read_text(encoding="utf-8")):
        versions.setdefault(package.name, []).append(package.version)
    rows = [(code(name), ", ".join(numbers), code(license_of(name))) for name, numbers in versions.items()]
    return table(("package", "version", "license"), rows)
