"""Label records: training examples as JSON on `churn-labels`, keyed by feature name; numbers round-trip exactly."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from models.duration import rfc3339
from models.events.coercion import time_ms
from models.features.catalogue import CATALOGUE, NAMES
from models.labels.training_example import InvoluntaryLabel, TrainingExample


class LabelError(ValueError):
    """A record of `churn-labels` that is no training example. Consumers skip and count it."""


# A struct instead of a dict: it encodes faster, because the field names are encoded once.
_ValuesByName: Any = msgspec.defstruct("_ValuesByName", [(name, float | None) for name in NAMES], gc=False)


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
    features: dict[str, float | None]  # when decoding; encoded from a `_ValuesByName`
    population: dict[str, float | None]
    catalogue: str
    model: str
    definition: str
    involuntary: _InvoluntaryRecord | None = None  # not written by earlier releases


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_LabelRecord)


def label_value(example: TrainingExample) -> bytes:
    """Encode an example as JSON. Missing values are null; every other number reads back to the same bits."""
    involuntary = example.involuntary
    return _ENCODER.encode(
        _LabelRecord(
            customer=example.customer,
            snapshot_time=rfc3339(example.snapshot_ms),
            release_time=rfc3339(example.release_ms),
            churned_time=_time(example.churned_ms),
            label=example.label,
            labels=example.labels,
            probability=example.probability,
            members=example.members,
            features=_by_name(example.features),
            population=_by_name(example.population),
            catalogue=CATALOGUE,
            model=example.model,
            definition=example.definition,
            involuntary=None
            if involuntary is None
            else _InvoluntaryRecord(involuntary.label, _time(involuntary.churned_ms), involuntary.probability),
        )
    )


def read_label(value: bytes) -> TrainingExample:
    """Read what `label_value` wrote. A feature that an earlier catalogue did not have is missing.

    Raises LabelError for anything else.
    """
    try:
        record = _DECODER.decode(value)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError) as error:
        raise LabelError(
            f"a training example cannot be read ({error}): does another application write to the topic?"
        ) from None
    if record.label not in (0, 1) or not all(0.0 <= p <= 1.0 for p in (record.probability, *record.members)):
        raise LabelError(f"a training example has label {record.label} and probability {record.probability}")
    return TrainingExample(
        customer=record.customer,
        snapshot_ms=_time_ms("snapshot_time", record.snapshot_time),
        release_ms=_time_ms("release_time", record.release_time),
        features=_array(record.features),
        population=_array(record.population),
        probability=record.probability,
        members=record.members,
        label=record.label,
        labels=record.labels,
        model=record.model,
        definition=record.definition,
        churned_ms=0 if record.churned_time is None else _time_ms("churned_time", record.churned_time),
        involuntary=None if record.involuntary is None else _involuntary_label(record.involuntary),
    )


def _involuntary_label(record: _InvoluntaryRecord) -> InvoluntaryLabel:
    probability = record.probability
    if record.label not in (0, 1) or not (probability is None or 0.0 <= probability <= 1.0):
        raise LabelError(f"a training example has the involuntary label {record.label} and probability {probability}")
    churned_ms = 0 if record.churned_time is None else _time_ms("involuntary.churned_time", record.churned_time)
    return InvoluntaryLabel(record.label, probability, churned_ms)


def _time(at_ms: int) -> str | None:
    return rfc3339(at_ms) if at_ms else None


def _by_name(values: bytes) -> Any:
    return _ValuesByName(*np.frombuffer(values).tolist())  # NaN encodes as null


def _array(values: dict[str, float | None]) -> bytes:
    return np.array([values.get(name) for name in NAMES], dtype=np.float64).tobytes()


def _time_ms(field: str, value: str) -> int:
    at_ms = time_ms(value)
    if at_ms is None:
        raise LabelError(f"a training example has a {field} that is no valid time")
    return at_ms
