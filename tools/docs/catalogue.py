"""Tables of the feature catalogue, of the event names, and of their aliases."""

from __future__ import annotations

from typing import Final

from models.events.aliases import ALIAS_SOURCES
from models.events.taxonomy import COUNTERS, IGNORED, MEANINGS
from models.explanations.feature_wordings import codes_of
from models.features.catalogue import FEATURES
from tools.docs.markdown import table

_TRANSFORMS: Final = {"log": "log(1 + x), x up to 10,000", "share": "0 to 1", "flag": "0 or 1"}


def features() -> str:
    """Table of features, in the order of the catalogue."""
    rows = [
        (
            f"`{f.name}`",
            f.sentence,
            f.unit,
            _TRANSFORMS.get(f.transform) or f"{f.transform.removeprefix('clip:').replace(',', ' to ')}",
            f.missing,
            "yes" if f.relative else "",
            ", ".join(f"`{code}`" for code in codes_of(f.name)),
        )
        for f in FEATURES
    ]
    return table(("feature", "meaning", "unit", "model input", "missing", "relative", "reasons"), rows)


def families() -> str:
    """Table of event names, by family."""
    rows = [
        (
            row.family,
            f"`{name}`",
            "yes" if row.engaged else "",
            "yes" if row.decisive else "",
            f"`{COUNTERS[row.counter]}`" if row.counter >= 0 else "",
        )
        for name, row in sorted(MEANINGS.items(), key=lambda item: item[1].family)
    ]
    return table(("family", "event", "engagement", "scored at once", "counted as"), rows)


def aliases() -> str:
    """Table of the names of each source, by listed event."""
    parts = []
    for source, names in ALIAS_SOURCES:
        rows = [
            (f"`{name}`", ", ".join(f"`{alias}`" for alias in listed.split(", "))) for name, listed in names.items()
        ]
        parts.append(f"### {source}\n\n" + table(("event", "also sent as"), sorted(rows)))
    return "\n\n".join(parts)


def ignored() -> str:
    """Table of listed events that change nothing."""
    return table(("event", "why it changes nothing"), [(f"`{name}`", why) for name, why in sorted(IGNORED.items())])
