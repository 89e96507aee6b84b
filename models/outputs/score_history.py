"""A customer's newest scores: 8 bytes each as stored, and the JSON array that is published."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

HISTORY: Final = 32  # scores kept for readers
_ENTRY: Final = struct.Struct("<II")  # seconds since the epoch, probability in millionths
HISTORY_BYTES: Final = HISTORY * _ENTRY.size
_EMPTY_BYTES: Final = len(b"[]")
_encode: Final = msgspec.json.Encoder().encode


def append_history(history: bytes, at_ms: int, probability: float) -> bytes:
    """The history with one more score, 8 bytes each; the oldest beyond `HISTORY` is dropped.

    >>> unpack_history(append_history(append_history(b"", 5_000, 0.25), 7_999, 1 / 3))
    [(5, 250000), (7, 333333)]
    """
    return history[-_ENTRY.size * (HISTORY - 1) :] + _ENTRY.pack(at_ms // 1000, round(probability * 1e6))


def without_newest(history: bytes, at_ms: int) -> tuple[bytes | None, float | None]:
    """The history without its newest score, if that is of `at_ms`, and the probability before it; otherwise None, None.

    >>> history = append_history(append_history(b"", 5_000, 0.25), 7_999, 0.5)
    >>> rest, before = without_newest(history, 7_000)
    >>> unpack_history(rest or b""), before, without_newest(history, 9_000)
    ([(5, 250000)], 0.25, (None, None))
    """
    scores = unpack_history(history)
    if not scores or scores[-1][0] != at_ms // 1000:
        return None, None
    return history[: -_ENTRY.size], scores[-2][1] / 1e6 if len(scores) > 1 else None


def unpack_history(history: bytes) -> list[tuple[int, int]]:
    """(seconds since the epoch, probability in millionths), oldest first."""
    return list(_ENTRY.iter_unpack(history))


def history_json(history: bytes) -> bytes:
    """The history as JSON.

    >>> history_json(append_history(append_history(b"", 5_000, 0.25), 7_999, 1 / 3)), history_json(b"")
    (b'[[5,250000],[7,333333]]', b'[]')
    """
    return _encode(unpack_history(history))


def append_history_text(text: bytes, full: bool, at_ms: int, probability: float) -> bytes:
    """`history_json` after `append_history`, computed from the text before; `full`: it has `HISTORY` scores.

    >>> append_history_text(append_history_text(b"[]", False, 5_000, 0.25), False, 7_999, 1 / 3)
    b'[[5,250000],[7,333333]]'
    >>> append_history_text(b"[[5,250000],[7,333333]]", True, 9_000, 0.5)
    b'[[7,333333],[9,500000]]'
    """
    entry = b"[%d,%d]]" % (at_ms // 1000, round(probability * 1e6))
    if len(text) <= _EMPTY_BYTES:
        return b"[" + entry
    if full:
        return b"[" + text[text.index(b"]") + 2 : -1] + b"," + entry
    return text[:-1] + b"," + entry
