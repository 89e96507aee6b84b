"""Model snapshots: a model as JSON, restored to the same bits, and refused under another schema or catalogue."""

from __future__ import annotations

import math
from typing import Any

import orjson

from models.learning.feature_space import FeatureSpace

SCHEMA = 1
"""Version of the layout, incremented when a field changes its meaning. Another version is refused."""

PARTS = {"schema", "catalogue", "version", "scoring", "training"}

_MAYBE_NULL = (".training.champion.day", ".training.involuntary.champion.day")

LARGEST_BYTES = 1_000_000
"""Size limit: Kafka's default limit for a message is 1 MiB. 80 features, all relative and all varying, need 0.7 MB."""


class ModelSnapshotError(ValueError):
    """A model snapshot that this program cannot use. Raised when a model is read; the message names the remedy."""


def pack(space: FeatureSpace, version: str, scoring: dict[str, Any], training: dict[str, Any]) -> bytes:
    """Serialise a model as JSON. Floats are written in their shortest exact form, so they round-trip bit for bit.

    Parameters
    ----------
    space
        The feature space of the model.
    version
        The model's version.
    scoring
        The state that predicting needs, read by every worker.
    training
        The additional state that learning needs, read by the trainer only.
    """
    value = orjson.dumps(
        {
            "schema": SCHEMA,
            "catalogue": space.catalogue,
            "features": len(space.names),
            "version": version,
            "scoring": scoring,
            "training": training,
        }
    )
    if len(value) > LARGEST_BYTES:
        raise ModelSnapshotError(f"the snapshot has {len(value)} bytes, above {LARGEST_BYTES}: use fewer features")
    return value


def unpack(value: bytes, space: FeatureSpace) -> dict[str, Any]:
    """Parse and check a model snapshot, and return its parts. A snapshot is data: no code in it is ever executed.

    Raises
    ------
    ModelSnapshotError
        If the value is no model snapshot, has another schema or feature catalogue, or has a non-finite number.
    """
    try:
        snapshot = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ModelSnapshotError(f"not a model snapshot: {error}") from None
    if not isinstance(snapshot, dict) or not set(snapshot) >= PARTS:
        raise ModelSnapshotError(f"not a model snapshot: expected an object with {', '.join(sorted(PARTS))}")
    if snapshot["schema"] != SCHEMA:
        raise ModelSnapshotError(
            f"the snapshot has schema {snapshot['schema']!r}, this program reads {SCHEMA}: run one release everywhere"
        )
    if snapshot["catalogue"] != space.catalogue:
        raise ModelSnapshotError(
            f"the snapshot was learned on feature catalogue {snapshot['catalogue']!r}, this program has "
            f"{space.catalogue!r}: replay the labels to learn a model for it"
        )
    _check_numbers(snapshot, "")
    return snapshot


def _check_numbers(value: Any, path: str) -> None:
    """Check that every number is finite: one null or 1e999 would silently turn every probability into NaN."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            _check_numbers(item, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ModelSnapshotError(f"not a model snapshot: {path[1:]} holds {value}")
    elif value is None and path not in _MAYBE_NULL:
        raise ModelSnapshotError(f"not a model snapshot: {path[1:]} holds null")
