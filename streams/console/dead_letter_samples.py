"""Count dead letters by reason and keep samples without contents: position, size and field names."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, NamedTuple

import orjson

from streams.scoring.dead_letters import DeadLetter

SAMPLES_KEPT = 5
FIELDS_SHOWN, FIELD_CHARACTERS = 12, 40
# A dead letter may hold 1 MB of anything. Larger ones than this are not parsed for field names.
_PARSED_BYTES = 64 * 1024


class DeadLetterSample(NamedTuple):
    """One dead letter without its content."""

    partition: int
    offset: int
    message: str
    bytes: int
    fields: tuple[str, ...]


class DeadLetterSamples:
    """Counts dead letters and keeps the newest samples of each reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: dict[str, deque[DeadLetterSample]] = {}

    def add(self, record: Any) -> None:
        """Add a record of the dead-letter topic."""
        letter = DeadLetter.of(record)
        reason = letter.reason[:FIELD_CHARACTERS]
        if reason not in self.samples and len(self.samples) >= FIELDS_SHOWN * 4:
            reason = "others"  # bounds memory when another client writes to the topic
        self.counts[reason] += 1
        size = len(letter.value or b"")
        self.samples.setdefault(reason, deque(maxlen=SAMPLES_KEPT)).appendleft(
            DeadLetterSample(letter.partition, letter.offset, letter.exception, size, field_names(letter.value))
        )

    def by_reason(self) -> list[tuple[str, int, list[DeadLetterSample]]]:
        """Return each reason with its count and samples, the most frequent first."""
        return [(reason, count, list(self.samples[reason])) for reason, count in self.counts.most_common()]


def field_names(value: bytes | None) -> tuple[str, ...]:
    """Return the member names of a JSON object, without values.

    >>> field_names(b'{"type":"track","email":"a@b.c"}'), field_names(b"[1]"), field_names(None)
    (('type', 'email'), (), ())
    """
    if not value or len(value) > _PARSED_BYTES:
        return ()
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        return ()
    return (
        tuple(name[:FIELD_CHARACTERS] for name in list(document)[:FIELDS_SHOWN]) if isinstance(document, dict) else ()
    )
