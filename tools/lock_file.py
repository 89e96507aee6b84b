"""Read the packages of a lock file: name, version, hashes, marker, and what requires them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
# What the image installs: no extras, no tools for development.
RUN_LOCK: Final = ROOT / "requirements-run.lock"
PROJECT: Final = "churn-signals"

_PIN: Final = re.compile(r"^([\w.\-]+)==([\w.\-+!]+)(?: ; (.*?))?(?: \\)?$")


class LockedPackage(NamedTuple):
    """One pinned package.

    Attributes:
        marker: platforms that install it; empty for all.
        hashes: SHA-256 of every file that may be installed.
        required_by: names of packages, or of this project.
    """

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    required_by: tuple[str, ...]


def locked_packages(text: str) -> list[LockedPackage]:
    r"""Parse the text of a lock file.

    >>> locked_packages("a==1 ; os_name == 'nt' \\\n    --hash=sha256:0f\n    # via\n    #   -c x.lock\n    #   b\n")
    [LockedPackage(name='a', version='1', marker="os_name == 'nt'", hashes=('0f',), required_by=('b',))]
    """
    found = []
    for block in re.split(r"^(?=[\w.\-]+==)", text, flags=re.MULTILINE)[1:]:
        first, *rest = block.splitlines()
        pin = _PIN.match(first)
        assert pin is not None, first
        lines = [line.strip().removeprefix("# via").removeprefix("#").strip() for line in rest if "#" in line]
        parents = [line.partition(" ")[0] for line in lines if line and not line.startswith("-c")]
        hashes = re.findall(r"--hash=sha256:([0-9a-f]+)", block)
        found.append(LockedPackage(pin[1], pin[2], pin[3] or "", tuple(hashes), tuple(parents)))
    return found
