"""Tables, durations and JSON."""

from __future__ import annotations

import json

import pytest

from taskq.cli.support.output import (
    duration,
    emit_json,
    fields,
    plain,
    plural,
    short_line,
    size,
    table,
)
from taskq.protocol.values import ErrorInfo, Progress


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    text = table(("name", "n"), [("a", 5), ("long name", 1234)])
    assert text.splitlines() == ["name           n", "a              5", "long name  1,234"]


def test_wide_and_combining_signs_are_counted_in_terminal_columns() -> None:
    lines = table(("a", "b"), [("日本", "x"), ("é", "y"), ("abcd", "z")]).splitlines()
    assert lines[1] == "日本  x"
    assert lines[2] == "é     y"
    assert lines[3] == "abcd  z"


def test_an_empty_table_has_its_headers() -> None:
    assert table(("a", "b"), []) == "a  b"


def test_names_of_any_length_stand_apart_from_their_values() -> None:
    found = [("id", "a"), ("worker deaths", 1), ("code", ""), ("attempts", 0)]
    assert list(fields(found)) == ["id             a", "worker deaths  1", "attempts       0"]


def test_cells_cannot_break_the_table() -> None:
    assert table(("a",), [("x\ny\x1b[31mz",)]).splitlines() == ["a", "x y [31mz"]


def test_long_texts_are_cut() -> None:
    assert short_line("x" * 200, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (9.94, "9.9 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (7260, "2 h 1 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_plural() -> None:
    assert [plural(n, "job") for n in (0, 1, 2000)] == ["0 jobs", "1 job", "2,000 jobs"]


def test_structs_become_objects_also_those_that_travel_as_arrays() -> None:
    assert plain([Progress(1, 2, "x")]) == [{"done": 1, "total": 2, "note": "x"}]


def test_bytes_become_their_length() -> None:
    assert plain(ErrorInfo("k", "t", pickled=b"123"))["pickled"] == 3


def test_json_takes_what_is_not_json_by_its_repr(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json({"a": (1, {2: 3j})})
    assert json.loads(capsys.readouterr().out) == {"a": [1, {"2": "3j"}]}


@pytest.mark.parametrize("value", [b"abc", float("nan"), float("inf"), "half \udc80", b"\xff"])
def test_whatever_a_task_returns_the_document_is_json(
    value: object, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    emit_json({"result": value})
    document = json.loads(capfdbinary.readouterr().out.decode(), parse_constant=refuse)
    assert document == {"result": value if isinstance(value, str) else repr(value)}
