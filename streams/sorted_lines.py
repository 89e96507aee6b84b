"""Sort the lines of an event file by event time, on disk if they do not fit into memory."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from struct import Struct
from typing import IO, Final

CHUNK_BYTES: Final = 256 * 1024 * 1024
"""Lines sorted in memory at once. Each chunk is one temporary file, so a process may sort some 250 GB."""

_LINE_OVERHEAD: Final = 200  # bytes of a line's objects in memory
_HEAD: Final = Struct("<qqI")  # time, number, bytes of the line

Numbered = tuple[int, int, bytes]


def sorted_lines(lines: Iterable[bytes], chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield lines with their original numbers, from 1 on, in order of event time.

    Lines of equal time stay in their order. A line that is no event stays behind the line before it.

    Args:
        lines: One JSON object per line.
        chunk_bytes: Memory for lines, in bytes; the rest is in temporary files, which are removed at the end.

    Raises:
        OSError: a temporary file cannot be written.
    """
    with _Chunks() as chunks:
        chunk: list[Numbered] = []
        size = 0
        for numbered in _with_times(lines):
            chunk.append(numbered)
            size += len(numbered[2]) + _LINE_OVERHEAD
            if size >= chunk_bytes:
                chunks.write(sorted(chunk))
                chunk, size = [], 0
        for _, number, line in heapq.merge(*chunks.read(), sorted(chunk)):
            yield number, line


def _with_times(lines: Iterable[bytes]) -> Iterator[Numbered]:
    from models.events.event import Event, decode

    newest_ms = 0
    for number, line in enumerate(lines, 1):
        event = decode(line, (), None) if line else None
        if isinstance(event, Event):
            newest_ms = event.time_ms
        yield newest_ms, number, line


class _Chunks:
    """Sorted chunks in temporary files without a name, which no other user can open."""

    def __init__(self) -> None:
        self._files: list[IO[bytes]] = []

    def write(self, chunk: Iterable[Numbered]) -> None:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._files.append(file)
        for time_ms, number, line in chunk:
            file.write(_HEAD.pack(time_ms, number, len(line)) + line)
        file.seek(0)

    def read(self) -> list[Iterator[Numbered]]:
        return [self._lines_of(file) for file in self._files]

    @staticmethod
    def _lines_of(file: IO[bytes]) -> Iterator[Numbered]:
        while head := file.read(_HEAD.size):
            time_ms, number, size = _HEAD.unpack(head)
            yield time_ms, number, file.read(size)

    def __enter__(self) -> _Chunks:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()


__all__ = ["CHUNK_BYTES", "sorted_lines"]
