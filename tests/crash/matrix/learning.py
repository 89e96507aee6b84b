"""Check that every snapshot of the trainer equals the result of learning the labels topic in order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Hashable

import numpy as np

from models.labels.codec import read_label
from models.learning.feature_space import SPACE
from models.learning.model import Model
from models.profile.mergeable import DAY_MS
from streams.kafka.model_reader import LABELS_OFFSET_HEADER
from streams.topics import LABELS, MODEL, name_of
from tests.broker.oracle import read
from tests.crash.harness import Run
from tests.crash.matrix.scene import TRAINED
from tests.waiting import WAIT_S

_WAIT_S = WAIT_S


async def learned(run: Run, taught: bytes | None = None) -> tuple[Counter[Hashable], Counter[Hashable]]:
    """Return (expected, found): each published snapshot by its labels offset. The last one covers all labels.

    Args:
        taught: The snapshot from which the trainer continued; None for a new model.
    """
    labels = await read(run, name_of(LABELS, run.settings))
    last = labels[-1].offset if labels else -1
    deadline = time.monotonic() + _WAIT_S
    while True:
        snapshots = await read(run, name_of(MODEL, run.settings))
        records = [r for r in snapshots if r.key.startswith(TRAINED.encode()) and r.value != taught]
        offsets = {int(dict(r.headers)[LABELS_OFFSET_HEADER]) for r in records}
        if max(offsets, default=0) > last or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    found: Counter[Hashable] = Counter((r.key, r.value) for r in records if b"/" in r.key)
    expected: Counter[Hashable] = Counter()
    model, done = (Model(SPACE) if taught is None else Model.restore(taught, SPACE)), 0
    for offset in sorted(offsets | {last + 1} if max(offsets, default=0) <= last else offsets):
        while done < len(labels) and labels[done].offset < offset:
            example = read_label(labels[done].value)
            x, m = np.frombuffer(example.features), np.frombuffer(example.population)
            day = example.release_ms // DAY_MS
            model.learn(x, m, bool(example.label), day, example.probability, example.members, example.involuntary)
            done += 1
        expected[f"{TRAINED}/{offset}".encode(), model.snapshot()] += 1
    newest = next((r.value for r in reversed(records) if r.key == TRAINED.encode()), None)
    found[b"newest", newest] += 1
    expected[b"newest", model.snapshot()] += 1
    return expected, found
