"""Rows of exports: JSON in lines, lists and pages, on one line or several; CSV with quotes, marks and delimiters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streams import export_rows
from streams.errors import ChurnSignalsError, ConfigurationError
from streams.export_rows import CsvRows, json_rows

ROWS: list[dict[str, Any]] = [{"a": 1, "text": 'a "brace" {'}, {"a": 2, "inner": {"b": [1, {"c": "\\"}]}}, {"a": 3}]


def read(text: str, wrappers: tuple[str, ...] = (), unwrap: str = "") -> list[tuple[int, Any]]:
    return list(json_rows((line.encode() for line in text.split("\n")), wrappers, unwrap))


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(json.dumps, ROWS)),
        "\ufeff" + "\n\n".join(map(json.dumps, ROWS)) + "\n",
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "[" + "\n,".join(map(json.dumps, ROWS)) + "]",
        "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
        json.dumps({"object": "list", "data": ROWS}),
        json.dumps({"object": "list", "data": ROWS}, indent=1),
        "\n".join(json.dumps({"data": [row], "has_more": True}) for row in ROWS),
        "\n".join(json.dumps({"data": [row]}, indent=1) for row in ROWS),
    ],
)
def test_every_form_of_an_export_has_the_same_rows(text: str) -> None:
    assert [row for _, row in read(text, ("data",))] == ROWS


def test_rows_have_the_lines_in_which_they_begin() -> None:
    assert [line for line, _ in read(json.dumps(ROWS, indent=1))] == [2, 6, 17]
    assert [line for line, _ in read("\n\n" + "\n\n".join(map(json.dumps, ROWS)))] == [3, 5, 7]


def test_an_element_of_a_page_may_hold_the_row() -> None:
    page = json.dumps({"list": [{"event": row} for row in ROWS], "next_offset": "x"})
    assert [row for _, row in read(page, ("list",), "event")] == ROWS
    assert [row for _, row in read(json.dumps({"event": ROWS[0]}), ("list",), "event")] == ROWS[:1]


def test_a_damaged_line_costs_no_other_row() -> None:
    text = '{"a": 1}\n{"a": \nnothing\n7\n["x"]\n{"a": 2}'
    assert read(text) == [
        (1, {"a": 1}),
        (2, "not_json"),
        (3, "not_json"),
        (4, "not_an_object"),
        (5, "not_an_object"),
        (6, {"a": 2}),
    ]
    assert read('{"cut": "\n{"a": 2}') == [(1, "not_json"), (2, {"a": 2})]


def test_a_document_that_ends_early_is_reported() -> None:
    assert read('[{"a": 1},\n {"a": 2,\n') == [(1, {"a": 1}), (2, "not_json")]


def test_an_object_without_end_is_not_read_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_rows, "OBJECT_MAX_BYTES", 100)
    with pytest.raises(ChurnSignalsError, match=r"begins in line 2 has more than 100 bytes"):
        read("[\n{" + '"a": 1,\n' * 50)


def rows_of(text: str, delimiter: str | None = None) -> list[tuple[int, Any]]:
    return list(CsvRows((line.encode() for line in text.split("\n")), delimiter))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_the_header_is_found(delimiter: str) -> None:
    header, row = ['"a,b;c"', "d", "e"], ["1", "2,5", "x"]
    if delimiter == ",":
        row[1] = '"2,5"'
    found = rows_of("\ufeff" + delimiter.join(header) + "\n" + delimiter.join(row))
    assert found == [(2, {"a,b;c": "1", "d": "2,5", "e": "x"})]


def test_a_quoted_cell_may_have_lines_and_lines_are_counted_right() -> None:
    assert rows_of('a,b\n1,"x\ny ""z"""\n\n2,3\n4') == [
        (2, {"a": "1", "b": 'x\ny "z"'}),
        (5, {"a": "2", "b": "3"}),
        (6, "wrong_columns"),
    ]


def test_a_quote_without_end_names_its_row() -> None:
    with pytest.raises(ChurnSignalsError, match=r"row that begins in line 3 cannot be read"):
        rows_of('a,b\n1,2\n"3,4\n5,6')


def test_a_file_without_header_or_in_another_encoding_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no header"):
        rows_of("")
    with pytest.raises(ConfigurationError, match="line 1 is not UTF-8"):
        CsvRows(["a,ö".encode("latin-1")])
    with pytest.raises(ConfigurationError, match="line 1 is not UTF-8"):
        CsvRows(["a,b".encode("utf-16")])
