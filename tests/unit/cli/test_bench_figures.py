"""What `taskq bench` prints."""

from __future__ import annotations

import pytest

from taskq.cli.benchmark import figures
from taskq.cli.benchmark.measure import Scale
from taskq.cli.commands.bench import ProgressLine

FOUND: dict[str, figures.Figures] = {
    "fsync": {"enqueue": 1234.4, "drain": 50_000.0, "memory": None},
    "os": {"enqueue": 9999.0, "drain": 60_000.0, "memory": None},
}


def test_one_column_a_class_and_a_unit_behind() -> None:
    header, *rows = figures.as_table(FOUND).splitlines()
    assert header.split() == ["fsync", "os"]
    assert [row.split() for row in rows] == [
        ["enqueue", "1,234", "9,999", "calls/s"],
        ["drain", "50,000", "60,000", "tasks/s"],
    ]


def test_every_class_and_figure_that_is_shown_is_explained_and_no_other() -> None:
    text = figures.meanings(FOUND)
    assert [line.split(":")[0].strip() for line in text.splitlines() if line] == [
        "fsync",
        "os",
        "enqueue",
        "drain",
    ]


def test_every_meaning_is_a_sentence() -> None:
    assert all(kind.meaning.endswith(".") for kind in figures.KINDS)


def test_quick_takes_less_of_everything() -> None:
    full, quick = Scale(), Scale().reduced()
    for name in Scale.__dataclass_fields__:
        assert 0 < getattr(quick, name) < getattr(full, name)


def test_progress_is_drawn_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    for shown in (True, False):
        progress = ProgressLine(2, shown)
        progress.step("first")
        progress.end()
    assert capsys.readouterr().err == "\r\x1b[K█· 1/2 first\r\x1b[K"
