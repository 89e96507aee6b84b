"""License of each package as an SPDX expression, from its metadata or, where that is wrong, from this module."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from types import MappingProxyType
from typing import Final

# What the Linux wheels of numpy and scipy bundle, according to the license files in them.
BUNDLED: Final = "BSD-3-Clause-Open-MPI AND LGPL-2.1-or-later AND GPL-3.0-or-later WITH GCC-exception-3.1"

# Packages whose metadata names no license of the SPDX list, or not all that apply; read in their license files.
STATED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "colorama": "BSD-3-Clause",  # for Windows only, so not installed here
        "faust-streaming": "BSD-3-Clause",
        "jinja2": "BSD-3-Clause",
        "mode-streaming": "BSD-3-Clause",
        "numpy": f"BSD-3-Clause AND 0BSD AND MIT AND Zlib AND CC0-1.0 AND {BUNDLED}",
        "scipy": f"BSD-3-Clause AND {BUNDLED}",
        "uvloop": "MIT OR Apache-2.0",
        "venusian": "LicenseRef-Repoze",
    }
)
_SPDX: Final = frozenset({"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MPL-2.0", "PSF-2.0"})
_CLASSIFIERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "License :: OSI Approved :: Apache Software License": "Apache-2.0",
        "License :: OSI Approved :: MIT License": "MIT",
        "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
        "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
    }
)


def license_of(name: str) -> str:
    """Return the SPDX expression of an installed package.

    Raises:
        LookupError: neither its metadata nor `STATED` has one: read its license files, and add it.

    >>> license_of("orjson"), license_of("uvloop")
    ('MPL-2.0 AND (Apache-2.0 OR MIT)', 'MIT OR Apache-2.0')
    """
    if name in STATED:
        return STATED[name]
    try:
        found = metadata(name)
    except PackageNotFoundError:
        raise LookupError(f"{name} is not installed: add its license to tools/licenses.py") from None
    for field in ("License-Expression", "License"):
        text = found[field].strip() if field in found else ""
        if text in _SPDX or (text and field == "License-Expression"):
            return text
    classifiers = [text for text in found.get_all("Classifier") or [] if text.startswith("License ::")]
    if len(classifiers) == 1 and classifiers[0] in _CLASSIFIERS:
        return _CLASSIFIERS[classifiers[0]]
    raise LookupError(f"the license of {name} is ambiguous: read its files, and add it to tools/licenses.py")
