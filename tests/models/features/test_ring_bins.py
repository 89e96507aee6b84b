"""Rings of bins: sums of bytes (four at a time) and of wider counts equal plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from models.features.ring_bins import Ring


@pytest.mark.parametrize("size", [32, 96])
@pytest.mark.parametrize("kind", [np.uint8, np.int32])
@pytest.mark.parametrize("most", [1, 255])
def test_window_sums_equal_plain_sums(size: int, kind: type[np.generic], most: int) -> None:
    """Every width and every newest slot, including full bins."""
    rng = np.random.default_rng(size + most)
    counts: np.ndarray = rng.integers(0, most + 1, (size + 1, size)).astype(kind)
    counts[-1] = most
    slot = np.append(np.arange(size), size // 2)
    ring = Ring(counts, slot)
    turned = np.stack([np.roll(row, -s - 1)[::-1] for row, s in zip(counts.astype(np.int64), slot, strict=True)])
    for width in (-1, 0, 1, 2, size // 3, size - 1, size, size + 5):
        expected = turned[:, : max(width, 0)].sum(axis=1)
        assert ring.newest(np.full(len(slot), width)).tolist() == expected.tolist()
    for width in (1, 2, 28, size):
        runs = np.lib.stride_tricks.sliding_window_view(turned, width, axis=1).sum(axis=2)
        assert ring.widest(width).tolist() == runs.max(axis=1).tolist()
