"""Model snapshots: a model as JSON, restored to the same bits; anything else is refused before it is used."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import orjson

from models.learning.feature_space import FeatureSpace
from models.learning.snapshot_schema import ChallengerState, ChampionState, QualityLogState, SnapshotState

SCHEMA = 1
"""Version of the layout, incremented when a field changes its meaning. Another version is refused."""

PARTS = {"schema", "catalogue", "version", "scoring", "training"}

LARGEST_BYTES = 1_000_000
"""Size limit: Kafka's default limit for a message is 1 MiB. 80 features, all relative and all varying, need 0.7 MB."""

_ROUNDING: Final = 1e-6
"""How far rounding may move the eigenvalues of a covariance below 0; a million labels move them by some 1e-12."""


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

    Every reader checks the whole snapshot, so workers and trainer agree on which snapshots exist. Each number has the
    type and the range of `models.learning.snapshot_schema`, each list the length that the feature space gives it.

    Raises
    ------
    ModelSnapshotError
        If the value is no model snapshot, has another schema or feature catalogue, or holds anything out of range.
    """
    if len(value) > LARGEST_BYTES:
        raise ModelSnapshotError(f"not a model snapshot: {len(value):,} bytes, above {LARGEST_BYTES:,}")
    try:
        snapshot = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ModelSnapshotError(f"not a model snapshot: {error}") from None
    if not isinstance(snapshot, dict) or not set(snapshot) >= PARTS:
        raise ModelSnapshotError(f"not a model snapshot: expected an object with {', '.join(sorted(PARTS))}")
    if snapshot["schema"] != SCHEMA:
        raise ModelSnapshotError(
            f"the snapshot has schema {_shown(snapshot['schema'])}, this program reads {SCHEMA}: run one release"
            " everywhere"
        )
    if snapshot["catalogue"] != space.catalogue:
        raise ModelSnapshotError(
            f"the snapshot was learned on feature catalogue {_shown(snapshot['catalogue'])}, this program has "
            f"{space.catalogue!r}: replay the labels to learn a model for it"
        )
    try:
        state = msgspec.convert(snapshot, SnapshotState)
    except msgspec.ValidationError as error:
        raise ModelSnapshotError(f"not a model snapshot: {error}") from None
    if problem := _inconsistency(state, space):
        raise ModelSnapshotError(f"not a model snapshot: {problem}")
    return snapshot  # as it was written: a float that was written as an integer stays one


def _shown(value: object) -> str:
    """A member of unknown type and size, for a message."""
    return repr(value)[:40]


def _inconsistency(state: SnapshotState, space: FeatureSpace) -> str | None:
    """What does not fit together, or does not fit the feature space; None if everything does."""
    scoring, training = state.scoring, state.training
    if state.features is not msgspec.UNSET and state.features != len(space.names):
        return f"it has {state.features} features, the catalogue has {len(space.names)}"
    if training.positives > scoring.labels:
        return "more positive labels than labels"
    if training.contest.answering != scoring.answering:
        return "scoring and training name different active models"
    heads = [("champion", scoring.champion)]
    logs = [] if training.journal is msgspec.UNSET else [training.journal]
    second, learned = scoring.involuntary, training.involuntary
    if second is not msgspec.UNSET and learned is not msgspec.UNSET:
        if second.positives > learned.labels:
            return "more positive involuntary labels than labels"
        heads.append(("involuntary champion", second.champion))
        logs.append(learned.journal)
    elif second is not learned:
        return "involuntary is in one of scoring and training only"
    problems = [_champion_problem(name, head, space) for name, head in heads]
    problems += [_challenger_problem(scoring.challenger, space), *map(_log_problem, logs)]
    return next((problem for problem in problems if problem), None)


def _champion_problem(name: str, state: ChampionState, space: FeatureSpace) -> str | None:
    values, size = len(space.value_names), 2 + len(state.names)
    scaler = state.scaler
    if not len(scaler.count) == len(scaler.mean) == len(scaler.m2) == values:
        return f"the scaler of the {name} does not have {values} values"
    if len(set(state.names)) != len(state.names) or not set(state.names) <= set(space.input_names):
        return f"the {name} has an input that the catalogue does not have, or has one twice"
    if len(state.weights) != size or len(state.covariance) != size * (size + 1) // 2:
        return f"the {name} does not have weights and covariances of {size} inputs"
    covariance = np.zeros((size, size))
    covariance[np.tril_indices(size)] = state.covariance
    covariance.flat[:: size + 1] += _ROUNDING
    try:
        np.linalg.cholesky(covariance)  # reads the lower triangle only
    except np.linalg.LinAlgError:
        return f"the covariance of the {name} is not a covariance: it has a negative eigenvalue"
    return None


def _challenger_problem(state: ChallengerState, space: FeatureSpace) -> str | None:
    names, scaled = set(space.value_names), [name for name, *_ in state.scaler]
    weighted, constant = [name for name, _ in state.weights], [column for column, *_ in state.constant]
    for found, known in ((scaled, names), (weighted, set(scaled)), (constant, set(range(len(names))))):
        if len(set(found)) != len(found) or not set(found) <= known:
            return "the challenger has a value that the catalogue does not have, or has one twice"
    if not all(count for _, count, *_ in [*state.scaler, *state.constant]):
        return "the challenger has a value that it never saw"
    return None


def _log_problem(state: QualityLogState) -> str | None:
    """Means are totals divided by weights: a weight of 0 belongs to no label."""
    if bool(state.quality.labels) != bool(state.quality.cells) or (state.today[1] and not state.sums[0]):
        return "the quality log has labels without weight"
    if not all(negative + positive >= max(0.999 * p, 5e-324) for _, negative, positive, p in state.quality.cells):
        return "the quality log has a cell of less weight than probability"
    if any(positives > labels for _, labels, positives, *_ in [*state.days, (*state.today, 0)]):
        return "the quality log has more positive labels than labels"
    return None
