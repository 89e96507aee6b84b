"""Dead letters by reason, without their contents: where they lie, how large they are, and which fields they have."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

import orjson

from streams.scoring.dead_letters import DeadLetter

SAMPLES_KEPT = 5
FIELDS_SHOWN, FIELD_CHARACTERS = 12, 40
# A letter may be 1 MB of anything; the names of its fields are worth parsing this much.
_PARSED_BYTES = 64 * 1024


class DeadLetterSample(NamedTuple):
    """One dead letter, without what it says."""

    partition: int
    offset: int
    message: str
    bytes: int
    fields: tuple[str, ...]


class DeadLetterSamples:
    """Counts what it is given, and keeps the newest samples of each reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, deque[DeadLetterSample]] = {}

    def add(self, record: Any) -> None:
        """A record of the dead-letter topic."""
        letter = DeadLetter.of(record)
        reason = letter.reason[:FIELD_CHARACTERS]
        if reason not in self.samples and len(self.samples) >= FIELDS_SHOWN * 4:
            reason = "others"  # somebody else writes to the topic
        self.counts[reason] += 1
        size = len(letter.value or b"")
        self.samples.setdefault(reason, deque(maxlen=SAMPLES_KEPT)).appendleft(
            DeadLetterSample(letter.partition, letter.offset, letter.exception, size, field_names(letter.value))
        )


def field_names(value: bytes | None) -> tuple[str, ...]:
    """The names of an object's members; nothing of what is in them.

    >>> field_names(b'{"type":"track","email":"a@b.c"}'), field_names(b"[1]"), field_names(None)
    (('type', 'email'), (), ())
    """
    if not value or len(value) > _PARSED_BYTES:
        return ()
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ()
    return tuple(name[:FIELD_CHARACTERS] for name in list(found)[:FIELDS_SHOWN]) if isinstance(found, dict) else ()
