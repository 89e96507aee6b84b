"""Training examples: features and probability frozen with a snapshot, found again when its label is known."""

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
    """The second label of an example: lost by payment or not, and what had been said of it."""

    label: int
    probability: float | None  # None: frozen by a release that had no such label
    churned_ms: int = 0


class TrainingExample(msgspec.Struct, gc=False):
    """A matured training example: what was known at the snapshot, and what came of it."""

    customer: str
    snapshot_ms: int
    release_ms: int
    features: bytes  # float64[d], NaN for missing
    population: bytes  # float64[d], the level at the snapshot
    probability: float
    members: tuple[float, float, float]  # what champion, challenger and prior alone answered
    label: int
    labels: dict[str, int]
    model: str
    definition: str
    churned_ms: int = 0  # time of the event that made the label 1, 0 for none
    involuntary: InvoluntaryLabel | None = None  # the label of losses by payment, where the definition of churn has one
    experience_context: ExperienceContext | None = (
        None  # None: frozen by a release that did not note them; not published
    )

    @property
    def lost_ms(self) -> int:
        """When the customer was lost by either cause within its horizon, 0 for not."""
        return self.churned_ms or (0 if self.involuntary is None else self.involuntary.churned_ms)


class ScoreRows(Protocol):
    """What a scorer says of n rows; see `models.learning.scorer`."""

    @property
    def probability(self) -> Floats: ...
    def members(self, rows: Any = ...) -> Floats: ...


class _FrozenSnapshot(msgspec.Struct, array_like=True, gc=False):
    features: bytes
    population: bytes
    probability: float
    members: tuple[float, float, float]
    model: str
    involuntary: float | None = None  # probability of a loss by payment, where it has a label of its own
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
    """Adds a record for every snapshot among the points.

    Args:
        points: Of a batch, in the order of its rows.
        x, m: Features and population level of each, (n, d).
        scores: Of each; of two causes, those of the first one (`models.learning.combined_scores`).
        model: The version that made them.
        goals: Those that are declared.
        changes: Where the records are added.
    """
    rows = [i for i, point in enumerate(points) if point.trigger == SNAPSHOT]
    if not rows:
        return
    second = None
    if isinstance(scores, CombinedScores):
        second, scores = scores.involuntary.probability, scores.voluntary
    # what lies in one array is one text of bytes too, cut into rows
    width = x.itemsize * x.shape[1]
    features, levels = x[rows].tobytes(), m[rows].tobytes()
    probabilities, members = scores.probability[rows].tolist(), scores.members(rows).tolist()
    encode, at = _ENCODER.encode, 0
    for i, probability, each in zip(rows, probabilities, members, strict=True):
        point, end = points[i], at + width
        lost = None if second is None else float(second[i])
        found = experience_context(point, goals)
        frozen = _FrozenSnapshot(features[at:end], levels[at:end], probability, each, model, lost, found)
        changes[snapshot_key(point.key, point.at_ms)] = encode(frozen)
        at = end


def build_examples(
    released: Sequence[MaturedLabel], store: StateStore, changes: Changes, wait_ms: int, definition: str
) -> list[TrainingExample]:
    """The examples of released labels, in their order; their frozen records are removed.

    Raises ProfileError if one is missing: the store lost it.
    """
    keys = [snapshot_key(r.key, r.pending.snapshot_ms) for r in released]
    unknown = [key for key in keys if key not in changes]
    stored = dict(zip(unknown, store.get_many(unknown), strict=True))
    examples = []
    for release, key in zip(released, keys, strict=True):
        data = changes.get(key) or stored.get(key)
        changes[key] = None
        if data is None:
            raise ProfileError(
                f"a pending snapshot, taken at {release.pending.snapshot_ms} (epoch ms), is missing: rebuild the store"
            )
        frozen = _DECODER.decode(data)
        lost = release.involuntary
        second = None if lost is None else InvoluntaryLabel(lost, frozen.involuntary, release.lost_ms)
        snapshot_ms = release.pending.snapshot_ms
        examples.append(
            TrainingExample(
                release.key[1:].decode(),
                snapshot_ms,
                snapshot_ms + wait_ms,
                frozen.features,
                frozen.population,
                frozen.probability,
                frozen.members,
                release.label,
                release.labels,
                frozen.model,
                definition,
                release.churned_ms,
                second,
                frozen.experience_context,
            )
        )
    return examples
