"""Matured training examples as `churn-labels` holds them: JSON by feature name, exact to the last bit of a number."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from models.duration import rfc3339
from models.events.coercion import moment_ms
from models.features.catalogue import CATALOGUE, NAMES
from models.labels.training_example import InvoluntaryLabel, TrainingExample


class LabelError(ValueError):
    """A record of `churn-labels` that is no training example; it is skipped and counted, the next one may be good."""


# A struct instead of a dict: names are written from a table, not one by one.
_Named: Any = msgspec.defstruct("_Named", [(name, float | None) for name in NAMES], gc=False)


class _InvoluntaryRecord(msgspec.Struct, gc=False):
    label: int
    churned_time: str | None
    probability: float | None


class _LabelRecord(msgspec.Struct, gc=False):
    customer: str
    snapshot_time: str
    release_time: str
    churned_time: str | None
    label: int
    labels: dict[str, int]
    probability: float
    members: tuple[float, float, float]
    features: dict[str, float | None]  # read; written from a `_Named`
    population: dict[str, float | None]
    catalogue: str
    model: str
    definition: str
    involuntary: _InvoluntaryRecord | None = None  # earlier releases did not know of it


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_LabelRecord)


def label_value(example: TrainingExample) -> bytes:
    """The example as JSON. Missing values are null; every other number reads back to the same bits."""
    second = example.involuntary
    return _ENCODER.encode(
        _LabelRecord(
            example.customer,
            rfc3339(example.snapshot_ms),
            rfc3339(example.release_ms),
            _time(example.churned_ms),
            example.label,
            example.labels,
            example.probability,
            example.members,
            _named(example.features),
            _named(example.population),
            CATALOGUE,
            example.model,
            example.definition,
            None if second is None else _InvoluntaryRecord(second.label, _time(second.churned_ms), second.probability),
        )
    )


def read_label(value: bytes) -> TrainingExample:
    """What `label_value` wrote, also under an earlier catalogue: a feature that it did not know is missing.

    Raises LabelError for anything else.
    """
    try:
        found = _DECODER.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise LabelError(
            f"a training example cannot be read ({error}): was something else written to the topic?"
        ) from (None)
    if found.label not in (0, 1) or not 0.0 <= found.probability <= 1.0:
        raise LabelError(f"a training example has label {found.label} and probability {found.probability}")
    return TrainingExample(
        found.customer,
        _moment("snapshot_time", found.snapshot_time),
        _moment("release_time", found.release_time),
        _array(found.features),
        _array(found.population),
        found.probability,
        found.members,
        found.label,
        found.labels,
        found.model,
        found.definition,
        0 if found.churned_time is None else _moment("churned_time", found.churned_time),
        None if found.involuntary is None else _second(found.involuntary),
    )


def _second(found: _InvoluntaryRecord) -> InvoluntaryLabel:
    probability = found.probability
    if found.label not in (0, 1) or not (probability is None or 0.0 <= probability <= 1.0):
        raise LabelError(f"a training example has the involuntary label {found.label} and probability {probability}")
    churned_ms = 0 if found.churned_time is None else _moment("involuntary.churned_time", found.churned_time)
    return InvoluntaryLabel(found.label, probability, churned_ms)


def _time(at_ms: int) -> str | None:
    return rfc3339(at_ms) if at_ms else None


def _named(values: bytes) -> Any:
    return _Named(*np.frombuffer(values).tolist())  # written, NaN is null


def _array(named: dict[str, float | None]) -> bytes:
    return np.array([named.get(name) for name in NAMES], dtype=np.float64).tobytes()


def _moment(name: str, written: str) -> int:
    found = moment_ms(written)
    if found is None:
        raise LabelError(f"a training example has a {name} that is no time")
    return found
