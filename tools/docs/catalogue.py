"""Tables of the feature catalogue and of the event names."""

from __future__ import annotations

from typing import Final

from models.events.taxonomy import COUNTERS, MEANINGS
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
