"""Read lines from a plain or gzipped file, or from standard input, and number them."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from array import array
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import IO, Any, Final

from streams.errors import ChurnSignalsError, ConfigurationError

_GZIP_MAGIC = b"\x1f\x8b"
# The longest line that is read into memory: 64 times the largest event. A gzipped file of 13 MB can hold one of 3 GB.
LINE_MAX_BYTES: Final = 16 * 1024 * 1024


class InputFile:
    """The lines of a plain or gzipped file, or of standard input ("-"), as bytes without line ends.

    The first two bytes decide whether the file is gzipped, not its name.

    Attributes:
        size: Bytes on disk; 0 for standard input.
        position: Bytes read from disk so far. It ends at `size` for plain and gzipped files.

    Raises:
        ConfigurationError: the file cannot be opened.
        ChurnSignalsError: the file is damaged, or a line is longer than `LINE_MAX_BYTES`; raised while iterating.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        try:
            self._raw: IO[bytes] = sys.stdin.buffer if self.path == "-" else open(self.path, "rb")  # noqa: SIM115
            self.size = os.fstat(self._raw.fileno()).st_size if self.path != "-" else 0
            gzipped = _first_bytes(self._raw) == _GZIP_MAGIC
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.path}: {error.strerror or error}.") from None
        self._lines: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if gzipped else self._raw  # type: ignore[assignment]

    @property
    def position(self) -> int:
        """Bytes read from disk so far; 0 for standard input."""
        return self._raw.tell() if self.size else 0

    def __iter__(self) -> Iterator[bytes]:
        number = 0
        try:
            for number, line in enumerate(iter(partial(self._lines.readline, LINE_MAX_BYTES + 1), b""), 1):  # noqa: B007
                if len(line) > LINE_MAX_BYTES and not line.endswith(b"\n"):
                    break
                yield line.rstrip(b"\r\n")
            else:
                return
        except (OSError, EOFError, zlib.error) as error:
            raise ChurnSignalsError(f"{self.path} is damaged after line {number}: {error}.") from None
        raise ChurnSignalsError(
            f"{self.path}: line {number} has more than {LINE_MAX_BYTES:,} bytes. Write one event per line."
        )

    def __enter__(self) -> InputFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self._raw is not sys.stdin.buffer:
            self._lines.close()
            self._raw.close()


class LineNumbers:
    """The numbers of the lines that a file's events come from, 8 bytes each.

    >>> numbers = LineNumbers()
    >>> numbers.add(1), numbers.add(4), numbers.line_of(1)
    (None, None, 4)
    """

    def __init__(self) -> None:
        self._lines = array("Q")

    def add(self, line: int) -> None:
        """Add the line of the next event."""
        self._lines.append(line)

    def line_of(self, event: int) -> int:
        """Return the number of an event's line, from 1. Events are numbered from 0."""
        return self._lines[event]


def _first_bytes(file: IO[bytes]) -> bytes:
    peek: Any = getattr(file, "peek", None)
    return bytes(peek(2)[:2]) if peek is not None else b""
