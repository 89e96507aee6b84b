"""Search paths of a child process, without the working directory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

_SEARCH_PATHS: Final = ("PYTHONPATH", "LD_LIBRARY_PATH")


def without_working_directory(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with absolute search paths.

    An empty entry, as `PYTHONPATH=$PYTHONPATH:/opt/x` leaves it, means the working directory of the child. It is left
    out. A relative entry is relative to it, and becomes absolute as of here.

    >>> without_working_directory({"PYTHONPATH": ":/opt/x:", "HOME": "/root"})
    {'PYTHONPATH': '/opt/x', 'HOME': '/root'}
    """
    found = dict(environment)
    for name in _SEARCH_PATHS:
        if name in found:
            entries = [os.path.abspath(entry) for entry in found[name].split(os.pathsep) if entry]
            found[name] = os.pathsep.join(entries)
    return found
