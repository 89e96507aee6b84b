"""Training examples: freeze features and probability with a snapshot, and join them with its label once it matures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.definition.goals import Goals
from models.experience.context import ExperienceContext, experience_context
from models.features.scoring_point import SNAPSHOT, ScoringPoint
from models.labels.labeller import MaturedLabel
from models.learning.combined_scores import CombinedScores
from models.profile.codec import ProfileError
from models.profile.keys import StateStore, snapshot_key

Floats = NDArray[np.float64]
Changes = dict[bytes, bytes | None]


class InvoluntaryLabel(msgspec.Struct, gc=False, frozen=True):
    """The involuntary label of an example, and the probability that was predicted for it."""

    label: int
    probability: float | None  # None: frozen by a release without an involuntary label
    churned_ms: int = 0


class TrainingExample(msgspec.Struct, gc=False):
    """A training example: features and probability as of the snapshot, and the matured label."""

    customer: str
    snapshot_ms: int
    release_ms: int
    features: bytes  # float64[d], NaN for missing
    population: bytes  # float64[d], peer means at the snapshot
    probability: float
    members: tuple[float, float, float]  # predicted by champion, challenger and prior alone
    label: int
    labels: dict[str, int]
    model: str
    definition: str
    churned_ms: int = 0  # time of the event that made the label 1, 0 for none
    involuntary: InvoluntaryLabel | None = None  # only if the churn definition has an involuntary label
    experience_context: ExperienceContext | None = None  # not published; None: frozen by a release without it

    @property
    def lost_ms(self) -> int:
        """When the customer churned by either cause within its horizon, 0 for never."""
        return self.churned_ms or (0 if self.involuntary is None else self.involuntary.churned_ms)


class ScoreRows(Protocol):
    """Scores of n rows; see `models.learning.scorer`."""

    @property
    def probability(self) -> Floats: ...
    def members(self, rows: Any = ...) -> Floats: ...


class _FrozenSnapshot(msgspec.Struct, array_like=True, gc=False):
    features: bytes
    population: bytes
    probability: float
    members: tuple[float, float, float]
    model: str
    involuntary: float | None = None  # probability of involuntary churn, if it has its own label
    experience_context: ExperienceContext | None = None


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_FrozenSnapshot)


def freeze(
    points: Sequence[ScoringPoint],
    x: Floats,
    m: Floats,
    scores: ScoreRows | CombinedScores,
    model: str,
    goals: Goals,
    changes: Changes,
) -> None:
    """Freeze every snapshot among the points of a batch: add a record of its features and probability.

    Args:
        points: Scoring points, in the order of the batch's rows.
        x, m: Features and peer means of each point, (n, d).
        scores: Scores of each point. With an involuntary label, the voluntary scores are frozen as `probability` and
            `members` (`models.learning.combined_scores`).
        model: Version of the model that computed the scores.
        goals: The declared goals.
        changes: Store changes that the records are added to.
    """
    rows = [i for i, point in enumerate(points) if point.trigger == SNAPSHOT]
    if not rows:
        return
    involuntary = None
    if isinstance(scores, CombinedScores):
        involuntary, scores = scores.involuntary.probability, scores.voluntary
    # encode each array once, then slice the bytes into rows
    width = x.itemsize * x.shape[1]
    features, peer_means = x[rows].tobytes(), m[rows].tobytes()
    probabilities, members = scores.probability[rows].tolist(), scores.members(rows).tolist()
    encode, start = _ENCODER.encode, 0
    for i, probability, row_members in zip(rows, probabilities, members, strict=True):
        point, end = points[i], start + width
        frozen = _FrozenSnapshot(
            features=features[start:end],
            population=peer_means[start:end],
            probability=probability,
            members=row_members,
            model=model,
            involuntary=None if involuntary is None else float(involuntary[i]),
            experience_context=experience_context(point, goals),
        )
        changes[snapshot_key(point.key, point.at_ms)] = encode(frozen)
        start = end


def build_examples(
    matured: Sequence[MaturedLabel], store: StateStore, changes: Changes, wait_ms: int, definition: str
) -> list[TrainingExample]:
    """Join matured labels with their frozen snapshots, in order, and delete the frozen snapshots.

    Args:
        matured: The labels.
        store: Where frozen snapshots of earlier batches are read from.
        changes: Store changes of this batch; the deletions are added to it.
        wait_ms: Time from a snapshot to the release of its label: horizon and grace.
        definition: Hash of the churn definition.

    Raises ProfileError if a frozen snapshot is missing from the store.
    """
    keys = [snapshot_key(label.key, label.pending.snapshot_ms) for label in matured]
    in_store = [key for key in keys if key not in changes]
    stored = dict(zip(in_store, store.get_many(in_store), strict=True))
    examples = []
    for label, key in zip(matured, keys, strict=True):
        data = changes.get(key) or stored.get(key)
        changes[key] = None
        if data is None:
            raise ProfileError(
                f"a frozen snapshot, taken at {label.pending.snapshot_ms} (epoch ms), is missing: rebuild the store"
            )
        examples.append(_example(label, read_frozen(data), wait_ms, definition))
    return examples


def read_frozen(data: bytes) -> _FrozenSnapshot:
    """Decode a frozen snapshot. Raises ProfileError for anything else."""
    try:
        frozen = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"a frozen snapshot is damaged ({error})") from None
    if len(frozen.features) % 8 or len(frozen.features) != len(frozen.population):
        raise ProfileError("a frozen snapshot is damaged: it has no features")
    return frozen


def _example(label: MaturedLabel, frozen: _FrozenSnapshot, wait_ms: int, definition: str) -> TrainingExample:
    involuntary = None
    if label.involuntary is not None:
        involuntary = InvoluntaryLabel(label.involuntary, frozen.involuntary, label.lost_ms)
    snapshot_ms = label.pending.snapshot_ms
    return TrainingExample(
        customer=label.key[1:].decode(),
        snapshot_ms=snapshot_ms,
        release_ms=snapshot_ms + wait_ms,
        features=frozen.features,
        population=frozen.population,
        probability=frozen.probability,
        members=frozen.members,
        label=label.label,
        labels=label.labels,
        model=frozen.model,
        definition=definition,
        churned_ms=label.churned_ms,
        involuntary=involuntary,
        experience_context=frozen.experience_context,
    )
