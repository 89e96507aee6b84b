"""Skip records that a reader cannot use: count each, report it once, and continue with the next.

Anyone with write access to a topic can write records that no reader expects. A reader decodes each record by a function
that depends on the record only, and passes it to `UnusableRecords.use`. Tested by
tests/streams/kafka/test_unusable_records.py.
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Final, TypeVar

import msgspec

from streams.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")
Report = Callable[[Any, str], None]
"""Reports a skipped record and the reason."""

# A reader that starts again after a failure reads some records twice. A position has 100 bytes: 1 MB.
POSITIONS_KEPT: Final = 10_000
_KEY_CHARACTERS: Final = 80


class UnusableRecord(ValueError):
    """The record does not fit its topic. The message gives the reason and quotes nothing of the record."""


class UnusableRecords:
    """The records that a reader skipped.

    Args:
        report: called once for each of them; the default logs a warning.
        named: topics whose keys name a figure or a model. The log shows these keys as text. Keys of all other topics
            are customer ids, which the log does not contain: it shows a hash.

    Attributes:
        counts: number of skipped records by topic.
    """

    def __init__(self, report: Report | None = None, named: Collection[str] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._named = frozenset(named)
        self._report = report or self._log
        self._seen: OrderedDict[tuple[str, int, int], None] = OrderedDict()

    @property
    def total(self) -> int:
        """Number of skipped records of all topics."""
        return self.counts.total()

    def use(self, record: Any, decode: Callable[[Any], T]) -> T | None:
        """Return the decoded record; None if it cannot be used.

        Args:
            record: of aiokafka.
            decode: depends on the record only, so that every exception is the record's fault.
        """
        try:
            return decode(record)
        except Exception as failure:
            self.skip(record, reason_of(failure))
            return None

    def skip(self, record: Any, reason: str) -> None:
        """Count and report a record, unless it was skipped before."""
        position = record.topic, record.partition, record.offset
        if position in self._seen:
            return
        self._seen[position] = None
        if len(self._seen) > POSITIONS_KEPT:
            self._seen.popitem(last=False)
        self.counts[record.topic] += 1
        self._report(record, reason)

    def _log(self, record: Any, reason: str) -> None:
        key = key_text(record.key) if record.topic in self._named else key_hash(record.key)
        log.warning(
            "%s/%d@%d: record skipped (key %s): %s",
            record.topic,
            record.partition,
            record.offset,
            key,
            reason,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )


def reason_of(failure: Exception) -> str:
    """Describe why a record cannot be used, without quoting it.

    >>> reason_of(UnusableRecord("seq is negative")), reason_of(KeyError("anna@example.org"))
    ('seq is negative', 'KeyError')
    """
    if isinstance(failure, UnusableRecord | msgspec.MsgspecError):
        return str(failure)
    return type(failure).__name__


def key_text(key: bytes | None) -> str:
    r"""Show a key on one line.

    >>> key_text(b"model.quality/0"), key_text(b"\xff\x1b[2J"), key_text(None)
    ("'model.quality/0'", "'\\xff\\x1b[2J'", 'none')
    """
    if key is None:
        return "none"
    text = key[:_KEY_CHARACTERS].decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"'{shown}'" + ("..." if len(key) > _KEY_CHARACTERS else "")


def key_hash(key: bytes | None) -> str:
    """Identify a key that may be a customer id.

    >>> key_hash(b"anna@example.org"), key_hash(None)
    ('sha256 a3bf86238a1c', 'none')
    """
    return "none" if key is None else f"sha256 {hashlib.sha256(key).hexdigest()[:12]}"
