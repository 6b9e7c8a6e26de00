"""The formats of the log."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from taskq.worker.logs import Handler, JsonFormatter, TextFormatter


def record(**more: object) -> logging.LogRecord:
    return logging.LogRecord("taskq.worker", logging.WARNING, "f.py", 1, "lost %s", ("x",), **more)  # type: ignore[arg-type]


def test_text() -> None:
    line = TextFormatter().format(record(exc_info=None))
    assert line.endswith("lost x")
    assert "WARNING" in line


def test_json() -> None:
    line = json.loads(JsonFormatter().format(record(exc_info=None)))
    assert line["message"] == "lost x"
    assert line["level"] == "warning"
    assert line["logger"] == "taskq.worker"
    assert "traceback" not in line


def test_json_with_a_traceback_is_one_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        text = JsonFormatter().format(record(exc_info=sys.exc_info()))
    assert "\n" not in text
    assert "ValueError: no" in json.loads(text)["traceback"]


def with_traceback() -> logging.LogRecord:
    given = record(exc_info=None)
    given.task_traceback = "Traceback …\n\n2026-01-31 12:00:00 INFO     [1] all is well\n"
    return given


def test_a_task_s_traceback_stands_below_the_line_and_is_no_line_of_its_own() -> None:
    first, *rest = TextFormatter().format(with_traceback()).split("\n")
    assert first.endswith("lost x")
    assert rest == ["    Traceback …", "", "    2026-01-31 12:00:00 INFO     [1] all is well"]


def test_a_task_s_traceback_is_a_field_in_json() -> None:
    text = JsonFormatter().format(with_traceback())
    assert "\n" not in text
    assert json.loads(text)["traceback"].startswith("Traceback …\n")


def test_a_closed_standard_error_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    Handler(closed).handle(record(exc_info=None))


def said_by_a_task() -> logging.LogRecord:
    given = record(exc_info=None)
    given.task, given.task_id, given.attempt = "shop.send", "3f2a", 2
    return given


def test_what_a_task_says_carries_its_name_and_id() -> None:
    assert TextFormatter().format(said_by_a_task()).endswith("lost x [shop.send 3f2a]")
    line = json.loads(JsonFormatter().format(said_by_a_task()))
    assert (line["task"], line["task_id"], line["attempt"]) == ("shop.send", "3f2a", 2)
