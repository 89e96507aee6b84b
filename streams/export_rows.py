"""Read the rows of an export: JSON in lines or in one document, and CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

import orjson

from streams.errors import ChurnSignalsError, ConfigurationError

OBJECT_MAX_BYTES: Final = 256 * 1024 * 1024
"""The longest JSON object that is read into memory. A page of an API's answer has at most a few MB."""

DELIMITERS: Final = (",", ";", "\t", "|")

_BOM: Final = b"\xef\xbb\xbf"
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}]')
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")

NumberedObject = tuple[int, dict[str, Any] | str]


def json_rows(lines: Iterable[bytes], wrappers: Sequence[str] = (), unwrap: str = "") -> Iterator[NumberedObject]:
    """Yield each row with the line where it begins; "not_json" or "not_an_object" for a line that has none.

    Accepts one object per line, a list of objects, and pages of an API's answer, also over several lines.

    Args:
        lines: Lines without their ends.
        wrappers: Keys under which a page has its rows.
        unwrap: The key under which each element of a page has the row.

    Raises:
        ChurnSignalsError: one object is longer than `OBJECT_MAX_BYTES`.

    >>> list(json_rows([b'[{"a": 1},', b' {"a": 2}]']))
    [(1, {'a': 1}), (2, {'a': 2})]
    >>> list(json_rows([b'{"data": [{"a": 1}], "has_more": false}', b'{"a": 2}', b'{"a": '], ["data"]))
    [(1, {'a': 1}), (2, {'a': 2}), (3, 'not_json')]
    """
    numbered = ((number, line.removeprefix(_BOM)) for number, line in enumerate(lines, 1))
    stated = ((number, line.strip()) for number, line in numbered)
    filled = ((number, line) for number, line in stated if line)
    first = next(filled, None)
    if first is None:
        return
    texts = chain([first], filled)
    for number, text in _objects(texts) if _is_document(first[1]) else texts:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            yield number, "not_json"
            continue
        for row in _unwrapped(value, wrappers, unwrap):
            yield number, row if isinstance(row, dict) else "not_an_object"


def _is_document(line: bytes) -> bool:
    """Check whether the first line begins a document of several lines, rather than being a row of its own."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return line[:1] == b"[" or line[-1:] in b"[{,"
    return False


def _objects(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Yield the outermost objects. A string never spans lines, so each line is scanned on its own."""
    depth = size = begun = 0
    parts: list[bytes] = []
    for number, line in lines:
        start = 0
        for token in _TOKEN.finditer(line):
            kind = line[token.start()]
            if kind == _OPEN:
                if depth == 0:
                    start, begun = token.start(), number
                depth += 1
            elif kind == _CLOSE and depth:
                depth -= 1
                if depth == 0:
                    yield begun, b"\n".join([*parts, line[start : token.end()]])
                    parts, size = [], 0
        if depth:
            parts.append(line[start:])
            size += len(line)
            if size > OBJECT_MAX_BYTES:
                raise ChurnSignalsError(
                    f"the object that begins in line {begun} has more than {OBJECT_MAX_BYTES:,} bytes. Write one event"
                    " per line."
                )
    if parts:
        yield begun, b"\n".join(parts)


def _unwrapped(value: Any, wrappers: Sequence[str], unwrap: str) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _unwrapped(element, wrappers, unwrap)
        return
    if isinstance(value, dict):
        page = next((value[key] for key in wrappers if isinstance(value.get(key), list)), None)
        if page is not None:
            yield from _unwrapped(page, (), unwrap)
            return
        if isinstance(value.get(unwrap), dict):
            yield value[unwrap]
            return
    yield value


class CsvRows:
    """The rows of a CSV file: cells by column, with the line where each begins.

    Args:
        lines: Lines without their ends.
        delimiter: One character; None for the one that the header has most often.

    Attributes:
        header: The columns.

    Raises:
        ConfigurationError: there is no header, or the file is not UTF-8.
        ChurnSignalsError: a quoted cell does not end; raised while iterating.

    >>> rows = CsvRows([b"\\xef\\xbb\\xbfid;note", b'1;"two', b'lines"', b"2"])
    >>> rows.header, list(rows)
    (['id', 'note'], [(2, {'id': '1', 'note': 'two\\nlines'}), (4, 'wrong_columns')])
    """

    def __init__(self, lines: Iterable[bytes], delimiter: str | None = None) -> None:
        texts = _texts(lines)
        first = next((line for line in texts if line.strip()), None)
        if first is None:
            raise ConfigurationError("the file has no header: its first line must have the names of the columns.")
        self._reader = csv.reader(chain([first], texts), delimiter=delimiter or _delimiter(first), strict=True)
        self.header = [column.strip() for column in self._next(1) or []]

    def _next(self, line: int) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise ChurnSignalsError(
                f"the row that begins in line {line} cannot be read: {error}. Check its quotes, and --delimiter."
            ) from None

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | str]]:
        line = self._reader.line_num + 1
        while (cells := self._next(line)) is not None:
            if cells:
                whole = len(cells) == len(self.header)
                yield line, dict(zip(self.header, cells, strict=True)) if whole else "wrong_columns"
            line = self._reader.line_num + 1


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    """Decode lines and restore their ends, which belong to a quoted cell of several lines."""
    for number, line in enumerate(lines, 1):
        try:
            yield line.removeprefix(_BOM if number == 1 else b"").decode("utf-8") + "\n"
        except UnicodeDecodeError:
            raise ConfigurationError(f"line {number} is not UTF-8 text. Save the file as UTF-8.") from None


def _delimiter(header: str) -> str:
    """Return the delimiter that a header has most often outside quotes."""
    plain = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=plain.count)


__all__ = ["DELIMITERS", "OBJECT_MAX_BYTES", "CsvRows", "json_rows"]
